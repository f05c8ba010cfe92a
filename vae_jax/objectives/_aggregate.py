"""The aggregate posterior q(z) = 1/N sum_n q(z | x_n) and its marginals, estimated at the codes of a batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import Distribution, log_prob_terms_of
from vae_jax.distributions._checks import check_count
from vae_jax.models._model import Example, Model, bind, model_input
from vae_jax.models._model import num_examples as count_examples
from vae_jax.params import Params


class LogAggregate(NamedTuple):
    """Log-densities in nats at `[B]` codes."""

    joint: jax.Array  # [B] log q(z)
    marginals: jax.Array  # [B, D] log q(z_d)


# (model, params, posteriors with a leading axis [B], codes [B, D] drawn from them) -> their aggregate log-densities
AggregateEstimator = Callable[[Model, Params, Distribution, jax.Array], LogAggregate]


def batch_log_aggregate(posteriors: Distribution, zs: ArrayLike, log_weights: ArrayLike) -> LogAggregate:
    """Log-density log sum_j W_ij q(z_i | x_j) of the weighted aggregate posterior, and its marginal log-densities.

    Args:
      posteriors: M posteriors, stacked along a leading axis `[M]`, each with `log_prob_terms` over `[D]`, such as a
        Normal.
      zs: `[B, D]` codes.
      log_weights: `[B, M]` log W.
    """
    zs, log_weights = jnp.asarray(zs), jnp.asarray(log_weights)
    chex.assert_rank([zs, log_weights], 2)
    of_posteriors = lambda z: jax.vmap(lambda q: log_prob_terms_of(q, z))(posteriors)
    densities = jax.vmap(of_posteriors)(zs)  # [B, M, D]
    chex.assert_rank(densities, 3)
    joint = jax.nn.logsumexp(log_weights + jnp.sum(densities, axis=-1), axis=1)
    return LogAggregate(joint, jax.nn.logsumexp(log_weights[..., None] + densities, axis=1))


def minibatch_log_weights(batch_size: int, num_examples: int) -> jax.Array:
    """Log-weights log 1 / (N M), `[M, M]`, of the estimate q(z_i) = 1 / (N M) sum_j q(z_i | x_j).

    The estimate is a lower bound of log q(z) in expectation, and far too low if M is small beside N: most of the mass
    at z_i is q(z_i | x_i), whose weight should be 1 / N instead of 1 / (N M).

    Source: Chen et al. 2018 (arXiv:1802.04942), eq. 3 and appendix C.1.
    """
    check_count("batch_size", batch_size)
    check_count("num_examples", num_examples)
    return jnp.full((batch_size, batch_size), -math.log(num_examples) - math.log(batch_size), jnp.float32)


def stratified_log_weights(batch_size: int, num_examples: int) -> jax.Array:
    """Log-weights log W, `[M, M]`: W is 1 / N on the diagonal and (N - 1) / (N (M - 1)) elsewhere.

    sum_j W_ij q(z_i | x_j) is then unbiased for q(z_i) if z_i is drawn for example i and the other examples of the
    batch are drawn without replacement (if M = N, it is q(z_i) itself). Appendix C.2 of the paper weighs the last
    example of the batch differently from the others; these weights are the average over which example is last. The
    code published with the paper puts the 1 / N in the first column instead of on the diagonal, which is biased.

    Source: Chen et al. 2018 (arXiv:1802.04942), appendix C.2.
    """
    own, others = -math.log(num_examples), math.log((num_examples - 1) / (num_examples * max(batch_size - 1, 1)))
    return jnp.where(jnp.eye(batch_size, dtype=bool), own, others).astype(jnp.float32)


def minibatch_weighted(num_examples: int) -> AggregateEstimator:
    """Estimator of the aggregate posterior with `minibatch_log_weights`, for a training set of N examples.

    Raises:
      ValueError: if num_examples is below 1.
    """
    check_count("num_examples", num_examples)
    return lambda model, params, posteriors, zs: batch_log_aggregate(
        posteriors, zs, minibatch_log_weights(zs.shape[0], num_examples)
    )


def stratified(num_examples: int) -> AggregateEstimator:
    """Estimator of the aggregate posterior with `stratified_log_weights`, for a training set of N examples.

    Raises:
      ValueError: if num_examples is below 2; by the estimator, if the batch has one example, or more than N.
    """
    check_count("num_examples", num_examples, 2)

    def estimate(model: Model, params: Params, posteriors: Distribution, zs: jax.Array) -> LogAggregate:
        if not 2 <= zs.shape[0] <= num_examples:
            raise ValueError(
                f"batch must hold 2 to {num_examples} (num_examples) examples for stratified weights, got {zs.shape[0]}"
            )
        return batch_log_aggregate(posteriors, zs, stratified_log_weights(zs.shape[0], num_examples))

    return estimate


def exact(xs: Any) -> AggregateEstimator:
    """Exact aggregate posterior of the examples xs, all of which are encoded at every step: for small data sets.

    Args:
      xs: a pytree of arrays `[N, ...]`, all examples after preprocessing; `Example(xs, contexts)` for a `Conditional`.
        Memory and time grow with N times the batch size.

    Raises:
      ValueError: if the leaves have different lengths.
      TypeError: if xs are raw uint8 pixels; by the estimator, if there are contexts and the model takes none, or there
        are none and the model takes them.
    """
    model_input("xs", xs.x if isinstance(xs, Example) else xs)
    xs, size = jax.tree.map(jnp.asarray, xs), count_examples("xs", xs)

    def estimate(model: Model, params: Params, posteriors: Distribution, zs: jax.Array) -> LogAggregate:
        def encoded(example: Any) -> Any:
            vae, x = bind(model, example, "xs")
            return vae.encode(params, x)

        return batch_log_aggregate(jax.vmap(encoded)(xs), zs, jnp.full((zs.shape[0], size), -math.log(size)))

    return estimate
