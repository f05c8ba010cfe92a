"""Gated PixelCNN prior over codes, as in the VQ-VAE (van den Oord et al. 2017, arXiv:1711.00937)."""

from __future__ import annotations

from collections.abc import Sequence

from vae_jax.models.code_priors._autoregressive import autoregressive_prior, uncached
from vae_jax.models.code_priors._code_prior import CodePrior
from vae_jax.networks._gated_pixel_cnn import gated_pixel_cnn


def pixel_cnn_prior(
    num_codes: int | Sequence[int],
    grid: Sequence[int],
    num_classes: int = 0,
    layers: int = 8,
    channels: int = 128,
    kernel_size: int = 3,
    label_dropout: float = 0.1,
) -> CodePrior:
    """Gated PixelCNN prior: p(codes | label) = prod_t softmax(logits_t(label, codes[:t]))[codes[t]], row by row.

    The likelihood is exact. A sample needs T = h * w passes of the network.

    Args:
      num_codes: K, at least 1; or K at each of the T places, if levels have different codebooks.
      grid: (h, w), numbers of rows and columns.
      num_classes: number of labels; 0 for an unconditional prior.
      layers: number of layers of both stacks, at least 1; a place reads layers * (kernel_size // 2) columns to either
        side.
      channels: number of channels of each stack, at least 1.
      kernel_size: an odd number of at least 3.
      label_dropout: probability in [0, 1) with which the loss replaces the label by "no label".

    Raises:
      ValueError: if a number is out of its range, grid is not two numbers, or kernel_size is even.

    Source: van den Oord et al. 2016 (arXiv:1606.05328), eq. 1; van den Oord et al. 2017 (arXiv:1711.00937) for codes.
    """
    largest = num_codes if isinstance(num_codes, int) else max(num_codes, default=0)
    network = gated_pixel_cnn(largest, grid, num_classes, layers, channels, kernel_size)
    length = grid[0] * grid[1]
    start, step = uncached(network.logits, length)
    return autoregressive_prior(
        network.init, network.logits, start, step, num_codes, length, num_classes, label_dropout
    )
