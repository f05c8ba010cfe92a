"""Interventional robustness score (IRS): stability of a latent when factors other than its own change."""

from __future__ import annotations

import numpy as np
from jax.typing import ArrayLike

from vae_jax.evaluation.disentanglement._checks import checked


def interventional_robustness(codes: ArrayLike, factors: ArrayLike, quantile: float = 0.99) -> float:
    """IRS = mean over latents, weighted by m_d, of max over factors of 1 - mean over values of deviation / m_d.

    m_d is the largest |z_d - mean z_d|. The deviation of a factor's value is the quantile of |z_d - mean z_d| over the
    images with this value, with the mean over the same images. Constant latents are left out; if all are constant, the
    score is 0.

    Args:
      codes: `[n, D]`; disentanglement_lib uses 10,000 images.
      factors: integers `[n, K]`.
      quantile: 0.99 in the paper.

    Raises:
      ValueError: if codes are not finite, or no factor varies.

    Source: Suter et al. 2019 (arXiv:1811.00007), section 4, as computed by disentanglement_lib.
    """
    codes, factors = checked("irs", np.asarray(codes, np.float64), factors)
    largest = np.abs(codes - codes.mean(axis=0)).max(axis=0)
    moving = codes.var(axis=0) > 0
    if not moving.any():
        return 0.0
    codes, largest = codes[:, moving], largest[moving]
    robust = []
    for column in factors.T:
        groups = [codes[column == value] for value in np.unique(column)]
        deviations = [np.quantile(np.abs(group - group.mean(axis=0)), quantile, axis=0) for group in groups]
        robust.append(1 - np.mean(deviations, axis=0) / largest)
    return float(np.average(np.max(robust, axis=0), weights=largest))
