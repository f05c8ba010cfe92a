"""Priors over grids of discrete codes, the second stage of a VQ-VAE: the record `CodePrior` and shared functions.

The codes of one image are integers `[T]` in [0, K), row by row. All functions are for one image; use `vmap` for a
batch. A label is an integer in [0, num_classes], where num_classes, like None, means "no label". A label out of range
is refused if its value is known. If it is traced, all densities are NaN, and all drawn codes are K, which is no code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.distributions import Categorical
from vae_jax.distributions._checks import LARGEST_SIZE, check_count
from vae_jax.models.code_priors._logits import guided, keep_nucleus, keep_top_k, with_temperature
from vae_jax.params import Params


class Sampling(NamedTuple):
    """Settings for drawing codes: guidance is applied first, then temperature, top_k and top_p.

    The fields are Python numbers, constants of a compiled program: `jax.jit(prior.sample, static_argnums=3)` compiles a
    program for each `Sampling`.
    """

    temperature: float = 1.0  # divides the logits; 0 for the most probable code
    top_k: int | None = None  # number of most probable codes to draw from; None for all
    top_p: float | None = None  # total probability of the most probable codes to draw from; None for all
    guidance: float = 0.0  # w of `guided`; 0 for the conditional model


class CodePrior(NamedTuple):
    """A distribution over codes `[T]` given a label, as pure functions on one image."""

    init: Callable[[jax.Array], Params]  # (key) -> params, a plain dict of arrays
    # (params, key, codes [T], label) -> training loss, a scalar in nats per image
    loss: Callable[[Params, jax.Array, ArrayLike, ArrayLike | None], jax.Array]
    # (params, codes [T], label) -> log p(codes | label), a scalar in nats; None if there is no exact likelihood
    log_prob: Callable[[Params, ArrayLike, ArrayLike | None], jax.Array] | None
    # (params, key, label, sampling) -> codes int32 [T]
    sample: Callable[[Params, jax.Array, ArrayLike | None, Sampling], jax.Array]
    num_codes: tuple[int, ...]  # K at each of the T places
    length: int  # T
    num_classes: int  # number of labels; 0 for an unconditional prior
    # (params, uniforms [T] in (0, 1), label, sampling) -> codes int32 [T], drawn as by `sample` but from given uniform
    # numbers, by inverse distribution functions; None if codes are not drawn sequentially
    from_uniforms: Callable[[Params, ArrayLike, ArrayLike | None, Sampling], jax.Array] | None = None


def sizes_per_place(num_codes: int | Sequence[int], length: int) -> tuple[int, ...]:
    """K at each of the T places.

    Raises:
      ValueError: if length is below 1, num_codes is neither one number nor one per place, or an entry is below 1.
    """
    check_count("length", length, most=LARGEST_SIZE)
    sizes = np.atleast_1d(np.asarray(num_codes))
    if sizes.shape not in [(1,), (length,)]:
        raise ValueError(f"num_codes must be one number, or one for each of {length} places, got {sizes.size} numbers")
    if sizes.min() < 1:
        raise ValueError(f"num_codes must be at least 1, got {sizes.min()}")
    return tuple(np.broadcast_to(sizes, (length,)).tolist())


def mask_impossible(logits: jax.Array, sizes: ArrayLike) -> jax.Array:
    """Logits `[..., K]` with -inf for codes that are not below the size `[...]` of their place."""
    index = jax.lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1)
    return jnp.where(index < jnp.asarray(sizes)[..., None], logits, -jnp.inf)


def checked_codes(codes: ArrayLike, length: int) -> jax.Array:
    """Returns the codes as int32 `[T]`.

    Raises:
      TypeError: if the codes are not integers.
      ValueError: if the shape of codes is not `[length]`.
    """
    array = jnp.asarray(codes)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"codes must be integers, got dtype {array.dtype}")
    if array.shape != (length,):
        raise ValueError(
            f"codes must be those of one image, row by row, with shape [T] = ({length},) (map over a batch with "
            f"jax.vmap), got shape {array.shape}"
        )
    return array.astype(jnp.int32)


def checked_label(label: ArrayLike | None, num_classes: int) -> jax.Array:
    """Returns the label as an int32 scalar, num_classes if it is None.

    Returns:
      An index into a table of num_classes + 1 rows; past its end for a traced label out of range.

    Raises:
      TypeError: if the label is not an integer.
      ValueError: if the label is not a scalar, or its value is known and outside [0, num_classes].
    """
    array = jnp.asarray(num_classes if label is None else label)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"label must be an integer, got dtype {array.dtype}")
    if array.ndim:
        raise ValueError(f"label must be a scalar (map over a batch with jax.vmap), got shape {array.shape}")
    if not isinstance(array, jax.core.Tracer) and not 0 <= int(array) <= num_classes:
        raise ValueError(f"label must be in [0, num_classes] = [0, {num_classes}], got {int(array)}")
    return jnp.where(array < 0, num_classes + 1, array).astype(jnp.int32)


def drop_label(key: jax.Array, label: jax.Array, num_classes: int, probability: float) -> jax.Array:
    """Replaces the label by "no label" with a probability: Ho & Salimans 2022 (arXiv:2207.12598), algorithm 1."""
    if num_classes == 0:
        return label
    return jnp.where(jax.random.bernoulli(key, probability), num_classes, label)


def check_label_dropout(label_dropout: float) -> None:
    if not 0 <= label_dropout < 1:
        raise ValueError(f"label_dropout must be in [0, 1), got {label_dropout}")


def check_guidance(guidance: float, num_classes: int) -> None:
    """Raises ValueError if guidance is negative or not finite, or not 0 for an unconditional prior."""
    if not (math.isfinite(guidance) and guidance >= 0):
        raise ValueError(f"guidance must be a finite number of at least 0, got {guidance}")
    if guidance and num_classes == 0:
        raise ValueError(f"guidance must be 0 for an unconditional prior (num_classes = 0), got {guidance}")


def guidance_labels(label: ArrayLike | None, sampling: Sampling, num_classes: int) -> jax.Array:
    """Labels whose logits `guided_logits` combines: the label `[1]`, or with guidance, the label and "no label" `[2]`.

    Raises:
      TypeError, ValueError: by `check_guidance` and `checked_label`.
    """
    check_guidance(sampling.guidance, num_classes)
    array = checked_label(label, num_classes)
    return jnp.stack([array, jnp.int32(num_classes)] if sampling.guidance else [array])


def guided_logits(logits: jax.Array, sampling: Sampling) -> jax.Array:
    """Combines the logits `[1 or 2, ..., K]` for the labels of `guidance_labels` by guidance."""
    return guided(logits[0], logits[1], sampling.guidance) if sampling.guidance else logits[0]


def draw_code(key: jax.Array, logits: jax.Array, sampling: Sampling) -> jax.Array:
    """Draws one code from logits `[K]` by temperature, top_k and top_p: an int32 scalar; K if a logit is NaN.

    Raises:
      ValueError: if temperature, top_k or top_p is out of its range.
    """
    return _defined(logits, Categorical(sampling_logits(logits, sampling)).sample(key))


def code_from_uniform(uniform: jax.Array, logits: jax.Array, sampling: Sampling) -> jax.Array:
    """Inverse distribution function of `draw_code` at a number in (0, 1): an int32 scalar.

    For a uniform number, the code has the distribution of `draw_code`.

    Raises:
      ValueError: if temperature, top_k or top_p is out of its range.
    """
    cumulative = jnp.cumsum(jax.nn.softmax(sampling_logits(logits, sampling)))
    # Because of rounding, the last sum is only close to 1. Codes of probability 0 at the end must not be returned.
    passed = (cumulative <= uniform * cumulative[-1]) & (cumulative < cumulative[-1])
    return _defined(logits, jnp.sum(passed))


def sampling_logits(logits: jax.Array, sampling: Sampling) -> jax.Array:
    """Logits `[K]` after temperature, top_k and top_p.

    Raises:
      ValueError: if temperature, top_k or top_p is out of its range.
    """
    logits = with_temperature(logits, sampling.temperature)
    if sampling.top_k is not None:
        logits = keep_top_k(logits, sampling.top_k)
    if sampling.top_p is not None:
        logits = keep_nucleus(logits, sampling.top_p)
    return logits


def _defined(logits: jax.Array, code: jax.Array) -> jax.Array:
    return jnp.where(jnp.any(jnp.isnan(logits)), logits.shape[0], code).astype(jnp.int32)
