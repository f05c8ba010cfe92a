"""Priors: functions from a model to the model with another p(z).

They replace `init` and `prior` only. The parameters of the prior are under "prior" in `params`, and are trained with
the others. A mixture has no closed-form divergence: train with `negative_sampled_elbo` or an importance-weighted
objective.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution, Mixture, Normal
from vae_jax.distributions._checks import LARGEST_SIZE, check_count
from vae_jax.models._checks import check_latent_dim
from vae_jax.models._model import VAE
from vae_jax.params import Params


def with_mixture_prior(model: VAE, latent_dim: int, num_components: int) -> VAE:
    """Returns the model with a mixture prior, p(z) = sum_k softmax(logits)_k N(z; mean_k, diag exp(log_variance_k)).

    Logits, means and log-variances are trained. Initially the weights are equal, the variances 1, and the means drawn
    from N(0, I). (Tomczak & Welling fix the weights at 1/K.)

    Args:
      model: a model whose z is one vector.
      latent_dim: D, the length of z; at least 1.
      num_components: K, at least 1.

    Raises:
      ValueError: if latent_dim or num_components is below 1.

    Source: Tomczak & Welling 2018 (arXiv:1705.07120), where the VampPrior is compared with it.
    """
    check_latent_dim(latent_dim)
    check_count("num_components", num_components, most=LARGEST_SIZE)
    shape = (num_components, latent_dim)

    def init(key: jax.Array) -> Params:
        means = jax.random.normal(key, shape)
        return {"logits": jnp.zeros(num_components), "mean": means, "log_variance": jnp.zeros(shape)}

    return with_prior(
        model,
        init,
        lambda params: Mixture(
            params["prior"]["logits"], Normal(params["prior"]["mean"], params["prior"]["log_variance"])
        ),
    )


def with_prior(model: VAE, init_prior: Callable[[jax.Array], Any], prior: Callable[[Params], Distribution]) -> VAE:
    """Returns the model with another prior, whose parameters are under "prior"."""

    def init(key: jax.Array) -> Params:
        model_key, prior_key = jax.random.split(key)
        return {**model.init(model_key), "prior": init_prior(prior_key)}

    return model._replace(init=init, prior=prior)
