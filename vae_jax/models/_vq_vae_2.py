"""VQ-VAE-2: a coarse grid of codes for the whole, and a finer one for what it leaves open."""

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

    Features f of the image at the bottom's grid; top codes of f, halved again; bottom codes of f together with what the
    top's decoder makes of its codes; the image from both. Train it with `objectives.vq_vae_loss`; `with_code_prior`
    gives one prior over both grids, top first, so that the bottom is conditioned on it.

    Args:
      image_shape: `[H, W, C]`, H and W above 2^len(channels).
      bottom: quantizer of the fine grid.
      top: of the coarse one.
      channels: of the layers that halve the image down to the bottom's grid.
      residual_hidden: channels inside a residual layer.
      residual_layers: of every network.
      likelihood: of the pixels.
      data_mean: the mean training image `[H, W, C]`, where the output's bias starts; zeros if None.
      context_size: length of the context that the networks "features" and "decoder" take, which
        `conditional(model, contexts, to=("features", "decoder"))` gives them; 0: none.

    Raises:
      ValueError: if the image is too small for so many halvings and one more to the top's grid.

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
        told = apply("top_decoder", coarse.codes.vectors.ravel())
        both = jnp.concatenate([features, told], axis=-1)
        fine = levels[0].quantize(params, apply("bottom_encoder", both).reshape(*levels[0].grid, bottom.dim))
        return QuantizedPosterior((fine, coarse), levels)

    def decode(params: Params, z: tuple[Codes, ...]) -> Distribution:
        upsampled = networks["upsample"].apply(params["upsample"], z[1].vectors.ravel())
        both = jnp.concatenate([z[0].vectors, upsampled], axis=-1)
        return likelihood.distribution(networks["decoder"].apply(params["decoder"], both.ravel()))

    return VAE(init, encode, lambda params: uniform_prior(params, levels), decode)
