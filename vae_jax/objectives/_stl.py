"""Sticking the landing: the ELBO, with a gradient that has no noise where the posterior is exact."""

from __future__ import annotations

import jax

from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Metrics, mean_over_batch
from vae_jax.objectives._elbo import elbo_metrics, sampled_elbo_terms
from vae_jax.objectives._gradients import path_derivative
from vae_jax.params import Params


def _negative_stl(model: VAE, params: Params, key: jax.Array, x: jax.Array) -> tuple[jax.Array, Metrics]:
    """-`sampled_elbo`, with the path derivative as the encoder's gradient: a mean over the batch in nats per example.

    The gradient's expectation is the ELBO's. As q(z | x) nears the true posterior, log p(x, z) - log q(z | x) nears a
    constant in z, and the encoder's gradient a constant 0; the usual estimators keep the noise of the score.

    Raises:
      TypeError: where the posterior has no density.

    Source: Roeder et al. 2017 (arXiv:1703.09194): the path derivative.
    """
    metrics = elbo_metrics(sampled_elbo_terms(path_derivative(model), params, key, x))
    return -metrics["elbo"], metrics


negative_stl = mean_over_batch(_negative_stl)
