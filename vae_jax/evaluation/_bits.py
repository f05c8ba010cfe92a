"""Bits per dimension: the unit in which likelihoods of color images are compared."""

from __future__ import annotations

import math


def bits_per_dimension(negative_log_likelihood: float, num_dimensions: int, levels: int = 1) -> float:
    """(nll / D + log levels) / log 2.

    Args:
      negative_log_likelihood: nll (or a bound on it) of one example, in nats.
      num_dimensions: D, the numbers in one example: H * W * C.
      levels: 1 where the nll is of the discrete pixels themselves; 256 where it is of a density of dequantized 8-bit
        pixels scaled to [0, 1], whose bins are 1/256 wide.

    Source: Theis et al. 2016 (arXiv:1511.01844), section 3.1.
    """
    return (negative_log_likelihood / num_dimensions + math.log(levels)) / math.log(2.0)
