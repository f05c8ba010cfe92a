"""The ELBO surgery: the average KL divergence taken apart by the aggregate posterior of a data set."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import Distribution, Normal
from vae_jax.evaluation._examples import Estimate, mean_over_examples
from vae_jax.evaluation._require import require_at_least_one, require_density, type_made_by
from vae_jax.models._model import VAE, model_input
from vae_jax.params import Params

_CHUNK = 64  # points that are drawn at once


class SurgeryTerms(NamedTuple):
    """Log-densities in nats of S points z_i ~ q(z | x_i), each x_i one of the N examples."""

    posterior: jax.Array  # [S] log q(z_i | x_i)
    aggregate: jax.Array  # [S] log q(z_i), q(z) = 1/N sum_n q(z | x_n)
    marginals: jax.Array | None  # [S] sum_d log q(z_id); None where the posterior is no diagonal Normal
    prior: jax.Array  # [S] log p(z_i)


class ElboSurgery(NamedTuple):
    """The parts of 1/N sum_n KL(q(z | x_n) || p(z)), each a mean over points z with its standard error, in nats.

    average_kl = mutual_information + marginal_kl, and marginal_kl = total_correlation + dimension_wise_kl: the
    estimates share their points, so both hold for the estimates themselves.
    """

    average_kl: Estimate  # the rate, by the points
    mutual_information: Estimate  # I(n; z) = E[log q(z | x_n) / q(z)], between 0 and log N
    marginal_kl: Estimate  # KL(q(z) || p(z))
    total_correlation: Estimate | None  # KL(q(z) || prod_d q(z_d)); None where q(z | x) is no diagonal Normal
    dimension_wise_kl: Estimate | None  # sum_d KL(q(z_d) || p(z_d)); None where q(z | x) or p(z) is no diagonal Normal


def elbo_surgery(
    model: VAE, params: Params, key: jax.Array, xs: ArrayLike, num_points: int | None = None
) -> ElboSurgery:
    """1/N sum_n KL(q(z | x_n) || p(z)) = I(n; z) + KL(q(z) || prod_d q(z_d)) + sum_d KL(q(z_d) || p(z_d)).

    The aggregate posterior q(z) = 1/N sum_n q(z | x_n) and its marginals are exact, sums over all N examples; the
    expectation over q(z) is a mean over S points. Time grows with N S D, memory does not grow with N S.

    The mutual information is that of the code and the index of an example among these N. It cannot exceed log N: where
    it comes near, the N posteriors hardly overlap, and on more examples it would be larger.

    Args:
      model: the model; its posterior must have a density. z may be any pytree.
      params: its parameters.
      key: PRNG key, consumed.
      xs: `[N, ...]` examples as the model sees them.
      num_points: S, at least 1; None: N, one an example. S < N takes S of the examples, drawn without replacement;
        S > N goes round again. The standard errors are those of S independent points: a little too large, as the
        examples share the points out evenly.

    Raises:
      ValueError: where num_points is below 1, or xs holds no example.
      TypeError: where the posterior has no density.

    Source: Hoffman & Johnson 2016 [hoffman2016elbo], section 2; Chen et al. 2018 (arXiv:1802.04942), eq. 2.
    """
    terms = surgery_terms(model, params, key, xs, num_points)
    total_correlation = dimension_wise_kl = None
    if terms.marginals is not None:
        total_correlation = mean_over_examples(terms.aggregate - terms.marginals)
        if issubclass(type_made_by(lambda: model.prior(params)), Normal):
            dimension_wise_kl = mean_over_examples(terms.marginals - terms.prior)
    return ElboSurgery(
        mean_over_examples(terms.posterior - terms.prior),
        mean_over_examples(terms.posterior - terms.aggregate),
        mean_over_examples(terms.aggregate - terms.prior),
        total_correlation,
        dimension_wise_kl,
    )


def surgery_terms(
    model: VAE, params: Params, key: jax.Array, xs: ArrayLike, num_points: int | None = None
) -> SurgeryTerms:
    """The log-densities whose differences `elbo_surgery` averages; arguments and errors are the same."""
    xs = model_input("xs", xs)
    require_at_least_one(**{"the number of examples in xs": xs.shape[0]})
    num_points = xs.shape[0] if num_points is None else num_points
    require_at_least_one(num_points=num_points)
    require_density(
        "model.encode", lambda: model.encode(params, xs[0]), "without one the code carries no measurable information"
    )
    return _surgery_terms(model, params, key, xs, num_points)


@partial(jax.jit, static_argnames=("model", "num_points"))
def _surgery_terms(model: VAE, params: Params, key: jax.Array, xs: jax.Array, num_points: int) -> SurgeryTerms:
    choice_key, draw_key = jax.random.split(key)
    indices = jnp.resize(jax.random.permutation(choice_key, xs.shape[0]), (num_points,))
    prior = model.prior(params)

    def draw(key_and_index: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array, jax.Array]:
        key, index = key_and_index
        posterior = model.encode(params, xs[index])
        z = posterior.sample(key)
        # By log_prob, as for all other examples below: z is what it has been rounded to.
        return z, posterior.log_prob(z), prior.log_prob(z)

    keys = jax.random.split(draw_key, num_points)
    points, log_posterior, log_prior = jax.lax.map(draw, (keys, indices), batch_size=min(_CHUNK, num_points))
    aggregate = _aggregate_log_densities(model, params, xs, points)
    marginals = jnp.sum(aggregate[1:], axis=0) if aggregate.shape[0] > 1 else None
    return SurgeryTerms(log_posterior, aggregate[0], marginals, log_prior)


class _LogSums(NamedTuple):
    """log sum exp(v) = largest + log(total)."""

    largest: jax.Array
    total: jax.Array


def _aggregate_log_densities(model: VAE, params: Params, xs: jax.Array, points: Any) -> jax.Array:
    """log 1/N sum_n of q(z_i | x_n), and of each q(z_id | x_n) where z has independent dimensions: `[1 (+ D), S]`.

    One example after the other, over all points at once: no array is larger than two such results.
    """

    def densities_of(posterior: Distribution) -> jax.Array:
        return jax.vmap(partial(_log_densities, posterior), out_axes=-1)(points)

    def add_example(sums: _LogSums, x: jax.Array) -> tuple[_LogSums, None]:
        densities = densities_of(model.encode(params, x))
        # The smaller of the two in units of the larger: one exponential, and no overflow.
        ratios = jnp.exp(-jnp.abs(densities - sums.largest))
        total = jnp.where(densities > sums.largest, sums.total * ratios + 1.0, sums.total + ratios)
        return _LogSums(jnp.maximum(densities, sums.largest), total), None

    result = jax.eval_shape(lambda x: densities_of(model.encode(params, x)), xs[0])
    # The lowest finite number, as -inf minus -inf is none.
    sums = _LogSums(jnp.full(result.shape, jnp.finfo(result.dtype).min), jnp.zeros(result.shape, result.dtype))
    sums, _ = jax.lax.scan(add_example, sums, xs)
    return sums.largest + jnp.log(sums.total) - jnp.log(xs.shape[0])


def _log_densities(posterior: Distribution, z: Any) -> jax.Array:
    """The log-density of z, and then those of its D dimensions where they are independent: `[1]` or `[1 + D]`."""
    if not isinstance(posterior, Normal):
        return posterior.log_prob(z)[None]
    dimensions = jax.vmap(Normal.log_prob)(*jax.tree.map(jnp.ravel, (posterior, z)))
    return jnp.concatenate([jnp.sum(dimensions)[None], dimensions])
