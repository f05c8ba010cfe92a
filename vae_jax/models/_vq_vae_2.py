"""VQ-VAE-2: a coarse grid of codes for the global structure, and a fine grid for the details."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution
from vae_jax.distributions._checks import check_sizes
from vae_jax.models._codes import Codes, Level, QuantizedPosterior, init_quantizers, uniform_prior
from vae_jax.models._gaussian_vae import output_bias
from vae_jax.models._model import VAE
from vae_jax.models.likelihoods import Likelihood, bernoulli
from vae_jax.networks import halved, pointwise, residual_decoder, residual_encoder
from vae_jax.params import Params, join_buffers
from vae_jax.quantizers import Quantizer


def vq_vae_2(
    image_shape: Sequence[int],
    bottom: Quantizer,
    top: Quantizer,
    channels: Sequence[int] = (64, 128),
    residual_hidden: int = 32,
    residual_layers: int = 2,
    likelihood: Likelihood = bernoulli,
    data_mean: jax.Array | None = None,
    context_size: int = 0,
) -> VAE:
    """z = (bottom codes `[h, w]`, top codes `[h / 2, w / 2]`), h = H / 2^len(channels), rounded up; p(z) uniform.

    The encoder computes features f of the image at the bottom grid; top codes from f, halved again; and bottom codes
    from f and the decoded top codes. The decoder reads both. Train it with `objectives.vq_vae_loss`; `with_code_prior`
    gives one prior over both grids, top first, so that the bottom codes are conditioned on the top codes.

    Args:
      image_shape: `[H, W, C]`, with H and W above 2^len(channels).
      bottom: quantizer of the fine grid.
      top: quantizer of the coarse grid.
      channels: numbers of channels of the layers that halve the image down to the bottom grid.
      residual_hidden: number of channels inside a residual layer.
      residual_layers: number of residual layers in every network.
      likelihood: likelihood of the pixels.
      data_mean: mean training image `[H, W, C]` in [0, 1], to initialize the output bias. Default: zero bias.
      context_size: length of the context of the networks "features" and "decoder", set by
        `conditional(model, contexts, to=("features", "decoder"))`; 0 for a model without a context.

    Raises:
      ValueError: if the image is too small for len(channels) + 1 halvings.

    Source: Razavi et al. 2019 (arXiv:1906.00446), section 3.1 and algorithm 1.
    """
    check_sizes("image_shape", image_shape)
    check_sizes("channels", channels)
    if not channels:
        raise ValueError("channels must have an entry for at least one layer, for example (64, 128), got none")
    width, top_grid = channels[-1], halved(image_shape, len(channels) + 1)
    height, breadth = halved(image_shape, len(channels))
    layers = {"residual_hidden": residual_hidden, "residual_layers": residual_layers}
    grid = (height, breadth, width)
    levels = (Level("level_1", bottom, (height, breadth)), Level("level_2", top, top_grid))
    networks = {
        "features": residual_encoder(image_shape, width, channels, num_outputs=1, context_size=context_size, **layers),
        "top_encoder": residual_encoder(grid, top.dim, (width,), num_outputs=1, **layers),
        "top_decoder": residual_decoder(top.dim, grid, (width,), **layers),
        "bottom_encoder": pointwise((height, breadth, 2 * width), bottom.dim),
        "upsample": residual_decoder(top.dim, grid, (width,), **layers),
        "decoder": residual_decoder(
            bottom.dim + width,
            likelihood.output_shape(image_shape),
            channels,
            output_bias=output_bias(likelihood, data_mean),
            context_size=context_size,
            **layers,
        ),
    }

    def init(key: jax.Array) -> Params:
        *keys, quantizer_key = jax.random.split(key, len(networks) + 1)
        params = {name: network.init(k) for (name, network), k in zip(networks.items(), keys, strict=True)}
        quantizers, buffers = init_quantizers(quantizer_key, levels)
        return join_buffers({**params, "quantizers": quantizers}, buffers)

    def encode(params: Params, x: jax.Array) -> QuantizedPosterior:
        apply = lambda name, value: networks[name].apply(params[name], value)
        features = apply("features", x).reshape(grid)
        coarse = levels[1].quantize(params, apply("top_encoder", features).reshape(*levels[1].grid, top.dim))
        decoded = apply("top_decoder", coarse.codes.vectors.ravel())
        both = jnp.concatenate([features, decoded], axis=-1)
        fine = levels[0].quantize(params, apply("bottom_encoder", both).reshape(*levels[0].grid, bottom.dim))
        return QuantizedPosterior((fine, coarse), levels)

    def decode(params: Params, z: tuple[Codes, ...]) -> Distribution:
        upsampled = networks["upsample"].apply(params["upsample"], z[1].vectors.ravel())
        both = jnp.concatenate([z[0].vectors, upsampled], axis=-1)
        return likelihood.distribution(networks["decoder"].apply(params["decoder"], both.ravel()))

    return VAE(init, encode, lambda params: uniform_prior(params, levels), decode)
