"""Scores without labels: the Gaussian total correlation of codes, and UDR, the agreement between several models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jax.typing import ArrayLike

from vae_jax.evaluation.disentanglement._checks import check_finite

INFORMATIVE_NATS = 0.01


def gaussian_total_correlation(codes: ArrayLike) -> float:
    """Total correlation 1/2 (sum_d log C_dd - log det C), in nats, of the Gaussian with the codes' covariance C.

    It is 0 for uncorrelated latents, and infinite if a latent is a linear function of others. Constant latents are left
    out.

    Args:
      codes: `[n, D]`, n above D.

    Raises:
      ValueError: if codes are not finite, or too few.

    Source: Locatello et al. 2019 (arXiv:1811.12359), section 5.2, from Watanabe 1960
    [watanabe1960information].
    """
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2 or len(codes) <= codes.shape[1]:
        raise ValueError(f"gaussian_total_correlation needs codes [n, D] with n above D, got {codes.shape}")
    check_finite("gaussian_total_correlation", codes)
    codes = codes[:, codes.std(axis=0) > 0]
    if codes.shape[1] < 2:
        return 0.0
    correlation = np.corrcoef(codes, rowvar=False)  # same result, but the determinant is independent of scales
    sign, log_determinant = np.linalg.slogdet(correlation)
    return float(-0.5 * log_determinant) if sign > 0 else float("inf")


def spearman_matrix(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """Absolute Spearman correlation of each latent of one model with each latent of another, `[D, E]`.

    It is 0 if a latent is constant.

    Args:
      first: codes `[n, D]` of n images.
      second: codes `[n, E]` of the same images from the other model.
    """
    from scipy.stats import rankdata

    def standardized(codes: ArrayLike) -> np.ndarray:
        ranks = rankdata(np.asarray(codes), axis=0)
        centered = ranks - ranks.mean(axis=0)
        return centered / np.maximum(np.sqrt((centered**2).sum(axis=0)), 1e-300)

    return np.abs(standardized(first).T @ standardized(second))


def unsupervised_disentanglement_ranking(
    codes: Sequence[ArrayLike], kl_per_dimension: Sequence[ArrayLike]
) -> list[float | None]:
    """UDR of each of several models: median agreement with the other models, by a one-to-one match of latents.

    The agreement of two models with d and e informative latents and their similarities R (`spearman_matrix`) is
    1 / (d + e) times the sum over columns b of (max_a R_ab)^2 / sum_a R_ab plus the corresponding sum over rows.

    Args:
      codes: `[n, D]` of each model, all of the same n images.
      kl_per_dimension: `[D]` of each model, in nats; latents below 0.01 are not informative.

    Returns:
      A number between 0 and 1 for each model; None if a model has no informative latent, or no other model has one.

    Raises:
      ValueError: if codes are not finite, or not of the same images.

    Source: Duan et al. 2020 (arXiv:1905.12614), section 3 and eq. 3, with Spearman's correlation (UDR_S).
    """
    sizes = {np.shape(c)[0] for c in codes}
    if len(sizes) > 1 or len(codes) != len(kl_per_dimension):
        raise ValueError(
            f"udr needs codes and KL divergences of each model for the same images, got codes of {len(codes)} models "
            f"for {' and '.join(map(str, sorted(sizes)))} images, and KL divergences of {len(kl_per_dimension)} models"
        )
    informative = []
    for model_codes, kl in zip(codes, kl_per_dimension, strict=True):
        check_finite("udr", model_codes)
        informative.append(np.asarray(model_codes)[:, np.asarray(kl) > INFORMATIVE_NATS])

    def agreement(first: np.ndarray, second: np.ndarray) -> float:
        similarities = spearman_matrix(first, second)
        of_columns = sum(_one_to_one(column) for column in similarities.T)
        of_rows = sum(_one_to_one(row) for row in similarities)
        return (of_columns + of_rows) / sum(similarities.shape)

    scores: list[float | None] = []
    for place, own in enumerate(informative):
        others = [other for i, other in enumerate(informative) if i != place and other.shape[1]]
        values = [agreement(own, other) for other in others] if own.shape[1] else []
        scores.append(float(np.median(values)) if values else None)
    return scores


def _one_to_one(similarities: np.ndarray) -> float:
    total = similarities.sum()
    return float(similarities.max() ** 2 / total) if total > 0 else 0.0
