"""IRS: how little a latent moves when factors other than its own change."""

from __future__ import annotations

import numpy as np
from jax.typing import ArrayLike

from vae_jax.evaluation.disentanglement._checks import checked


def interventional_robustness(codes: ArrayLike, factors: ArrayLike, quantile: float = 0.99) -> float:
    """IRS = mean over latents, weighted by m_d, of max over factors of 1 - mean over values of deviation / m_d.

    m_d is the largest |z_d - mean z_d|; the deviation of a factor's value is the quantile, over its images, of
    |z_d - mean of z_d over them|. Latents that do not move are left out; where none moves, the score is 0.

    Args:
      codes: `[n, D]`; 10,000 images in disentanglement_lib.
      factors: whole numbers `[n, K]`.
      quantile: 0.99 in the paper.

    Raises:
      ValueError: where codes are not finite, or no factor varies.

    Source: Suter et al. 2019 (arXiv:1811.00007), section 4; as disentanglement_lib computes it.
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
