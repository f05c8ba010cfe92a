"""Long measurements as entries for summary.json, one function each; metrics that are not defined are None."""

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

TOLERATED_GAP = 0.3  # nats: about the difference between methods in published tables of likelihoods


def measure_nll(
    model: Model,
    params: Params,
    key: jax.Array,
    xs: Any,
    num_samples: int,
    on_batch: Callable[[ImportanceSampled], None] | None = None,
) -> dict[str, Any]:
    """Measures the importance-sampled negative log-likelihood and its reliability; arguments as `importance_sampling`.

    Returns:
      For summary.json: "nll" and "nll_standard_error" in nats; "nll_samples"; the medians over the examples of the
      weights' "effective_sample_size" and tail shape "pareto_k" (None if infinite: fewer than 21 samples, or one weight
      outweighs all others); "pareto_k_limit" and "pareto_k_above_limit", the fraction of examples whose nll is not
      reliable; "nll_warning", a sentence if that fraction is too large or the mean is not finite, else None.
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
    """Measures the decomposition of the rate by `elbo_surgery`, whose arguments it takes.

    Returns:
      "average_kl", "mutual_information", "marginal_kl", "total_correlation" and "dimension_wise_kl" in nats, each with
      its "_standard_error"; "mutual_information_limit", log N; "surgery_points". The terms are None if the prior
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
    """Measures the nll of xs by annealed importance sampling, and its error by bounds for N examples from the model.

    The gap between the bounds limits the error of annealing, in expectation, on images drawn from the model; on other
    images the error may be larger.

    Args:
      model: a VAE, or a `Conditional`; z is any pytree of floating-point arrays.
      params: the model's parameters.
      key: PRNG key, consumed.
      xs: `[N, ...]` examples after preprocessing; `Example(xs, contexts)` for a `Conditional`.
      num_chains: C, the number of chains for each example, at least 1.
      num_temperatures: T, the number of steps from the start of the path to the true posterior, at least 1.
      on_batch: called with the estimates of each batch.
      start: as `annealed_importance_sampling` takes it.

    Returns:
      In nats: "ais_nll" with "_standard_error", "bdmc_lower_bound", "bdmc_upper_bound", "bdmc_gap" with
      "_standard_error". Also "ais_acceptance_rate" (a mean), "ais_effective_sample_size" (the median over xs, at most
      C), "ais_images", "ais_chains", "ais_temperatures", and "ais_warning", a sentence if the gap is too wide, else
      None.

    Raises:
      ValueError: if a number is below 1, or xs holds no example.

    Source: Wu et al. 2017 (arXiv:1611.04273); Grosse et al. 2015 (arXiv:1511.02543).
    """
    require_at_least_one(num_chains=num_chains, num_temperatures=num_temperatures)
    ais_key, simulation_key = jax.random.split(key)
    settings: dict[str, Any] = {"temperatures": sigmoid_temperatures(num_temperatures), "num_chains": num_chains}
    settings |= {"batch_size": 10, "on_batch": on_batch, "start": start}
    annealed = annealed_importance_sampling(model, params, ais_key, xs, **settings)
    count = num_examples("xs", xs)
    sandwich = bidirectional(model, params, simulation_key, count, contexts=contexts_of(xs), **settings)
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
        f"the two bounds of annealing are {gap:.2g} nats apart on images drawn from the model: its nll may be wrong by "
        "that much. Take more temperatures, or start from the prior: chains from a posterior that is far too narrow "
        "hardly move"
    )
