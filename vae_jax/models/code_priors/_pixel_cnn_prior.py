"""A gated PixelCNN as the prior over codes, as in the VQ-VAE (van den Oord et al. 2017, arXiv:1711.00937)."""

from __future__ import annotations

from collections.abc import Sequence

from vae_jax.models.code_priors._autoregressive import autoregressive_prior, recomputed
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
    """p(codes | label) = prod_t softmax(logits_t(label, codes[:t]))[codes[t]], exact, row by row over the grid.

    A sample runs the network T = h * w times.

    Args:
      num_codes: K, at least 1; or one for each of the T places, as levels of other codebooks need.
      grid: (h, w), rows and columns.
      num_classes: how many labels there are beside "no label"; 0 for an unconditional prior.
      layers: of both stacks, at least 1; a place sees layers * (kernel_size // 2) columns to either side.
      channels: of either stack, at least 1.
      kernel_size: odd, at least 3.
      label_dropout: the probability, in [0, 1), with which the loss leaves the label out.

    Raises:
      ValueError: if a number is out of its range, grid is not two numbers, or kernel_size is even.

    Source: van den Oord et al. 2016 (arXiv:1606.05328), eq. 1; as a prior over codes 2017 (arXiv:1711.00937).
    """
    largest = num_codes if isinstance(num_codes, int) else max(num_codes, default=0)
    network = gated_pixel_cnn(largest, grid, num_classes, layers, channels, kernel_size)
    length = grid[0] * grid[1]
    start, step = recomputed(network.logits, length)
    return autoregressive_prior(
        network.init, network.logits, start, step, num_codes, length, num_classes, label_dropout
    )
