"""Evaluation of models with discrete codes: the use of the codebooks, and the rate of codes under the prior."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import UndefinedError, kl_divergence
from vae_jax.evaluation._bits import bits_per_dimension
from vae_jax.evaluation._examples import (
    checked_examples,
    contexts_of,
    jitted,
    mean_over_examples,
    over_examples,
    rows_at,
    with_prior_computed,
)
from vae_jax.evaluation._measures import Measures
from vae_jax.evaluation._per_example import squared_error
from vae_jax.models._codes import Level, sequence_of
from vae_jax.models._latent_space import latent_code
from vae_jax.models._model import VAE, Example, Model, given
from vae_jax.models.code_priors._with_code_prior import levels_of
from vae_jax.objectives import distortion as distortion_of
from vae_jax.params import Params
from vae_jax.quantizers import code_counts, code_entropy, code_usage, perplexity

_MAX_COUNTED_CODES = 4096  # size of the largest codebook whose counts are part of the summary


@jitted("model", "batch_size")
def encode_sequences(model: Model, params: Params, xs: Any, batch_size: int = 100) -> jax.Array:
    """Encodes every example; returns the indices of its codes, int32 `[N, T]`, in the order of `models.CodebookPrior`.

    Args:
      model: a model with discrete codes.
      params: the model's parameters.
      xs: `[N, ...]` examples after preprocessing; `Example(xs, contexts)` for a `Conditional`.
      batch_size: number of examples computed at once.
    """
    one = lambda vae, params, key, x: sequence_of(latent_code(vae, params, x))
    return over_examples(one, model, params, jax.random.key(0), xs, batch_size)  # nothing is random


def measure_vq_vae(
    model: Model, params: Params, key: jax.Array, xs: Any, elbo_samples: int, nll_samples: int
) -> Measures:
    """Measures distortion, rate and bound in nats per example, bits per dimension, and the use and cost of the codes.

    "rate" is -log p(z) of the codes under the model's prior, and "bits_per_code" the rate in bits for each of the T
    indices. "unigram_bits_per_code" is the entropy of the codes of these examples, a lower limit for priors that are
    the same at every position, and "uniform_bits_per_code" is log2 K. "codebook_usage" (the fraction of codes that
    occur) and "perplexity" are computed from counts over all examples, and averaged over the codebooks, weighted by
    their number of indices. "psnr" is the peak signal-to-noise ratio of the decoder's means in decibels for the range
    [0, 1], from the mean squared error over all examples. Entries that need a likelihood are None if the prior has
    none. Nothing is random: key and the numbers of samples are unused.
    """
    del key, elbo_samples, nll_samples
    xs, count = checked_examples(model, xs)
    sequences = np.asarray(encode_sequences(model, params, xs))
    codebooks = codebook_counts(sequences, levels_of(given(model, rows_at(contexts_of(xs), 0))))
    x = xs.x if isinstance(xs, Example) else xs
    length, pixels = sequences.shape[1], sum(leaf.size for leaf in jax.tree.leaves(x)) // count
    # Each codebook is weighted by its fraction of the indices.
    weights = np.array([int(counts.sum()) for counts in codebooks]) / sequences.size
    mean = lambda function: float(sum(w * function(c) for w, c in zip(weights, codebooks, strict=True)))
    distortions = over_examples(distortion_of, model, params, jax.random.key(0), xs, 100)
    rates = _rates(model, params, xs)
    error = lambda vae, params, key, x: squared_error(vae, params, x)
    squares = over_examples(error, model, params, jax.random.key(0), xs, 100)
    distortion = mean_over_examples(distortions)
    bound, rate = (None, None) if rates is None else (mean_over_examples(distortions + rates), float(jnp.mean(rates)))
    summary: dict[str, Any] = {
        "negative_elbo": None if bound is None else bound.mean,
        "negative_elbo_standard_error": None if bound is None else bound.standard_error,
        "rate": rate,
        "distortion": distortion.mean,
        "distortion_standard_error": distortion.standard_error,
        "psnr": -10.0 * math.log10(max(float(jnp.mean(squares)), 1e-12)),
        "active_units": None,
        "bits_per_dim": None if bound is None else bits_per_dimension(bound.mean, pixels),
        "bits_per_code": None if rate is None else rate / length / math.log(2),
        "unigram_bits_per_code": mean(code_entropy) / math.log(2),
        "uniform_bits_per_code": mean(lambda counts: math.log2(counts.size)),
        "codebook_usage": mean(code_usage),
        "perplexity": mean(perplexity),
        "codes_per_example": length,
        "code_counts": [counts.tolist() for counts in codebooks if counts.size <= _MAX_COUNTED_CODES],
    }
    return Measures(summary, None, None)


def codebook_counts(sequences: np.ndarray, levels: tuple[Level, ...]) -> list[jax.Array]:
    """Counts `[K]` of codes in sequences `[N, T]`, for each codebook: by level, then by the indices of a position."""
    counts, start = {}, 0
    for level in reversed(levels):
        end = start + math.prod(level.shape)
        grids = jnp.asarray(sequences[:, start:end]).reshape(-1, level.shape[-1])
        counts[level.name] = [code_counts(part, k) for part, k in zip(grids.T, level.quantizer.num_codes, strict=True)]
        start = end
    return [codebook for level in levels for codebook in counts[level.name]]


def _rate(vae: VAE, params: Params, key: jax.Array, x: Any) -> jax.Array:
    return kl_divergence(vae.encode(params, x), vae.prior(params))


def _rates(model: Model, params: Params, xs: Any) -> jax.Array | None:
    try:
        model = with_prior_computed(model, params, xs)
        return over_examples(_rate, model, params, jax.random.key(0), xs, 100)
    except UndefinedError:
        return None
