"""VAE with categorical latent variables: trained with relaxed draws, evaluated with one-hot draws."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution, OneHotCategorical
from vae_jax.distributions._checks import LARGEST_SIZE, check_count
from vae_jax.models._model import VAE
from vae_jax.models.likelihoods import Likelihood, bernoulli
from vae_jax.networks import Network
from vae_jax.params import Params


def categorical_vae(
    encoder: Network, decoder: Network, num_variables: int, num_categories: int, likelihood: Likelihood = bernoulli
) -> VAE:
    """q(z | x) = Categorical(softmax(encoder(x))), p(z) uniform, p(x | z) = likelihood(decoder(z)), z one-hot.

    Train it with `objectives.gumbel_softmax_loss`. Bounds, likelihoods and samples use one-hot latent codes.

    Args:
      encoder: x -> logits `[num_variables * num_categories]`.
      decoder: `[num_variables * num_categories]` -> outputs of shape `likelihood.output_shape(x.shape)`.
      num_variables: M, at least 1.
      num_categories: K, at least 2; z is `[M, K]`.
      likelihood: likelihood of the pixels.

    Raises:
      ValueError: if num_variables is below 1 or num_categories below 2.

    Source: Jang et al. 2017 (arXiv:1611.01144); Maddison et al. 2017 (arXiv:1611.00712).
    """
    check_count("num_variables", num_variables, 0, LARGEST_SIZE)
    check_count("num_categories", num_categories, 0, LARGEST_SIZE)
    if num_variables < 1 or num_categories < 2:
        raise ValueError(
            f"num_variables must be at least 1 and num_categories at least 2, got {num_variables} and {num_categories}"
        )
    shape = (num_variables, num_categories)

    def init(key: jax.Array) -> Params:
        encoder_key, decoder_key = jax.random.split(key)
        return {"encoder": encoder.init(encoder_key), "decoder": decoder.init(decoder_key)}

    def encode(params: Params, x: jax.Array) -> OneHotCategorical:
        return OneHotCategorical(encoder.apply(params["encoder"], x).reshape(shape))

    def decode(params: Params, z: jax.Array) -> Distribution:
        return likelihood.distribution(decoder.apply(params["decoder"], z.ravel()))

    return VAE(init, encode, lambda params: OneHotCategorical(jnp.zeros(shape)), decode)
