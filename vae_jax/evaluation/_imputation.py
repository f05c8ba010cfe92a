"""Imputation of missing values by importance sampling from the posterior."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions._checks import check_count
from vae_jax.evaluation._batches import in_batches
from vae_jax.evaluation._examples import checked_examples, rows_at, with_prior_computed
from vae_jax.evaluation._importance_sampling import SAMPLES_PER_BATCH, default_chunk_size, require_weights
from vae_jax.evaluation._require import require_at_least_one
from vae_jax.models._checks import check_example
from vae_jax.models._model import Example, Model, bind, check_takes_context
from vae_jax.params import Params


class Imputed(NamedTuple):
    """An example with its missing entries filled in, or N examples with a leading axis."""

    value: Any  # x; missing entries are weighted means, or the most probable categories
    draws: Any  # [num_draws, ...] draws of the complete x; None without num_draws
    effective_sample_size: jax.Array  # (sum w)^2 / sum w^2, between 1 and num_samples


def impute(
    model: Model,
    params: Params,
    key: jax.Array,
    example: Example,
    num_samples: int,
    num_draws: int = 0,
    *,
    chunk_size: int | None = None,
) -> Imputed:
    """Imputes the missing entries of one example by self-normalized importance sampling, K = num_samples.

      E[x_missing | x_observed] = sum_k w_k E[x_missing | z_k] / sum_k w_k,
      w_k = p(x_observed | z_k) p(z_k) / q(z_k | x_observed, mask),  z_k ~ q(z | x_observed, mask).

    Draws are made by sampling importance resampling: z is chosen among the z_k with probabilities proportional to w_k,
    and x_missing is drawn from p(x | z). Apply `jax.vmap` to it, or use `impute_examples` for a data set.

    Args:
      model: a model of examples with missing values (`models.with_missing`), whose posterior has a density.
      params: the model's parameters.
      key: PRNG key, consumed.
      example: `Example(x, mask)`; missing entries of x may hold any value, NaN included.
      num_samples: K, at least 1.
      num_draws: number of draws; with a small effective sample size many of them share one z.
      chunk_size: number of samples of z computed at once; None: as many as decode to four million values, at most 1000.

    Returns:
      `Imputed`. Observed entries are those of x, unchanged. Categories, such as those of `Categorical`, are imputed by
      the most probable one under the weighted probabilities. Missing entries are NaN if all weights are 0.

    Raises:
      ValueError: if a number is out of range, or the example does not suit the model.
      TypeError: if the model takes no mask, or its posterior has no density.
      UndefinedError: if a part of p(x | z) has neither a mean nor probabilities.

    Source: Mattei & Frellsen 2019 (arXiv:1812.02633), eq. 12 and 13.
    """
    check_takes_context(model, isinstance(example, Example))
    check_example(model, example.x, "example.x", example.context)
    require_at_least_one(num_samples=num_samples)
    check_count("num_draws", num_draws, 0)
    chunk_size = default_chunk_size(example, 1) if chunk_size is None else chunk_size
    require_at_least_one(chunk_size=chunk_size)
    return _imputed(model, params, key, jax.tree.map(jnp.asarray, example), num_samples, num_draws, chunk_size)


def impute_examples(
    model: Model,
    params: Params,
    key: jax.Array,
    xs: Example,
    num_samples: int,
    num_draws: int = 0,
    *,
    batch_size: int | None = None,
) -> Imputed:
    """Imputes every example of a data set, as `impute` does with the key `fold_in(key, i)` for example i.

    Args:
      model: a model of examples with missing values.
      params: the model's parameters.
      key: PRNG key, consumed.
      xs: `Example(xs, masks)`, both with a leading axis `[N]`.
      num_samples: K, at least 1.
      num_draws: number of draws per example.
      batch_size: number of examples per call of the compiled program, at least 1; None: as many as need half a million
        samples of z. Memory on the device does not grow with K or N beyond the results.

    Returns:
      `Imputed`, each leaf with a leading axis `[N]`; draws `[N, num_draws, ...]`.

    Raises:
      ValueError: if a number is out of range, or xs holds no example, or examples that do not suit the model.
      TypeError: if the model takes no mask, or its posterior has no density.
      UndefinedError: if a part of p(x | z) has neither a mean nor probabilities.
    """
    check_takes_context(model, isinstance(xs, Example))
    xs, count = checked_examples(model, xs)
    require_at_least_one(num_samples=num_samples)
    check_count("num_draws", num_draws, 0)
    batch_size = max(1, SAMPLES_PER_BATCH // num_samples) if batch_size is None else batch_size
    require_at_least_one(batch_size=batch_size)
    require_weights(model, params, xs)
    chunk_size = default_chunk_size(xs, count)
    program = lambda indices: _imputed_at(
        model, params, key, indices, rows_at(xs, indices), num_samples, num_draws, chunk_size
    )
    return in_batches(program, count, batch_size)


@partial(jax.jit, static_argnames=("model", "num_samples", "num_draws", "chunk_size"))
def _imputed_at(
    model: Model,
    params: Params,
    key: jax.Array,
    indices: jax.Array,
    xs: Any,
    num_samples: int,
    num_draws: int,
    chunk_size: int,
) -> Imputed:
    """Imputes one batch of examples, given their indices in the data set, in one program."""
    model = with_prior_computed(model, params, xs)

    def one(index_and_example: tuple[jax.Array, Any]) -> Imputed:
        index, example = index_and_example
        return _imputed(model, params, jax.random.fold_in(key, index), example, num_samples, num_draws, chunk_size)

    # With few samples per example, several examples are computed at once, so that a chunk is always full.
    at_once = min(max(1, chunk_size // max(num_samples, num_draws)), indices.shape[0])
    return jax.lax.map(one, (indices, xs), batch_size=at_once)


class _Average(NamedTuple):
    """Running weighted average; total and values are relative to the largest log-weight, to avoid overflow."""

    largest: jax.Array
    total: jax.Array
    values: Any


@partial(jax.jit, static_argnames=("model", "num_samples", "num_draws", "chunk_size"))
def _imputed(
    model: Model, params: Params, key: jax.Array, example: Example, num_samples: int, num_draws: int, chunk_size: int
) -> Imputed:
    sample_key, choice_key, draw_key = jax.random.split(key, 3)
    vae, x = bind(model, example, "example")
    posterior, prior = vae.encode(params, x), vae.prior(params)
    chunk = -(-num_samples // -(-num_samples // chunk_size))  # equal chunks: few samples are drawn in excess

    def draw(k: jax.Array) -> tuple[Any, jax.Array]:
        z, log_q = posterior.sample_and_log_prob(jax.random.fold_in(sample_key, k))
        return vae.decode(params, z), prior.log_prob(z) - log_q

    def weighted(k: jax.Array) -> tuple[jax.Array, Any]:
        decoded, log_ratio = draw(k)
        return jnp.where(k < num_samples, decoded.log_prob(x) + log_ratio, -jnp.inf), decoded.expectation

    def add_chunk(average: _Average, start: jax.Array) -> tuple[_Average, jax.Array]:
        log_weights, values = jax.vmap(weighted)(start + jnp.arange(chunk))
        return _merged(average, log_weights, values), log_weights

    shapes = jax.eval_shape(weighted, jnp.zeros((), jnp.int32))[1]
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    start = _Average(jnp.full((), -jnp.inf), jnp.zeros(()), empty)
    average, log_weights = jax.lax.scan(add_chunk, start, jnp.arange(0, num_samples, chunk))
    weights = jnp.exp(jnp.ravel(log_weights)[:num_samples] - average.largest)
    decoded, _ = draw(jnp.zeros((), jnp.int32))
    if not hasattr(decoded, "observed"):
        raise TypeError("model must know what is observed, as models.with_missing does: its p(x | z) has no mask")
    fill = lambda values: jax.tree.map(lambda seen, own, new: jnp.where(seen, own, new), decoded.observed, x, values)

    def drawn(j: jax.Array, k: jax.Array) -> Any:
        return fill(draw(k)[0].sample(jax.random.fold_in(draw_key, j)))

    draws = None
    if num_draws:
        chosen = _chosen(choice_key, weights, num_draws)
        draws = jax.lax.map(lambda pair: drawn(*pair), (jnp.arange(num_draws), chosen), batch_size=chunk_size)
    value = fill(decoded.estimate(jax.tree.map(lambda leaf: leaf / average.total, average.values)))
    effective = jnp.square(jnp.sum(weights)) / jnp.sum(jnp.square(weights))
    return Imputed(value, draws, effective)


def _merged(average: _Average, log_weights: jax.Array, values: Any) -> _Average:
    largest = jnp.maximum(average.largest, jnp.max(log_weights))
    reference = jnp.where(jnp.isneginf(largest), 0.0, largest)
    shrink, weights = jnp.exp(average.largest - reference), jnp.exp(log_weights - reference)
    add = lambda total, own: total * shrink + jnp.tensordot(weights, own, axes=1)
    return _Average(largest, average.total * shrink + jnp.sum(weights), jax.tree.map(add, average.values, values))


def _chosen(key: jax.Array, weights: jax.Array, num_draws: int) -> jax.Array:
    """Indices `[num_draws]`, independent with probabilities proportional to the weights `[K]`, in O(K) memory."""
    cumulative = jnp.cumsum(weights)
    places = cumulative[-1] * jax.random.uniform(key, (num_draws,))
    return jnp.minimum(jnp.searchsorted(cumulative, places, side="right"), weights.shape[0] - 1)
