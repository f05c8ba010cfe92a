"""Objectives with path derivatives as the encoder's gradient: sticking the landing, and DReG for the IWAE bound."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_count, check_number
from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Metrics, Objective, mean_over_batch
from vae_jax.objectives._elbo import elbo_metrics, sampled_elbo_terms
from vae_jax.objectives._gradients import only_gradient, path_derivative
from vae_jax.objectives._iwae import bound_with_beta, log_mean_exp, mean_elbo_metrics, weighted_log_weights
from vae_jax.params import Params


@mean_over_batch
def negative_stl(model: VAE, params: Params, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
    """-`sampled_elbo`, with the path derivative as the encoder's gradient: a mean over the batch in nats per example.

    The gradient's expectation is that of the ELBO. As q(z | x) approaches the true posterior,
    log p(x, z) - log q(z | x) approaches a constant in z, and the encoder's gradient approaches 0 for every draw; the
    usual estimators keep the noise of the score. The KL warm-up is `scheduled(stl_beta_vae_loss, linear(10_000))`.

    Raises:
      UndefinedError: if the posterior has no density.

    Source: Roeder et al. 2017 (arXiv:1703.09194): the path derivative.
    """
    metrics = elbo_metrics(sampled_elbo_terms(path_derivative(model), params, key, x))
    return -metrics["elbo"], metrics


def negative_dreg(num_samples: int, *, beta: ArrayLike = 1.0) -> Objective:
    """The objective -`iwae`, with the doubly reparameterized gradient: a mean over the batch in nats per example.

    With the normalized weights v_k = w_k / sum_j w_j at samples z_k = z(eps_k, phi) held constant, the gradient is

      d/dtheta = sum_k v_k   d log p_theta(x, z_k) / dtheta
      d/dphi   = sum_k v_k^2 d log w_k / dz_k  dz_k / dphi

    and its expectation is that of `negative_iwae`. The signal-to-noise ratio of d/dphi rises as sqrt(K); that of
    `negative_iwae` falls as 1/sqrt(K). K = 1 is `negative_stl`. Arguments, metrics and errors as for `negative_iwae`.

    With beta, log w_k = log p(x | z_k) + beta (log p(z_k) - log q(z_k | x)) in the loss and in v_k, and

      d/dtheta = sum_k v_k d log w_k / dtheta
      d/dphi   = sum_k ((1 - beta) v_k + beta v_k^2) d log w_k / dz_k  dz_k / dphi.

    Derivation: the usual d/dphi has two terms, v_k times that path derivative, and -beta v_k times the score
    d log q_phi(z_k | x) / dphi at a fixed z_k. The expectation of the second is -beta dv_k / dz_k  dz_k / dphi, where
    v_k = softmax(log w)_k gives dv_k / dz_k = (v_k - v_k^2) d log w_k / dz_k.

    Source: Tucker et al. 2019 (arXiv:1810.04152), for beta = 1.
    """
    check_count("num_samples", num_samples)
    check_number("beta", beta, 0)

    def example_objective(model: VAE, params: Params, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
        fixed = stop_gradient(jnp.asarray(beta))  # the derivative with respect to beta comes from the bound alone

        def weighted_path(key: jax.Array, weight: jax.Array) -> jax.Array:
            # A derivative with respect to theta is multiplied by the weight once, one with respect to phi twice.
            path = path_derivative(model, (1 - fixed) + fixed * weight)
            return weight * weighted_log_weights(sampled_elbo_terms(path, params, key, x), fixed)

        keys = jax.random.split(key, num_samples)
        terms = jax.vmap(lambda k: sampled_elbo_terms(model, stop_gradient(params), k, x))(keys)
        # A second pass with these draws, for the gradient only; the compiler merges the two forward passes.
        weights = stop_gradient(jax.nn.softmax(weighted_log_weights(terms, beta)))
        surrogate = jnp.sum(jax.vmap(weighted_path)(keys, weights))
        value, weighted = bound_with_beta(log_mean_exp, terms, beta)
        return -(weighted + only_gradient(surrogate)), {**mean_elbo_metrics(terms), "iwae": value}

    return mean_over_batch(example_objective)
