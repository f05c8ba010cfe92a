"""Conditional VAE of Sohn et al. 2015: encoder, decoder and optionally prior depend on a label or a vector."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import Normal
from vae_jax.distributions._checks import check_sizes
from vae_jax.models._checks import check_latent_dim
from vae_jax.models._conditional import conditional
from vae_jax.models._gaussian_vae import gaussian_vae, output_bias
from vae_jax.models._model import VAE, Conditional
from vae_jax.models.contexts import ContextKind
from vae_jax.models.likelihoods import Likelihood, bernoulli
from vae_jax.networks import conv_decoder, conv_encoder, mlp_decoder, mlp_encoder, with_context
from vae_jax.params import Params

# Folded into the key of `init` for the network of the prior; `split` folds in 0, 1, ..., and never this number.
_PRIOR_KEY = 2**32 - 2


def conditional_vae(
    image_shape: Sequence[int],
    contexts: ContextKind,
    latent_dim: int = 20,
    hidden: Sequence[int] = (400,),
    likelihood: Likelihood = bernoulli,
    data_mean: ArrayLike | None = None,
    prior_hidden: Sequence[int] | None = None,
) -> Conditional:
    """Conditional VAE with ReLU MLPs, q(z|x,c) and p(x|z,c), and p(z|c) = N(0, I) or a Normal computed by a network.

    Args:
      image_shape: `[H, W, C]`.
      contexts: one of `vae_jax.models.contexts`, such as `contexts.labels(10)`.
      latent_dim: D, the length of z.
      hidden: widths of the encoder's hidden layers; the decoder has them in reverse.
      likelihood: likelihood of the pixels.
      data_mean: mean training image `[H, W, C]` in [0, 1], to initialize the decoder's output bias. Default: zero bias.
      prior_hidden: widths of the hidden layers of a network for the mean and log-variance of p(z|c), with parameters
        under "prior"; `()` for a linear network. Default: p(z|c) = N(0, I) for every context.

    Source: Sohn et al. 2015 [sohn2015learning], section 4.
    """
    check_latent_dim(latent_dim)
    check_sizes("hidden", hidden)
    check_sizes("image_shape", image_shape)
    outputs, bias = likelihood.output_shape(image_shape), output_bias(likelihood, data_mean)
    encoder = mlp_encoder(image_shape, 2 * latent_dim, hidden, context_size=contexts.size)
    decoder = mlp_decoder(latent_dim, outputs, tuple(hidden)[::-1], bias, context_size=contexts.size)
    return _family(gaussian_vae(encoder, decoder, latent_dim, likelihood), contexts, latent_dim, prior_hidden)


def conditional_conv_vae(
    image_shape: Sequence[int],
    contexts: ContextKind,
    latent_dim: int = 20,
    channels: Sequence[int] = (32, 64),
    hidden: int = 256,
    likelihood: Likelihood = bernoulli,
    data_mean: ArrayLike | None = None,
    prior_hidden: Sequence[int] | None = None,
) -> Conditional:
    """Conditional VAE with convolutions, q(z|x,c) and p(x|z,c), whose channels the context scales and shifts.

    Arguments are those of `conditional_vae` and `conv_vae`.

    Source: Sohn et al. 2015 [sohn2015learning], section 4; Perez et al. 2018 (arXiv:1709.07871) for the convolutions.
    """
    check_latent_dim(latent_dim)
    outputs, bias = likelihood.output_shape(image_shape), output_bias(likelihood, data_mean)
    encoder = conv_encoder(image_shape, 2 * latent_dim, channels, hidden, context_size=contexts.size)
    decoder = conv_decoder(latent_dim, outputs, channels, hidden, bias, context_size=contexts.size)
    return _family(gaussian_vae(encoder, decoder, latent_dim, likelihood), contexts, latent_dim, prior_hidden)


def _family(model: VAE, contexts: ContextKind, latent_dim: int, prior_hidden: Sequence[int] | None) -> Conditional:
    if prior_hidden is None:
        return conditional(model, contexts)
    check_sizes("prior_hidden", prior_hidden)
    perceptron = mlp_encoder((contexts.size,), 2 * latent_dim, prior_hidden)
    network = with_context(perceptron.init, lambda params, x, context: perceptron.apply(params, context), contexts.size)

    def init(key: jax.Array) -> Params:
        return {**model.init(key), "prior": network.init(jax.random.fold_in(key, _PRIOR_KEY))}

    def prior(params: Params) -> Normal:
        mean, log_variance = jnp.split(network.apply(params["prior"], jnp.zeros(())), 2)
        return Normal(mean, log_variance)

    return conditional(model._replace(init=init, prior=prior), contexts, ("encoder", "decoder", "prior"))
