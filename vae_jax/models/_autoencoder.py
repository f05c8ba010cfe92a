"""Deterministic autoencoder: a Delta posterior, and a Normal prior fitted to the latent codes after training."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from vae_jax.distributions import Normal
from vae_jax.models import posteriors
from vae_jax.models._checks import check_latent_dim
from vae_jax.models._model import VAE
from vae_jax.models._vae import vae
from vae_jax.models.likelihoods import Likelihood, bernoulli
from vae_jax.networks import Network
from vae_jax.params import Params


def autoencoder(encoder: Network, decoder: Network, latent_dim: int, likelihood: Likelihood = bernoulli) -> VAE:
    """z = encoder(x) without noise, p(x|z) = likelihood(decoder(z)); train it with `objectives.reconstruction_loss`.

    Training an autoencoder gives no prior. p(z) is a diagonal Normal, N(0, I) until `fit_prior` fits it to the latent
    codes of the training data; it is a buffer, without gradients.

    Args:
      encoder: x -> `[latent_dim]`.
      decoder: z `[latent_dim]` -> outputs of shape `likelihood.output_shape(x.shape)`.
      latent_dim: D, the length of z; at least 1.
      likelihood: likelihood of the pixels; its negative logarithm is the reconstruction error.

    Raises:
      ValueError: if latent_dim is below 1; by `encode`, if the encoder does not give `latent_dim` numbers.

    Source: Ghosh et al. 2020 (arXiv:1903.12436), section 4, for the prior.
    """
    check_latent_dim(latent_dim)
    return with_fitted_prior(vae(encoder, decoder, posteriors.delta(latent_dim), likelihood), latent_dim)


def with_fitted_prior(model: VAE, latent_dim: int) -> VAE:
    """Returns the model with the prior N(mean, diag variance), N(0, I) until `fit_prior` fits it to latent codes.

    The mean and the log-variance are buffers, without gradients.

    Args:
      model: a model whose z is one vector.
      latent_dim: D, the length of z; at least 1.

    Raises:
      ValueError: if latent_dim is below 1.

    Source: Ghosh et al. 2020 (arXiv:1903.12436), section 4.
    """
    check_latent_dim(latent_dim)

    def init(key: jax.Array) -> Params:
        buffers = {"prior_mean": jnp.zeros(latent_dim), "prior_log_variance": jnp.zeros(latent_dim)}
        return {**model.init(key), "buffers": buffers}

    def prior(params: Params) -> Normal:
        return Normal(params["buffers"]["prior_mean"], params["buffers"]["prior_log_variance"])

    return model._replace(init=init, prior=prior)


def fit_prior(params: Params, codes: jax.Array) -> Params:
    """Returns the parameters with the prior fitted to the mean and variance of each dimension of the latent codes.

    Args:
      params: parameters of an `autoencoder`.
      codes: `[N, D]`, the latent codes of the training data.

    Source: Ghosh et al. 2020 (arXiv:1903.12436), section 4.
    """
    chex.assert_rank(codes, 2)
    # A dimension that is equal for all examples has variance 0, whose logarithm must be finite.
    log_variance = jnp.log(jnp.maximum(jnp.var(codes, axis=0), 1e-12))
    return {**params, "buffers": {"prior_mean": jnp.mean(codes, axis=0), "prior_log_variance": log_variance}}
