"""What a model of discrete codes is worth: which codes it uses, and what they cost under its prior."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import UndefinedError, kl_divergence
from vae_jax.evaluation._bits import bits_per_dimension
from vae_jax.evaluation._each import squared_error
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
from vae_jax.models._codes import Level, sequence_of
from vae_jax.models._latent_space import latent_code
from vae_jax.models._model import VAE, Example, Model, given
from vae_jax.models.code_priors._with_code_prior import levels_of
from vae_jax.objectives import distortion as distortion_of
from vae_jax.params import Params
from vae_jax.quantizers import code_counts, code_entropy, code_usage, perplexity

_MOST_LISTED = 4096  # codes of a codebook whose counts are kept one by one


@jitted("model", "batch_size")
def encode_sequences(model: Model, params: Params, xs: Any, batch_size: int = 100) -> jax.Array:
    """The indices of every example's codes, int32 `[N, T]`, in the order of `models.CodebookPrior`: encoded once.

    Args:
      model: of codes.
      params: its parameters.
      xs: `[N, ...]` examples as the model sees them; `Example(xs, contexts)` for a `Conditional`.
      batch_size: examples held at once.
    """
    one = lambda vae, params, key, x: sequence_of(latent_code(vae, params, x))
    return over_examples(one, model, params, jax.random.key(0), xs, batch_size)  # nothing is random


def measure_vq_vae(
    model: Model, params: Params, key: jax.Array, xs: Any, elbo_samples: int, nll_samples: int
) -> Measures:
    """Distortion, rate and bound in nats an example, bits per dimension, and the use and cost of the codes.

    "rate" is -log p(z) of the codes under the model's prior, "bits_per_code" the same in bits for each of the T
    indices; "unigram_bits_per_code" is the entropy of the codes of these examples themselves, which no prior that is
    the same at every place goes below, and "uniform_bits_per_code" log2 K. "codebook_usage" (the share of codes that
    occur) and "perplexity" are of counts over all examples, means over the codebooks by their share of the indices.
    "psnr" is that of the decoder's means, in decibels of the range [0, 1], by the mean squared error over all examples.
    A prior without a likelihood leaves what needs one undefined. Nothing is random: the numbers of samples are unused.
    """
    del key, elbo_samples, nll_samples
    xs, count = checked_examples(model, xs)
    sequences = np.asarray(encode_sequences(model, params, xs))
    codebooks = codebook_counts(sequences, levels_of(given(model, rows_at(contexts_of(xs), 0))))
    x = xs.x if isinstance(xs, Example) else xs
    length, pixels = sequences.shape[1], sum(leaf.size for leaf in jax.tree.leaves(x)) // count
    # Each codebook by the share of the indices that are of it.
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
        "code_counts": [counts.tolist() for counts in codebooks if counts.size <= _MOST_LISTED],
    }
    return Measures(summary, None, None)


def codebook_counts(sequences: np.ndarray, levels: tuple[Level, ...]) -> list[jax.Array]:
    """How often each code of each codebook occurs in sequences `[N, T]`: an array `[K]` for each, in the order of the
    levels, and in it of a place's indices."""
    counts, start = {}, 0
    for level in reversed(levels):
        end = start + math.prod(level.shape)
        grids = jnp.asarray(sequences[:, start:end]).reshape(-1, level.shape[-1])
        counts[level.name] = [code_counts(part, k) for part, k in zip(grids.T, level.quantizer.num_codes, strict=True)]
        start = end
    return [each for level in levels for each in counts[level.name]]


def _rate(vae: VAE, params: Params, key: jax.Array, x: Any) -> jax.Array:
    return kl_divergence(vae.encode(params, x), vae.prior(params))


def _rates(model: Model, params: Params, xs: Any) -> jax.Array | None:
    try:
        model = with_prior_computed(model, params, xs)
        return over_examples(_rate, model, params, jax.random.key(0), xs, 100)
    except UndefinedError:
        return None
