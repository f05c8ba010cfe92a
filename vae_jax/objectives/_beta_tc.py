"""beta-TCVAE: the rate as mutual information, total correlation and dimension-wise KL, each with a weight."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import Normal
from vae_jax.models._model import VAE, Model
from vae_jax.objectives._aggregate import AggregateEstimator, LogAggregate
from vae_jax.objectives._batch import Aux, Objective, map_over_batch
from vae_jax.objectives._checks import check_between
from vae_jax.objectives._elbo import elbo_metrics
from vae_jax.objectives._encoded import Encoded, encoded_example, require_diagonal_normal
from vae_jax.params import Params


class RateParts(NamedTuple):
    """rate = mutual_information + total_correlation + dimension_wise_kl, in nats; scalars, means over a batch."""

    mutual_information: jax.Array  # E log q(z | x) / q(z)
    total_correlation: jax.Array  # E log q(z) / prod_d q(z_d)
    dimension_wise_kl: jax.Array  # E log prod_d q(z_d) / p(z)


def rate_parts(log_posterior: ArrayLike, aggregate: LogAggregate, log_prior: ArrayLike) -> RateParts:
    """The parts from log-densities `[B]` at codes drawn from the posteriors; no constant is dropped.

    Args:
      log_posterior: `[B]` log q(z_i | x_i).
      aggregate: log q(z_i), `[B]`, and of its dimensions, `[B, D]`.
      log_prior: `[B]` log p(z_i).

    Source: Chen et al. 2018 (arXiv:1802.04942), eq. 2.
    """
    marginals = jnp.sum(aggregate.marginals, axis=-1)
    return RateParts(
        jnp.mean(jnp.asarray(log_posterior) - aggregate.joint),
        jnp.mean(aggregate.joint - marginals),
        jnp.mean(marginals - jnp.asarray(log_prior)),
    )


def beta_tcvae_loss(
    beta: ArrayLike, aggregate: AggregateEstimator, alpha: ArrayLike = 1.0, gamma: ArrayLike = 1.0
) -> Objective:
    """The objective distortion + alpha MI + beta TC + gamma dimension-wise KL, a mean over the batch, in nats.

    As the rate is the sum of the three, this is the negative ELBO with the rate in closed form, plus (alpha - 1) MI +
    (beta - 1) TC + (gamma - 1) dimension-wise KL, of which only the estimated parts have noise. Metrics: the true
    `elbo`, `rate`, `distortion`, and the three estimates.

    Args:
      beta: weight of the total correlation; the paper's best on dSprites is 6.
      aggregate: how q(z) and its marginals are estimated: `stratified(num_examples)`, the paper's
        `minibatch_weighted(num_examples)`, or `exact(xs)`.
      alpha: weight of the mutual information.
      gamma: weight of the dimension-wise KL.

    Raises:
      ValueError: where a weight below 0 is given; by the aggregate.
      TypeError: by the objective, where the posterior is no diagonal Normal over a vector.

    Source: Chen et al. 2018 (arXiv:1802.04942), eq. 2 and 4.
    """
    for name, value in (("beta", beta), ("alpha", alpha), ("gamma", gamma)):
        check_between(name, value, 0)

    def objective(model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        def example(vae: VAE, key: jax.Array, x: Any) -> tuple[Encoded, jax.Array]:
            encoded = encoded_example(vae, params, key, x)
            return encoded, vae.prior(params).log_prob(encoded.z)

        encoded, log_prior = map_over_batch(example, model, key, batch)
        posteriors = require_diagonal_normal("objectives.beta_tcvae_loss", encoded.posterior)
        parts = rate_parts(
            jax.vmap(Normal.log_prob)(posteriors, encoded.z),
            aggregate(model, params, posteriors, encoded.z),
            log_prior,
        )
        metrics = jax.tree.map(jnp.mean, elbo_metrics(encoded.terms)) | parts._asdict()
        weights = RateParts(jnp.asarray(alpha), jnp.asarray(beta), jnp.asarray(gamma))
        extra = sum((weight - 1) * part for weight, part in zip(weights, parts, strict=True))
        return extra - metrics["elbo"], encoded.aux(params, metrics)

    return objective
