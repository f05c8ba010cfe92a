"""The long measurements as numbers for summary.json, one function each; what is not defined is None."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vae_jax.distributions import UndefinedError
from vae_jax.evaluation._annealed_importance_sampling import (
    Annealed,
    Sandwich,
    Start,
    annealed_importance_sampling,
    bidirectional,
    from_posterior,
    sigmoid_temperatures,
)
from vae_jax.evaluation._elbo_surgery import ElboSurgery, elbo_surgery
from vae_jax.evaluation._examples import contexts_of, mean_over_examples
from vae_jax.evaluation._importance_sampling import ImportanceSampled, importance_sampling, importance_warning
from vae_jax.evaluation._pareto import pareto_k_limit
from vae_jax.evaluation._require import require_at_least_one
from vae_jax.models._model import Model, num_examples
from vae_jax.params import Params

TOLERATED_GAP = 0.3  # nats: of the size of the differences between methods that tables of likelihoods report


def measure_nll(
    model: Model,
    params: Params,
    key: jax.Array,
    xs: Any,
    num_samples: int,
    on_batch: Callable[[ImportanceSampled], None] | None = None,
) -> dict[str, Any]:
    """The importance-sampled negative log-likelihood, and whether to trust it: arguments as of `importance_sampling`.

    Returns:
      For summary.json: "nll" and "nll_standard_error" in nats; "nll_samples"; of the weights of each example the median
      over the examples of "effective_sample_size" and of the tail's shape "pareto_k" (None where it is infinite: fewer
      than 21 samples, or one weight that outweighs all others); "pareto_k_limit"
      and "pareto_k_above_limit", the share of examples whose nll is not to be trusted; "nll_warning", words where that
      share is too large or the mean is not finite, else None.
    """
    estimates = importance_sampling(model, params, key, xs, num_samples, on_batch=on_batch)
    nll = mean_over_examples(-estimates.log_likelihood)
    ks = np.asarray(estimates.pareto_k)
    median_k, limit = float(np.median(ks)), pareto_k_limit(num_samples)
    return {
        "nll": nll.mean,
        "nll_standard_error": nll.standard_error,
        "nll_samples": num_samples,
        "effective_sample_size": float(np.median(estimates.effective_sample_size)),
        "pareto_k": median_k if math.isfinite(median_k) else None,
        "pareto_k_limit": limit,
        "pareto_k_above_limit": float(np.mean(ks > limit)),
        "nll_warning": importance_warning(estimates, num_samples),
    }


def measure_surgery(
    model: Model, params: Params, key: jax.Array, xs: Any, num_points: int | None = None
) -> dict[str, Any]:
    """`elbo_surgery`: arguments are the same.

    Returns:
      "average_kl", "mutual_information", "marginal_kl", "total_correlation" and "dimension_wise_kl" in nats, each with
      its "_standard_error"; "mutual_information_limit", log N; "surgery_points". The parts are None if the prior
      depends on the context.
    """
    numbers: dict[str, Any] = {}
    try:
        parts: dict[str, Any] = elbo_surgery(model, params, key, xs, num_points)._asdict()
    except UndefinedError:
        parts = dict.fromkeys(ElboSurgery._fields)
    for name, estimate in parts.items():
        numbers[name] = None if estimate is None else estimate.mean
        numbers[f"{name}_standard_error"] = None if estimate is None else estimate.standard_error
    count = num_examples("xs", xs)
    return numbers | {"mutual_information_limit": math.log(count), "surgery_points": num_points or count}


def measure_annealing(
    model: Model,
    params: Params,
    key: jax.Array,
    xs: Any,
    num_chains: int,
    num_temperatures: int,
    on_batch: Callable[[Annealed | Sandwich], None] | None = None,
    start: Start = from_posterior,
) -> dict[str, Any]:
    """The nll of xs by annealed importance sampling, and the gap between two bounds on as many x that the model draws.

    The gap is what annealing can be wrong by, in expectation, on images of the model's own; on others it may err more.

    Args:
      model: a VAE, or a `Conditional`; z any pytree of floating-point arrays.
      params: its parameters.
      key: PRNG key, consumed.
      xs: `[N, ...]` examples as the model sees them; `Example(xs, contexts)` for a `Conditional`.
      num_chains: C, at least 1, for each example.
      num_temperatures: T, at least 1, from where the path starts to the true posterior.
      on_batch: called with the estimates of each batch.
      start: as `annealed_importance_sampling` takes it.

    Returns:
      In nats "ais_nll" with "_standard_error", "bdmc_lower_bound", "bdmc_upper_bound", "bdmc_gap" with
      "_standard_error"; "ais_acceptance_rate" (a mean), "ais_effective_sample_size" (a median over xs, of C);
      "ais_images", "ais_chains", "ais_temperatures"; "ais_warning", words where the gap is too wide, else None.

    Raises:
      ValueError: if a number is below 1, or xs holds no example.

    Source: Wu et al. 2017 (arXiv:1611.04273); Grosse et al. 2015 (arXiv:1511.02543).
    """
    require_at_least_one(num_chains=num_chains, num_temperatures=num_temperatures)
    ais_key, simulation_key = jax.random.split(key)
    how: dict[str, Any] = {"temperatures": sigmoid_temperatures(num_temperatures), "num_chains": num_chains}
    how |= {"batch_size": 10, "on_batch": on_batch, "start": start}
    annealed = annealed_importance_sampling(model, params, ais_key, xs, **how)
    count = num_examples("xs", xs)
    sandwich = bidirectional(model, params, simulation_key, count, contexts=contexts_of(xs), **how)
    nll, gap = mean_over_examples(-annealed.log_likelihood), mean_over_examples(sandwich.gap)
    return {
        "ais_nll": nll.mean,
        "ais_nll_standard_error": nll.standard_error,
        "ais_acceptance_rate": mean_over_examples(annealed.acceptance_rate).mean,
        "ais_effective_sample_size": float(np.median(annealed.effective_sample_size)),
        "bdmc_lower_bound": mean_over_examples(sandwich.lower).mean,
        "bdmc_upper_bound": mean_over_examples(sandwich.upper).mean,
        "bdmc_gap": gap.mean,
        "bdmc_gap_standard_error": gap.standard_error,
        "ais_images": count,
        "ais_chains": num_chains,
        "ais_temperatures": num_temperatures,
        "ais_warning": _annealing_warning(gap.mean),
    }


def _annealing_warning(gap: float) -> str | None:
    if abs(gap) <= TOLERATED_GAP:
        return None
    return (
        f"the two bounds of annealing are {gap:.2g} nats apart on images that the model drew: do not trust its nll "
        "beyond that. Take more temperatures, or start from the prior: chains from a posterior that is far too narrow "
        "hardly move"
    )
