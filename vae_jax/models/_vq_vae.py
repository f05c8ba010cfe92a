"""VQ-VAE: a code for each place of a grid, by any quantizer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax

from vae_jax.distributions import Distribution
from vae_jax.distributions._checks import check_sizes
from vae_jax.models._codes import (
    Codes,
    Level,
    QuantizedPosterior,
    init_quantizers,
    uniform_prior,
)
from vae_jax.models._model import VAE
from vae_jax.models.likelihoods import Likelihood, bernoulli
from vae_jax.networks import Network
from vae_jax.params import Params, join_buffers
from vae_jax.quantizers import Quantizer


def vq_vae(
    encoder: Network,
    decoder: Network,
    quantizer: Quantizer,
    grid: Sequence[int],
    likelihood: Likelihood = bernoulli,
) -> VAE:
    """z = q(encoder(x)) at every place of a grid, p(x | z) = likelihood(decoder(vectors of z)), p(z) uniform.

    Train it with `objectives.vq_vae_loss`; log p(x) >= log p(x | z) + log p(z). `with_code_prior` replaces the uniform
    prior by a prior trained on the codes.

    Args:
      encoder: x -> `[h * w * D]`, such as `residual_encoder(..., num_outputs=1)`.
      decoder: `[h * w * D]` -> outputs of shape `likelihood.output_shape(x.shape)`, such as `residual_decoder(...)`.
      quantizer: quantizer of the vector of a place; its dim is D.
      grid: (h, w).
      likelihood: likelihood of the pixels.

    Raises:
      ValueError: if grid is not two numbers of at least 1; by `encode`, if the encoder does not give h * w * D.

    Source: van den Oord et al. 2017 (arXiv:1711.00937).
    """
    check_sizes("grid", grid, least=0)
    if len(grid) != 2 or min(grid) < 1:
        raise ValueError(f"grid must be (h, w), two numbers of at least 1, got {tuple(grid)}")
    height, width = grid
    level = Level("level_1", quantizer, (height, width))
    levels, shape = (level,), (height, width, quantizer.dim)

    def init(key: jax.Array) -> Params:
        encoder_key, decoder_key, quantizer_key = jax.random.split(key, 3)
        networks = {"encoder": encoder.init(encoder_key), "decoder": decoder.init(decoder_key)}
        quantizers, buffers = init_quantizers(quantizer_key, levels)
        return join_buffers({**networks, "quantizers": quantizers}, buffers)

    def encode(params: Params, x: jax.Array) -> QuantizedPosterior:
        outputs = encoder.apply(params["encoder"], x)
        if outputs.size != math.prod(shape):
            raise ValueError(
                f"encoder must give {math.prod(shape)} numbers, {quantizer.dim} (the quantizer's dim) for each place "
                f"of the grid {height} x {width}, got {outputs.size}"
            )
        return QuantizedPosterior((level.quantize(params, outputs.reshape(shape)),), levels)

    def decode(params: Params, z: tuple[Codes, ...]) -> Distribution:
        return likelihood.distribution(decoder.apply(params["decoder"], z[0].vectors.ravel()))

    return VAE(init, encode, lambda params: uniform_prior(params, levels), decode)
