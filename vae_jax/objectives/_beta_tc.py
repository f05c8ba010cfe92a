"""beta-TCVAE: the rate as mutual information, total correlation and dimension-wise KL, each with a weight."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_number
from vae_jax.models._model import VAE, Model
from vae_jax.objectives._aggregate import AggregateEstimator, LogAggregate
from vae_jax.objectives._batch import Aux, Objective, map_over_batch, unchanged
from vae_jax.objectives._elbo import Encoded, elbo_metrics, encoded
from vae_jax.objectives._require import require_independent_dimensions
from vae_jax.params import Params


class RateDecomposition(NamedTuple):
    """Rate = mutual_information + total_correlation + dimension_wise_kl, in nats; scalars, means over a batch."""

    mutual_information: jax.Array  # E log q(z | x) / q(z)
    total_correlation: jax.Array  # E log q(z) / prod_d q(z_d)
    dimension_wise_kl: jax.Array  # E log prod_d q(z_d) / p(z)


def rate_decomposition(log_posterior: ArrayLike, aggregate: LogAggregate, log_prior: ArrayLike) -> RateDecomposition:
    """Decomposition of the rate from log-densities at codes drawn from the posteriors; no constant is dropped.

    Args:
      log_posterior: `[B]` log q(z_i | x_i).
      aggregate: log q(z_i), `[B]`, and the log-densities of its dimensions, `[B, D]`.
      log_prior: `[B]` log p(z_i).

    Source: Chen et al. 2018 (arXiv:1802.04942), eq. 2.
    """
    marginals = jnp.sum(aggregate.marginals, axis=-1)
    return RateDecomposition(
        jnp.mean(jnp.asarray(log_posterior) - aggregate.joint),
        jnp.mean(aggregate.joint - marginals),
        jnp.mean(marginals - jnp.asarray(log_prior)),
    )


def beta_tcvae_loss(
    beta: ArrayLike, aggregate: AggregateEstimator, alpha: ArrayLike = 1.0, gamma: ArrayLike = 1.0
) -> Objective:
    """The objective distortion + alpha MI + beta TC + gamma dimension-wise KL, in nats per example.

    It needs its batch as a whole: no microbatches.

    The rate is the sum of the three terms. The loss is therefore computed as the negative ELBO with the rate in closed
    form, plus (alpha - 1) MI + (beta - 1) TC + (gamma - 1) dimension-wise KL; only these estimates have noise.
    Metrics: the true `elbo`, `rate`, `distortion`, and the three estimates.

    Args:
      beta: weight of the total correlation; the paper's best on dSprites is 6.
      aggregate: the estimate of q(z) and its marginals: `stratified(num_examples)`, the paper's
        `minibatch_weighted(num_examples)`, or `exact(xs)`.
      alpha: weight of the mutual information.
      gamma: weight of the dimension-wise KL.

    Raises:
      ValueError: if a weight is below 0; by the aggregate.
      TypeError: by the objective, if z is not a vector or the posterior does not factorize over its dimensions.

    Source: Chen et al. 2018 (arXiv:1802.04942), eq. 2 and 4.
    """
    for name, value in (("beta", beta), ("alpha", alpha), ("gamma", gamma)):
        check_number(name, value, 0)

    def objective(model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        def example(vae: VAE, key: jax.Array, x: Any) -> tuple[Encoded, jax.Array, jax.Array]:
            posterior, z, terms = encoded(vae, params, key, x)
            require_independent_dimensions("objectives.beta_tcvae_loss", posterior, z)
            return Encoded(posterior, z, terms), posterior.log_prob(z), vae.prior(params).log_prob(z)

        (posteriors, zs, terms), log_posterior, log_prior = map_over_batch(example, model, key, batch)
        parts = rate_decomposition(log_posterior, aggregate(model, params, posteriors, zs), log_prior)
        metrics = jax.tree.map(jnp.mean, elbo_metrics(terms)) | parts._asdict()
        weights = RateDecomposition(jnp.asarray(alpha), jnp.asarray(beta), jnp.asarray(gamma))
        extra = sum((weight - 1) * part for weight, part in zip(weights, parts, strict=True))
        return extra - metrics["elbo"], unchanged(params, metrics)

    return objective
