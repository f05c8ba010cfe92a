"""log p(x) by importance sampling from the posterior, and whether the estimate can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.evaluation._batches import in_batches
from vae_jax.evaluation._pareto import MIN_TAIL, pareto_k, pareto_k_limit, tail_length
from vae_jax.evaluation._require import require_at_least_one, require_density
from vae_jax.models._checks import check_examples
from vae_jax.models._model import VAE, model_input
from vae_jax.params import Params

SAMPLES_PER_BATCH = 500_000
# A decoder's activations are some tens of times its image: 1000 samples of a 28 x 28 one, 20 of a 256 x 256 x 3 one.
PIXELS_PER_CHUNK, LARGEST_CHUNK = 4_000_000, 1000


class ImportanceSampled(NamedTuple):
    """What K importance weights w say about each of N examples."""

    log_likelihood: jax.Array  # [N] log(1/K sum w), nats; in expectation a lower bound of log p(x)
    effective_sample_size: jax.Array  # [N] (sum w)^2 / sum w^2, between 1 and K
    pareto_k: jax.Array  # [N] shape of the weights' tail, never NaN; infinity where K < 21 leaves no tail to fit


def importance_sampling(
    model: VAE,
    params: Params,
    key: jax.Array,
    xs: ArrayLike,
    num_samples: int,
    *,
    chunk_size: int | None = None,
    batch_size: int | None = None,
    on_batch: Callable[[ImportanceSampled], None] | None = None,
) -> ImportanceSampled:
    """log 1/K sum_k p(x, z_k) / q(z_k | x) of every example, with the diagnostics of its weights.

    One program is compiled for all batches; it holds chunk_size samples of z at once, so memory does not grow with K or
    N. Encoder and prior are evaluated once an example, not once a sample. Sample k of example i has the key
    `fold_in(fold_in(key, i), k)`: chunk_size and batch_size do not change the estimates beyond rounding.

    Args:
      model: the model; its posterior must have a density. z may be any pytree.
      params: its parameters.
      key: PRNG key, consumed.
      xs: `[N, ...]` examples as the model sees them.
      num_samples: K, at least 1; the paper takes 5000.
      chunk_size: samples of z held at once, at least 1; where None, as many as have four million pixels together, and
        at most 1000.
      batch_size: examples a call of the compiled program, at least 1; where None, as many as make half a million
        samples of z (some seconds on a CPU).
      on_batch: called with the estimates of each batch as soon as they are there: for progress, or to keep what is
        done when the evaluation is interrupted.

    Returns:
      `ImportanceSampled`, each field `[N]`. `mean_over_examples` gives the mean and its standard error;
      `importance_warning` says whether to trust it.

    Raises:
      ValueError: where num_samples, chunk_size or batch_size is below 1, or xs holds no example.
      TypeError: where the model's posterior has no density.

    Source: Burda et al. 2016 (arXiv:1509.00519), section 5; diagnostics: Vehtari et al. 2024 (arXiv:1507.02646).
    """
    xs = model_input("xs", xs)
    check_examples(model, xs, "xs")
    require_at_least_one(**{"num_samples": num_samples, "the number of examples in xs": xs.shape[0]})
    if chunk_size is None:
        chunk_size = min(max(1, PIXELS_PER_CHUNK // max(1, xs[0].size)), LARGEST_CHUNK)
    if batch_size is None:
        batch_size = max(1, SAMPLES_PER_BATCH // num_samples)
    require_at_least_one(chunk_size=chunk_size, batch_size=batch_size)
    require_density(
        "the posterior of model",
        lambda: model.encode(params, xs[0]),
        "importance weights need one; annealed_importance_sampling from the prior does not",
    )
    chosen = lambda indices: jnp.take(xs, indices, axis=0)  # one program; xs[indices] is several
    program = lambda indices: _estimates(model, params, key, indices, chosen(indices), num_samples, chunk_size)
    return in_batches(program, xs.shape[0], batch_size, on_batch)


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
def _estimates(
    model: VAE, params: Params, key: jax.Array, indices: jax.Array, xs: jax.Array, num_samples: int, chunk_size: int
) -> ImportanceSampled:
    num_chunks = -(-num_samples // chunk_size)
    chunk = -(-num_samples // num_chunks)  # chunks of equal size: fewer than num_chunks samples are drawn in vain
    prior = model.prior(params)
    # top_k wants no more places than there are values; with fewer samples than M + 1 there is no tail anyway.
    empty = _Weights(jnp.full(min(tail_length(num_samples) + 1, num_samples), -jnp.inf), jnp.zeros(()), jnp.zeros(()))

    def example(index_and_x: tuple[jax.Array, jax.Array]) -> ImportanceSampled:
        index, x = index_and_x
        example_key = jax.random.fold_in(key, index)
        posterior = model.encode(params, x)

        def log_weight(k: jax.Array) -> jax.Array:
            z, log_q = posterior.sample_and_log_prob(jax.random.fold_in(example_key, k))
            weight = model.decode(params, z).log_prob(x) + prior.log_prob(z) - log_q
            return jnp.where(k < num_samples, weight, -jnp.inf)

        def add_chunk(weights: _Weights, start: jax.Array) -> tuple[_Weights, None]:
            return _merge(weights, jax.vmap(log_weight)(start + jnp.arange(chunk))), None

        weights, _ = jax.lax.scan(add_chunk, empty, chunk * jnp.arange(num_chunks))
        return _estimate(weights, num_samples)

    # Few samples an example: several examples at once, so that a chunk is always full.
    return jax.lax.map(example, (indices, xs), batch_size=min(max(1, chunk_size // num_samples), xs.shape[0]))


def _estimate(weights: _Weights, num_samples: int) -> ImportanceSampled:
    log_likelihood = weights.largest[0] + jnp.log(weights.total) - jnp.log(num_samples)
    ratio = jnp.square(weights.total) / weights.squares
    # 0 / 0 where all weights are zero.
    effective = jnp.where(weights.squares > 0.0, jnp.clip(ratio, 1.0, num_samples), 1.0)
    return ImportanceSampled(log_likelihood, effective, pareto_k(weights.largest))


def importance_warning(estimates: ImportanceSampled, num_samples: int, tolerated_share: float = 0.01) -> str | None:
    """Why the mean of these estimates is not to be trusted, in plain words; None where nothing speaks against it.

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
