"""Controlled capacity: a loss that wants the rate at a chosen number of nats, neither below nor above."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Metrics, Objective, mean_over_batch
from vae_jax.objectives._checks import check_between
from vae_jax.objectives._elbo import elbo_metrics, elbo_terms
from vae_jax.params import Params


def capacity_loss_from_terms(log_likelihood: ArrayLike, kl: ArrayLike, gamma: ArrayLike, nats: ArrayLike) -> jax.Array:
    """-log_likelihood + gamma |kl - nats|.

    Source: Burgess et al. 2018 (arXiv:1804.03599).
    """
    return -jnp.asarray(log_likelihood) + jnp.asarray(gamma) * jnp.abs(jnp.asarray(kl) - jnp.asarray(nats))


def capacity_loss(gamma: ArrayLike, nats: ArrayLike) -> Objective:
    """The objective -E_q log p(x | z) + gamma |KL(q(z | x) || p(z)) - C|, a mean over the batch in nats per example.

    The distance is each example's own, as the paper has it; where code takes the distance of the batch's mean rate
    instead (disentanglement_lib), examples may share the capacity out among them. `capacity_warm_up` raises C.

    Args:
      gamma: at least 0; a number, or an array where it is traced. Burgess et al. use 1000.
      nats: C, at least 0; the same.

    Raises:
      ValueError: where a number below 0 is given.

    Source: Burgess et al. 2018 (arXiv:1804.03599).
    """
    check_between("gamma", gamma, 0)
    check_between("nats", nats, 0)

    def example_objective(model: VAE, params: Params, key: jax.Array, x: jax.Array) -> tuple[jax.Array, Metrics]:
        terms = elbo_terms(model, params, key, x)
        return capacity_loss_from_terms(*terms, gamma, nats), elbo_metrics(terms)

    return mean_over_batch(example_objective)
