"""log p(x) by importance sampling from the posterior, and whether the estimate can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.evaluation._batches import in_batches
from vae_jax.evaluation._examples import checked_examples, rows_at, with_prior_computed
from vae_jax.evaluation._pareto import MIN_TAIL, pareto_k, pareto_k_limit, tail_length
from vae_jax.evaluation._require import require_at_least_one, require_density
from vae_jax.models._model import Example, Model, bind
from vae_jax.params import Params

SAMPLES_PER_BATCH = 500_000
# A decoder's activations are some tens of times its image (or any x): 1000 samples of a 28 x 28 one, 20 of a
# 256 x 256 x 3 one.
PIXELS_PER_CHUNK, LARGEST_CHUNK = 4_000_000, 1000


class ImportanceSampled(NamedTuple):
    """What K importance weights w say about each of N examples."""

    log_likelihood: jax.Array  # [N] log(1/K sum w), nats; in expectation a lower bound of log p(x)
    effective_sample_size: jax.Array  # [N] (sum w)^2 / sum w^2, between 1 and K
    pareto_k: jax.Array  # [N] shape of the weights' tail, never NaN; infinity where K < 21 leaves no tail to fit


def importance_sampling(
    model: Model,
    params: Params,
    key: jax.Array,
    xs: Any,
    num_samples: int,
    *,
    chunk_size: int | None = None,
    batch_size: int | None = None,
    on_batch: Callable[[ImportanceSampled], None] | None = None,
) -> ImportanceSampled:
    """log 1/K sum_k p(x, z_k) / q(z_k | x) of every example, with the diagnostics of its weights.

    One program is compiled for all batches; it holds chunk_size samples of z at once, so memory does not grow with K or
    N. The encoder is evaluated once an example, not once a sample, and so is a prior that depends on the context; any
    other prior once a batch. Sample k of example i has the key `fold_in(fold_in(key, i), k)`: chunk_size and batch_size
    do not change the estimates beyond rounding.

    Args:
      model: a VAE, or a `Conditional`; its posterior must have a density. z may be any pytree.
      params: its parameters.
      key: PRNG key, consumed.
      xs: `[N, ...]` examples as the model sees them; `Example(xs, contexts)` for a `Conditional`.
      num_samples: K, at least 1; the paper takes 5000.
      chunk_size: samples of z held at once, at least 1; if None, as many as have four million pixels (numbers of x)
        together, and at most 1000.
      batch_size: examples a call of the compiled program, at least 1; if None, as many as make half a million
        samples of z (some seconds on a CPU).
      on_batch: called with the estimates of each batch as soon as they are there: for progress, or to keep what is
        done when the evaluation is interrupted.

    Returns:
      `ImportanceSampled`, each field `[N]`. `mean_over_examples` gives the mean and its standard error;
      `importance_warning` says whether to trust it.

    Raises:
      ValueError: if num_samples, chunk_size or batch_size is below 1, or xs holds no example, or not the model's.
      TypeError: if the model's posterior has no density; if xs have contexts and the model takes none, or the other way
        round.

    Source: Burda et al. 2016 (arXiv:1509.00519), section 5; diagnostics: Vehtari et al. 2024 (arXiv:1507.02646).
    """
    xs, count = checked_examples(model, xs)
    require_at_least_one(num_samples=num_samples)
    if chunk_size is None:
        chunk_size = default_chunk_size(xs, count)
    if batch_size is None:
        batch_size = max(1, SAMPLES_PER_BATCH // num_samples)
    require_at_least_one(chunk_size=chunk_size, batch_size=batch_size)
    require_weights(model, params, xs)
    program = lambda indices: estimates_at(model, params, key, indices, rows_at(xs, indices), num_samples, chunk_size)
    return in_batches(program, count, batch_size, on_batch)


def default_chunk_size(xs: Any, count: int) -> int:
    """The number of samples of z that are held at once for `count` examples like these."""
    x = xs.x if isinstance(xs, Example) else xs
    size = sum(leaf.size for leaf in jax.tree.leaves(x)) // count
    return min(max(1, PIXELS_PER_CHUNK // max(1, size)), LARGEST_CHUNK)


def require_weights(model: Model, params: Params, xs: Any) -> None:
    """Raises TypeError if the posterior of the first example has no density."""

    def posterior() -> Any:
        vae, x = bind(model, rows_at(xs, 0), "xs")
        return vae.encode(params, x)

    remedy = "importance weights need one; annealed_importance_sampling from the prior does not"
    require_density("the posterior of model", posterior, remedy)


class _Weights(NamedTuple):
    """What is kept of the weights seen so far; the sums are relative to the largest, so that nothing overflows."""

    largest: jax.Array  # [M + 1] log-weights in descending order
    total: jax.Array  # sum exp(log w - largest[0])
    squares: jax.Array  # sum exp(2 (log w - largest[0]))


def _merge(weights: _Weights, log_weights: jax.Array) -> _Weights:
    largest = jax.lax.top_k(jnp.concatenate([weights.largest, log_weights]), weights.largest.shape[0])[0]
    # All weights zero so far: any finite reference will do.
    reference = jnp.where(jnp.isneginf(largest[0]), 0.0, largest[0])
    shrink = jnp.exp(weights.largest[0] - reference)
    ratios = jnp.exp(log_weights - reference)
    return _Weights(
        largest,
        weights.total * shrink + jnp.sum(ratios),
        weights.squares * jnp.square(shrink) + jnp.sum(jnp.square(ratios)),
    )


@partial(jax.jit, static_argnames=("model", "num_samples", "chunk_size"))
def estimates_at(
    model: Model, params: Params, key: jax.Array, indices: jax.Array, xs: Any, num_samples: int, chunk_size: int
) -> ImportanceSampled:
    """The estimates of examples that have these indices in their data set, as one program."""
    num_chunks = -(-num_samples // chunk_size)
    chunk = -(-num_samples // num_chunks)  # chunks of equal size: fewer than num_chunks samples are drawn in vain
    model = with_prior_computed(model, params, xs)
    # top_k wants no more places than there are values; with fewer samples than M + 1 there is no tail anyway.
    empty = _Weights(jnp.full(min(tail_length(num_samples) + 1, num_samples), -jnp.inf), jnp.zeros(()), jnp.zeros(()))

    def example(index_and_example: tuple[jax.Array, Any]) -> ImportanceSampled:
        index, example = index_and_example
        vae, x = bind(model, example, "xs")
        example_key = jax.random.fold_in(key, index)
        posterior, prior = vae.encode(params, x), vae.prior(params)

        def log_weight(k: jax.Array) -> jax.Array:
            z, log_q = posterior.sample_and_log_prob(jax.random.fold_in(example_key, k))
            weight = vae.decode(params, z).log_prob(x) + prior.log_prob(z) - log_q
            return jnp.where(k < num_samples, weight, -jnp.inf)

        def add_chunk(weights: _Weights, start: jax.Array) -> tuple[_Weights, None]:
            return _merge(weights, jax.vmap(log_weight)(start + jnp.arange(chunk))), None

        weights, _ = jax.lax.scan(add_chunk, empty, chunk * jnp.arange(num_chunks))
        return _estimate(weights, num_samples)

    # Few samples an example: several examples at once, so that a chunk is always full.
    return jax.lax.map(example, (indices, xs), batch_size=min(max(1, chunk_size // num_samples), indices.shape[0]))


def _estimate(weights: _Weights, num_samples: int) -> ImportanceSampled:
    log_likelihood = weights.largest[0] + jnp.log(weights.total) - jnp.log(num_samples)
    ratio = jnp.square(weights.total) / weights.squares
    # 0 / 0 where all weights are zero.
    effective = jnp.where(weights.squares > 0.0, jnp.clip(ratio, 1.0, num_samples), 1.0)
    return ImportanceSampled(log_likelihood, effective, pareto_k(weights.largest))


def importance_warning(estimates: ImportanceSampled, num_samples: int, tolerated_share: float = 0.01) -> str | None:
    """The reason why the mean of these estimates is not to be trusted, in words; None if nothing speaks against it.

    Args:
      estimates: by `importance_sampling`.
      num_samples: K, as it was given to `importance_sampling`; `pareto_k_limit` follows from it.
      tolerated_share: of the examples, whose weights may have a tail with a k above the limit; a mean over examples
        hardly feels one in a hundred.
    """
    impossible = int(np.sum(~np.isfinite(estimates.log_likelihood)))
    if impossible:
        return (
            f"{impossible} of the {len(estimates.log_likelihood)} examples have a log-likelihood that is not finite, "
            "so there is no mean: the model gives them a density of 0, or its parameters are not finite"
        )
    ks, effective = np.asarray(estimates.pareto_k), np.asarray(estimates.effective_sample_size)
    if np.isposinf(ks).all():
        return (
            "the tail of the importance weights cannot be judged: there are fewer than 21 samples, or one of them "
            f"outweighs all others (median effective sample size {np.median(effective):.3g}). Take more samples, train "
            "a better posterior, or use annealed_importance_sampling"
        )
    limit = pareto_k_limit(num_samples)
    heavy = ks > limit
    if np.mean(heavy) <= tolerated_share:
        return None
    # A k that is infinite beside many weights that count: equal weights, not one that outweighs all others.
    if np.mean(np.isposinf(ks[heavy]) & (effective[heavy] > MIN_TAIL)) > 0.5:
        return (
            f"the importance weights of {np.mean(heavy):.1%} of the {ks.size} examples have no tail to be judged by: "
            f"many are equal, as where z is not of real numbers (median effective sample size "
            f"{np.median(effective[heavy]):.3g} of {num_samples}). See whether more samples change their mean"
        )
    return (
        f"{np.mean(heavy):.1%} of the {ks.size} examples have importance weights with a tail too heavy for their mean "
        f"(Pareto k > {limit:.2g}; median effective sample size {np.median(effective[heavy]):.3g}): their "
        "log-likelihoods are likely too low, by an amount that the standard error does not show. Take more samples, "
        "train a better posterior, or use annealed_importance_sampling"
    )
