"""ELBO surgery: decomposition of the average KL divergence by the aggregate posterior of a data set."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution, UndefinedError, log_prob_terms_of
from vae_jax.evaluation._examples import (
    Estimate,
    checked_examples,
    contexts_of,
    mean_over_examples,
    rows_at,
    with_prior_computed,
)
from vae_jax.evaluation._require import require_at_least_one, require_density
from vae_jax.models._model import Model, bind, common_prior, num_examples
from vae_jax.params import Params

_CHUNK = 64  # number of points drawn at once


class SurgeryTerms(NamedTuple):
    """Log-densities in nats of S points z_i ~ q(z | x_i), each x_i one of the N examples."""

    posterior: jax.Array  # [S] log q(z_i | x_i)
    aggregate: jax.Array  # [S] log q(z_i), q(z) = 1/N sum_n q(z | x_n)
    marginals: jax.Array | None  # [S] sum_d log q(z_id); None if the dimensions of q(z | x) are not independent
    prior: jax.Array  # [S] log p(z_i)


class ElboSurgery(NamedTuple):
    """Decomposition of 1/N sum_n KL(q(z | x_n) || p(z)): means over points z with standard errors, in nats.

    average_kl = mutual_information + marginal_kl, and marginal_kl = total_correlation + dimension_wise_kl. Both hold
    exactly for the estimates, which share their points.
    """

    average_kl: Estimate  # the rate, estimated from the points
    mutual_information: Estimate  # I(n; z) = E[log q(z | x_n) / q(z)], between 0 and log N
    marginal_kl: Estimate  # KL(q(z) || p(z))
    # None if q(z | x) has no `log_prob_terms`, that is, no independent dimensions.
    total_correlation: Estimate | None  # KL(q(z) || prod_d q(z_d))
    dimension_wise_kl: Estimate | None  # sum_d KL(q(z_d) || p(z_d)); also None if p(z) has no `log_prob_terms`


def elbo_surgery(model: Model, params: Params, key: jax.Array, xs: Any, num_points: int | None = None) -> ElboSurgery:
    """Decomposes 1/N sum_n KL(q(z | x_n) || p(z)) = I(n; z) + KL(q(z) || prod_d q(z_d)) + sum_d KL(q(z_d) || p(z_d)).

    The aggregate posterior q(z) = 1/N sum_n q(z | x_n) and its marginals are exact sums over all N examples; the
    expectation over q(z) is a mean over S points. Time grows with N S D, memory does not grow with N S.

    The mutual information is between the code and the index of an example among these N. It cannot exceed log N: if it
    is close to log N, the N posteriors hardly overlap, and with more examples it would be larger.

    Args:
      model: a VAE, or a `Conditional` whose prior is the same for all contexts; its posterior must have a density. z
        may be any pytree.
      params: the model's parameters.
      key: PRNG key, consumed.
      xs: `[N, ...]` examples after preprocessing; `Example(xs, contexts)` for a `Conditional`.
      num_points: S, at least 1; None: N, one point per example. S < N uses S examples, drawn without replacement; S > N
        uses examples repeatedly. The standard errors are those of S independent points, and slightly too large, because
        the points are spread evenly over the examples.

    Raises:
      ValueError: if num_points is below 1, xs holds no example, or one that does not suit the model.
      UndefinedError: a TypeError, if the prior depends on the context: the decomposition needs a single p(z).
      TypeError: if the posterior has no density; if xs have contexts and the model takes none, or have none and the
        model takes them.

    Source: Hoffman & Johnson 2016 [hoffman2016elbo], section 2; Chen et al. 2018 (arXiv:1802.04942), eq. 2.
    """
    terms = surgery_terms(model, params, key, xs, num_points)
    total_correlation = dimension_wise_kl = None
    if terms.marginals is not None:
        total_correlation = mean_over_examples(terms.aggregate - terms.marginals)
        if _have_same_factors(model, params, xs):
            dimension_wise_kl = mean_over_examples(terms.marginals - terms.prior)
    return ElboSurgery(
        mean_over_examples(terms.posterior - terms.prior),
        mean_over_examples(terms.posterior - terms.aggregate),
        mean_over_examples(terms.aggregate - terms.prior),
        total_correlation,
        dimension_wise_kl,
    )


def surgery_terms(model: Model, params: Params, key: jax.Array, xs: Any, num_points: int | None = None) -> SurgeryTerms:
    """Log-densities whose differences `elbo_surgery` averages; arguments and errors as for `elbo_surgery`."""
    xs, count = checked_examples(model, xs)
    num_points = count if num_points is None else num_points
    require_at_least_one(num_points=num_points)
    first = lambda: _posterior(model, params, rows_at(xs, 0))
    require_density("model.encode", first, "without one the code carries no measurable information")
    priors: list[Distribution | None] = []
    jax.eval_shape(lambda: priors.append(common_prior(model, params, contexts_of(xs))))
    if priors[0] is None:
        raise UndefinedError("elbo_surgery needs the same p(z) for all contexts, but the model's prior depends on them")
    return _surgery_terms(model, params, key, xs, num_points)


@partial(jax.jit, static_argnames=("model", "num_points"))
def _surgery_terms(model: Model, params: Params, key: jax.Array, xs: Any, num_points: int) -> SurgeryTerms:
    choice_key, draw_key = jax.random.split(key)
    indices = jnp.resize(jax.random.permutation(choice_key, num_examples("xs", xs)), (num_points,))
    model = with_prior_computed(model, params, xs)

    def draw(key_and_index: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array, jax.Array]:
        key, index = key_and_index
        vae, x = bind(model, rows_at(xs, index), "xs")
        posterior = vae.encode(params, x)
        z = posterior.sample(key)
        # log_prob of the rounded z, as for all other examples below.
        return z, posterior.log_prob(z), vae.prior(params).log_prob(z)

    keys = jax.random.split(draw_key, num_points)
    points, log_posterior, log_prior = jax.lax.map(draw, (keys, indices), batch_size=min(_CHUNK, num_points))
    aggregate = _aggregate_log_densities(model, params, xs, points)
    marginals = jnp.sum(aggregate[1:], axis=0) if aggregate.shape[0] > 1 else None
    return SurgeryTerms(log_posterior, aggregate[0], marginals, log_prior)


class _LogSums(NamedTuple):
    """Running sum of exponentials, log sum exp(v) = largest + log(total)."""

    largest: jax.Array
    total: jax.Array


def _aggregate_log_densities(model: Model, params: Params, xs: Any, points: Any) -> jax.Array:
    """Log-densities of the aggregate posterior, and of its marginals if z has independent dimensions: `[1 (+ D), S]`.

    log 1/N sum_n q(z_i | x_n), summed example by example over all points at once: no array is larger than two results.
    """

    def densities_of(posterior: Distribution) -> jax.Array:
        return jax.vmap(partial(_log_densities, posterior), out_axes=-1)(points)

    def add_example(sums: _LogSums, example: Any) -> tuple[_LogSums, None]:
        densities = densities_of(_posterior(model, params, example))
        # The smaller of the two relative to the larger: one exponential, and no overflow.
        ratios = jnp.exp(-jnp.abs(densities - sums.largest))
        total = jnp.where(densities > sums.largest, sums.total * ratios + 1.0, sums.total + ratios)
        return _LogSums(jnp.maximum(densities, sums.largest), total), None

    result = jax.eval_shape(lambda example: densities_of(_posterior(model, params, example)), rows_at(xs, 0))
    # The lowest finite number, because -inf minus -inf is NaN.
    sums = _LogSums(jnp.full(result.shape, jnp.finfo(result.dtype).min), jnp.zeros(result.shape, result.dtype))
    sums, _ = jax.lax.scan(add_example, sums, xs)
    return sums.largest + jnp.log(sums.total) - jnp.log(num_examples("xs", xs))


def _posterior(model: Model, params: Params, example: Any) -> Distribution:
    vae, x = bind(model, example, "xs")
    return vae.encode(params, x)


def _log_densities(posterior: Distribution, z: Any) -> jax.Array:
    """Log-density of z, followed by those of its D dimensions if they are independent: `[1]` or `[1 + D]`."""
    try:
        terms = log_prob_terms_of(posterior, z)
    except UndefinedError:
        return posterior.log_prob(z)[None]
    dimensions = jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(terms)])
    return jnp.concatenate([jnp.sum(dimensions)[None], dimensions])


def _have_same_factors(model: Model, params: Params, xs: Any) -> bool:
    """Returns True if q(z | x) and p(z) factorize over the same parts of z; only traced, not computed."""

    def terms(distribution: Distribution, z: Any) -> list[tuple[int, ...]]:
        return [jnp.shape(leaf) for leaf in jax.tree.leaves(log_prob_terms_of(distribution, z))]

    shapes: list[list[tuple[int, ...]]] = []

    def both() -> None:
        vae, x = bind(model, rows_at(xs, 0), "xs")
        posterior = vae.encode(params, x)
        z = posterior.sample(jax.random.key(0))
        shapes.extend([terms(posterior, z), terms(vae.prior(params), z)])

    try:
        jax.eval_shape(both)
    except UndefinedError:
        return False
    return shapes[0] == shapes[1]
