"""Doubly reparameterised gradients: the IWAE bound, with an encoder's gradient that more samples do not drown."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Metrics, Objective, mean_over_batch
from vae_jax.objectives._checks import check_at_least_1
from vae_jax.objectives._elbo import elbo_from_terms, sampled_elbo, sampled_elbo_terms
from vae_jax.objectives._gradients import only_gradient, path_derivative
from vae_jax.objectives._iwae import log_mean_exp, mean_elbo_metrics
from vae_jax.params import Params


def negative_dreg(num_samples: int) -> Objective:
    """The objective -`iwae`, with the doubly reparameterised gradient: a mean over the batch in nats per example.

    With the normalised weights v_k = w_k / sum_j w_j at samples z_k = z(eps_k, phi), held constant,

      d/dtheta = sum_k v_k   d log p_theta(x, z_k) / dtheta
      d/dphi   = sum_k v_k^2 d log w_k / dz_k  dz_k / dphi

    in expectation the gradient of `negative_iwae`. The signal-to-noise ratio of that one's d/dphi falls as 1/sqrt(K);
    this one's rises as sqrt(K). K = 1 is `negative_stl`. Metrics as in `negative_iwae`.

    Args:
      num_samples: K, at least 1.

    Raises:
      ValueError: where num_samples is below 1.
      TypeError: by the objective, where the posterior has no density.

    Source: Tucker et al. 2019 (arXiv:1810.04152).
    """
    check_at_least_1("num_samples", num_samples)

    def example_objective(model: VAE, params: Params, key: jax.Array, x: jax.Array) -> tuple[jax.Array, Metrics]:
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
