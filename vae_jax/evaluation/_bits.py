"""Bits per dimension, the unit for comparing likelihoods of color images."""

from __future__ import annotations

import math


def bits_per_dimension(negative_log_likelihood: float, num_dimensions: int, levels: int = 1) -> float:
    """Bits per dimension, (nll / D + log levels) / log 2.

    Args:
      negative_log_likelihood: nll (or a bound on it) of one example, in nats.
      num_dimensions: D, the number of values in one example: H * W * C.
      levels: 1 for the nll of discrete pixels; 256 for the nll of a density of dequantized 8-bit pixels scaled to
        [0, 1], whose bins are 1/256 wide.

    Source: Theis et al. 2016 (arXiv:1511.01844), section 3.1.
    """
    return (negative_log_likelihood / num_dimensions + math.log(levels)) / math.log(2.0)
