"""The numbers that a finished run reports, by kind of model."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from vae_jax.evaluation.elbo import mean_over_samples
from vae_jax.evaluation.examples import mean_over_examples
from vae_jax.evaluation.importance_sampling import importance_sampled_log_likelihood
from vae_jax.evaluation.latents import active_units, kl_per_dimension, posterior_means
from vae_jax.models.vae import VAE, Params
from vae_jax.objectives import distortion, elbo_from_terms, elbo_terms


class Measures(NamedTuple):
    """What was measured on a test set."""

    summary: dict[str, Any]  # for summary.json: nats per example, a None where a number is not defined
    posterior_means: jax.Array  # [N, D]
    kl_per_dimension: jax.Array | None  # [D]


def measure_vae(
    model: VAE, params: Params, key: jax.Array, xs: jax.Array, elbo_samples: int, nll_samples: int
) -> Measures:
    """Negative ELBO, rate, distortion, active units, and the importance-sampled nll where nll_samples > 0."""
    elbo_key, nll_key = jax.random.split(key)
    terms = mean_over_samples(elbo_terms, model, params, elbo_key, xs, elbo_samples)
    negative_elbo = mean_over_examples(-elbo_from_terms(*terms))
    means = posterior_means(model, params, xs)
    summary: dict[str, Any] = {
        "negative_elbo": negative_elbo.mean,
        "negative_elbo_standard_error": negative_elbo.standard_error,
        "rate": mean_over_examples(terms.kl).mean,
        "distortion": mean_over_examples(-terms.log_likelihood).mean,
        "active_units": int(active_units(means)),
        "elbo_samples": elbo_samples,
    }
    if nll_samples:
        log_likelihoods = importance_sampled_log_likelihood(model, params, nll_key, xs, nll_samples)
        nll = mean_over_examples(-log_likelihoods)
        summary |= {"nll": nll.mean, "nll_standard_error": nll.standard_error, "nll_samples": nll_samples}
    return Measures(summary, means, kl_per_dimension(model, params, xs))


def measure_autoencoder(
    model: VAE, params: Params, key: jax.Array, xs: jax.Array, elbo_samples: int, nll_samples: int
) -> Measures:
    """The distortion. A Delta posterior has no density, so ELBO, rate and nll are not defined; the samples are unused.

    Its codes have no fixed scale, so active units (a threshold on their variance) mean nothing either.
    """
    del elbo_samples, nll_samples  # nothing is random
    values = mean_over_examples(mean_over_samples(distortion, model, params, key, xs))
    summary = {
        "negative_elbo": None,
        "rate": None,
        "distortion": values.mean,
        "distortion_standard_error": values.standard_error,
        "active_units": None,
    }
    return Measures(summary, posterior_means(model, params, xs), None)
