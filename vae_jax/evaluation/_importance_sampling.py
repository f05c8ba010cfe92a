"""Log-likelihood by importance sampling from the posterior, with diagnostics of the estimate."""

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
# The activations of a decoder take some tens of times the memory of x: this gives 1000 samples for 28 x 28 images, and
# 20 for 256 x 256 x 3 images.
PIXELS_PER_CHUNK, LARGEST_CHUNK = 4_000_000, 1000


class ImportanceSampled(NamedTuple):
    """Estimates for each of N examples from K importance weights w."""

    log_likelihood: jax.Array  # [N] log(1/K sum w), nats; in expectation a lower bound of log p(x)
    effective_sample_size: jax.Array  # [N] (sum w)^2 / sum w^2, between 1 and K
    pareto_k: jax.Array  # [N] shape of the weights' tail, never NaN; infinite if K < 21, too few to fit a tail


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
    """Estimates log p(x) of every example by log 1/K sum_k p(x, z_k) / q(z_k | x), with diagnostics of the weights.

    One program is compiled for all batches. It computes chunk_size samples of z at once: memory does not grow with K or
    N. The encoder is evaluated once per example, not once per sample, and so is a prior that depends on the context;
    any other prior is evaluated once per batch. Sample k of example i has the key `fold_in(fold_in(key, i), k)`:
    chunk_size and batch_size do not change the estimates beyond rounding.

    Args:
      model: a VAE, or a `Conditional`; its posterior must have a density. z may be any pytree.
      params: the model's parameters.
      key: PRNG key, consumed.
      xs: `[N, ...]` examples after preprocessing; `Example(xs, contexts)` for a `Conditional`.
      num_samples: K, at least 1; the paper uses 5000.
      chunk_size: number of samples of z computed at once, at least 1; None: as many as decode to four million pixels
        (values of x), at most 1000.
      batch_size: number of examples per call of the compiled program, at least 1; None: as many as need half a million
        samples of z (some seconds on a CPU).
      on_batch: called with the estimates of each batch as soon as they are computed, to show progress or to keep
        partial results of an interrupted evaluation.

    Returns:
      `ImportanceSampled`, each field `[N]`. `mean_over_examples` gives the mean and its standard error;
      `importance_warning` warns if the mean is not reliable.

    Raises:
      ValueError: if num_samples, chunk_size or batch_size is below 1, or xs holds no example, or examples that do not
        suit the model.
      TypeError: if the model's posterior has no density; if xs have contexts and the model takes none, or have none and
        the model takes them.

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
    """Number of samples of z computed at once, given `count` examples xs."""
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
    """Running statistics of importance weights; the sums are relative to the largest weight, to avoid overflow."""

    largest: jax.Array  # [M + 1] log-weights in descending order
    total: jax.Array  # sum exp(log w - largest[0])
    squares: jax.Array  # sum exp(2 (log w - largest[0]))


def _merge(weights: _Weights, log_weights: jax.Array) -> _Weights:
    largest = jax.lax.top_k(jnp.concatenate([weights.largest, log_weights]), weights.largest.shape[0])[0]
    # If all weights so far are zero, any finite reference is correct.
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
    """Estimates for one batch of examples, given their indices in the data set, in one program."""
    num_chunks = -(-num_samples // chunk_size)
    chunk = -(-num_samples // num_chunks)  # equal chunks, so that fewer than num_chunks samples are drawn in excess
    model = with_prior_computed(model, params, xs)
    # top_k cannot return more values than there are; with fewer samples than M + 1 there is no tail anyway.
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

    # With few samples per example, several examples are computed at once, so that a chunk is always full.
    return jax.lax.map(example, (indices, xs), batch_size=min(max(1, chunk_size // num_samples), indices.shape[0]))


def _estimate(weights: _Weights, num_samples: int) -> ImportanceSampled:
    log_likelihood = weights.largest[0] + jnp.log(weights.total) - jnp.log(num_samples)
    ratio = jnp.square(weights.total) / weights.squares
    # 0 / 0 if all weights are zero.
    effective = jnp.where(weights.squares > 0.0, jnp.clip(ratio, 1.0, num_samples), 1.0)
    return ImportanceSampled(log_likelihood, effective, pareto_k(weights.largest))


def importance_warning(estimates: ImportanceSampled, num_samples: int, tolerated_share: float = 0.01) -> str | None:
    """Warning that explains why the mean of these estimates is not reliable; None if there is no sign of a problem.

    Args:
      estimates: the result of `importance_sampling`.
      num_samples: K, as passed to `importance_sampling`; it determines `pareto_k_limit`.
      tolerated_share: fraction of the examples that may have weights with a tail whose k is above the limit; one in a
        hundred hardly changes the mean over examples.
    """
    impossible = int(np.sum(~np.isfinite(estimates.log_likelihood)))
    if impossible:
        return (
            f"{impossible} of the {len(estimates.log_likelihood)} examples have a log-likelihood that is not finite, "
            "so there is no mean: their density under the model is 0, or its parameters are not finite"
        )
    ks, effective = np.asarray(estimates.pareto_k), np.asarray(estimates.effective_sample_size)
    if np.isposinf(ks).all():
        return (
            "the tail of the importance weights cannot be assessed: there are fewer than 21 samples, or one of them "
            f"outweighs all others (median effective sample size {np.median(effective):.3g}). Take more samples, train "
            "a better posterior, or use annealed_importance_sampling"
        )
    limit = pareto_k_limit(num_samples)
    heavy = ks > limit
    if np.mean(heavy) <= tolerated_share:
        return None
    # An infinite k with a large effective sample size means equal weights, not one weight that outweighs all others.
    if np.mean(np.isposinf(ks[heavy]) & (effective[heavy] > MIN_TAIL)) > 0.5:
        return (
            f"the importance weights of {np.mean(heavy):.1%} of the {ks.size} examples have no tail that can be "
            "assessed: many are equal, as for a z that is not real-valued (median effective sample size "
            f"{np.median(effective[heavy]):.3g} of {num_samples}). Check if more samples change their mean"
        )
    return (
        f"{np.mean(heavy):.1%} of the {ks.size} examples have importance weights with a tail too heavy for their mean "
        f"(Pareto k > {limit:.2g}; median effective sample size {np.median(effective[heavy]):.3g}): their "
        "log-likelihoods are likely too low, by an amount that the standard error does not show. Take more samples, "
        "train a better posterior, or use annealed_importance_sampling"
    )
