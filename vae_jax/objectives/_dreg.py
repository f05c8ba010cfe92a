"""Path derivatives as the encoder's gradient: sticking the landing, and its form for the IWAE bound."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from vae_jax.distributions._checks import check_count
from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Metrics, Objective, mean_over_batch
from vae_jax.objectives._elbo import elbo_from_terms, elbo_metrics, sampled_elbo, sampled_elbo_terms
from vae_jax.objectives._gradients import only_gradient, path_derivative
from vae_jax.objectives._iwae import log_mean_exp, mean_elbo_metrics
from vae_jax.params import Params


@mean_over_batch
def negative_stl(model: VAE, params: Params, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
    """-`sampled_elbo`, with the path derivative as the encoder's gradient: a mean over the batch in nats per example.

    The gradient's expectation is the ELBO's. As q(z | x) nears the true posterior, log p(x, z) - log q(z | x) nears a
    constant in z, and the encoder's gradient a constant 0; the usual estimators keep the noise of the score.

    Raises:
      UndefinedError: if the posterior has no density.

    Source: Roeder et al. 2017 (arXiv:1703.09194): the path derivative.
    """
    metrics = elbo_metrics(sampled_elbo_terms(path_derivative(model), params, key, x))
    return -metrics["elbo"], metrics


def negative_dreg(num_samples: int) -> Objective:
    """The objective -`iwae`, with the doubly reparameterized gradient: a mean over the batch in nats per example.

    With the normalized weights v_k = w_k / sum_j w_j at samples z_k = z(eps_k, phi), held constant,

      d/dtheta = sum_k v_k   d log p_theta(x, z_k) / dtheta
      d/dphi   = sum_k v_k^2 d log w_k / dz_k  dz_k / dphi

    in expectation the gradient of `negative_iwae`. The signal-to-noise ratio of that one's d/dphi falls as 1/sqrt(K);
    this one's rises as sqrt(K). K = 1 is `negative_stl`. Argument, metrics and errors as for `negative_iwae`.

    Source: Tucker et al. 2019 (arXiv:1810.04152).
    """
    check_count("num_samples", num_samples)

    def example_objective(model: VAE, params: Params, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
        def weighted_path(key: jax.Array, weight: jax.Array) -> jax.Array:
            # A derivative with respect to theta meets the weight once, one with respect to phi at z again.
            return weight * sampled_elbo(path_derivative(model, weight), params, key, x)

        keys = jax.random.split(key, num_samples)
        terms = jax.vmap(lambda k: sampled_elbo_terms(model, stop_gradient(params), k, x))(keys)
        log_weights = elbo_from_terms(*terms)
        # The same draws again, for the gradient alone; compiled, the two passes forward are one.
        surrogate = jnp.sum(jax.vmap(weighted_path)(keys, jax.nn.softmax(log_weights)))
        bound = log_mean_exp(log_weights)
        return -(bound + only_gradient(surrogate)), {**mean_elbo_metrics(terms), "iwae": bound}

    return mean_over_batch(example_objective)
