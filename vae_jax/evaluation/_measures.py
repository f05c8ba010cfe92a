"""Metrics that a finished run reports, for each kind of model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.distributions import UndefinedError
from vae_jax.distributions._checks import check_count
from vae_jax.evaluation._collapse import collapse_by_activity, collapse_by_kl
from vae_jax.evaluation._elbo import mean_over_samples
from vae_jax.evaluation._examples import checked_examples, mean_over_examples
from vae_jax.evaluation._latents import (
    ACTIVE_THRESHOLD,
    kl_per_dimension,
    posterior_means,
    variances_of_means,
)
from vae_jax.evaluation._require import require_at_least_one
from vae_jax.evaluation._summary_measures import measure_nll
from vae_jax.models._model import VAE, Model
from vae_jax.objectives import ElboTerms, distortion, elbo_from_terms, elbo_terms, sampled_elbo_terms
from vae_jax.params import Params


class Measures(NamedTuple):
    """Metrics measured on a test set."""

    summary: dict[str, Any]  # for summary.json: nats per example; None if a metric is not defined
    posterior_means: jax.Array | None  # [N, D]; None if z is not a vector, or its posterior has no mean
    kl_per_dimension: jax.Array | None  # [D]; None if the KL divergence does not factorize over dimensions


def measure_vae(model: Model, params: Params, key: jax.Array, xs: Any, elbo_samples: int, nll_samples: int) -> Measures:
    """Measures negative ELBO, rate, distortion, active units and KL per dimension; `measure_nll` if nll_samples > 0.

    The rate is the KL divergence in closed form. If there is none (a mixture prior, several stochastic layers), it is
    estimated from the samples of z that the distortion uses. "active_units" is a number, or a list with a number for
    each stochastic layer, the layer next to the data first. "posterior_collapse" describes "active_units" and
    "kl_per_dimension" in words.

    Raises:
      ValueError: if a number is out of range, or xs have another shape than the model's examples or lie outside the
        support of its likelihood.
    """
    _check(model, xs, elbo_samples, nll_samples)
    elbo_key, nll_key, units_key = jax.random.split(key, 3)
    terms = mean_over_samples(_elbo_terms, model, params, elbo_key, xs, elbo_samples)
    negative_elbo = mean_over_examples(-elbo_from_terms(*terms))
    units, sizes = _active_units(model, params, units_key, xs)
    kl = _if_defined(kl_per_dimension, model, params, xs)
    summary: dict[str, Any] = {
        "negative_elbo": negative_elbo.mean,
        "negative_elbo_standard_error": negative_elbo.standard_error,
        "rate": mean_over_examples(terms.kl).mean,
        "distortion": mean_over_examples(-terms.log_likelihood).mean,
        "active_units": units[0] if len(units) == 1 else units,
        "kl_per_dimension": None if kl is None else np.asarray(kl).tolist(),
        "posterior_collapse": _collapse(kl, units, sizes),
        "elbo_samples": elbo_samples,
    }
    if nll_samples:
        summary |= measure_nll(model, params, nll_key, xs, nll_samples)
    means = _if_defined(posterior_means, model, params, xs)
    is_vector = isinstance(means, jax.Array) and means.ndim == 2
    return Measures(summary, means if is_vector else None, kl)


def measure_autoencoder(
    model: Model, params: Params, key: jax.Array, xs: Any, elbo_samples: int, nll_samples: int
) -> Measures:
    """Measures the distortion of an autoencoder; ELBO, rate and nll are not defined, for a Delta has no density.

    Active units (a threshold on variances) are not defined either, because the codes have no fixed scale. Nothing is
    random: key and the numbers of samples are unused. Errors as for `measure_vae`.
    """
    _check(model, xs, elbo_samples, nll_samples)
    values = mean_over_examples(mean_over_samples(distortion, model, params, key, xs))
    summary = {
        "negative_elbo": None,
        "rate": None,
        "distortion": values.mean,
        "distortion_standard_error": values.standard_error,
        "active_units": None,
    }
    return Measures(summary, posterior_means(model, params, xs), None)


def _check(model: Model, xs: Any, elbo_samples: int, nll_samples: int) -> None:
    require_at_least_one(elbo_samples=elbo_samples)
    check_count("nll_samples", nll_samples, 0)
    checked_examples(model, xs)


def _elbo_terms(vae: VAE, params: Params, key: jax.Array, x: Any) -> ElboTerms:
    try:
        return elbo_terms(vae, params, key, x)
    except UndefinedError:
        return sampled_elbo_terms(vae, params, key, x)


def _if_defined(measure: Callable[[Model, Params, Any], Any], model: Model, params: Params, xs: Any) -> Any:
    try:
        return measure(model, params, xs)
    except UndefinedError:
        return None


def _collapse(kl: jax.Array | None, units: list[int], sizes: list[int]) -> str:
    if kl is None:
        return collapse_by_activity(units, sizes)
    # For one-hot codes the units are categories, but a KL divergence belongs to a whole position.
    return collapse_by_kl(kl, units[0] if sizes == [kl.size] else None)


def _active_units(model: Model, params: Params, key: jax.Array, xs: Any) -> tuple[list[int], list[int]]:
    """Number of active units and number of units of each part of z."""
    layers = jax.tree.leaves(variances_of_means(model, params, key, xs))
    return [int((variances > ACTIVE_THRESHOLD).sum()) for variances in layers], [layer.size for layer in layers]
