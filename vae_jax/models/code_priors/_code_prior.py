"""Priors over grids of discrete codes, the second stage of a VQ-VAE: the record, and what its members share.

The codes of one image are integers `[T]` in [0, K), row by row. Everything is written for one image; `vmap` makes it
a batch. A label is an integer in [0, num_classes], num_classes itself meaning "no label"; None means that too. A known
label outside is refused; one that is only known inside a compiled program makes every density NaN there, and every
code that is drawn K, which no codebook has.
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
    """How codes are drawn, in the order of the fields' use; Python numbers, which a compiled program holds constant.

    `jax.jit(prior.sample, static_argnums=3)` compiles one for each.
    """

    temperature: float = 1.0  # divides the logits; 0: the best code
    top_k: int | None = None  # the number of codes to draw from; None: all
    top_p: float | None = None  # the probability of the codes to draw from, after temperature and top_k; None: all
    guidance: float = 0.0  # w of `guided`, before the others; 0: the conditional model


class CodePrior(NamedTuple):
    """A distribution over codes `[T]` given a label, as pure functions on one image."""

    init: Callable[[jax.Array], Params]  # (key) -> params, a plain dict of arrays
    # (params, key, codes [T], label) -> a scalar in nats an image: what training minimizes
    loss: Callable[[Params, jax.Array, ArrayLike, ArrayLike | None], jax.Array]
    # (params, codes [T], label) -> log p(codes | label), a scalar in nats; None: no exact likelihood
    log_prob: Callable[[Params, ArrayLike, ArrayLike | None], jax.Array] | None
    # (params, key, label, how) -> codes int32 [T]
    sample: Callable[[Params, jax.Array, ArrayLike | None, Sampling], jax.Array]
    num_codes: tuple[int, ...]  # K at each of the T places
    length: int  # T
    num_classes: int  # 0: unconditional
    # (params, uniforms [T] in (0, 1), label, how) -> codes int32 [T], code t by the inverse distribution function of
    # what `sample` draws it from: a sample whose randomness is given; None: codes are not drawn one after another
    from_uniforms: Callable[[Params, ArrayLike, ArrayLike | None, Sampling], jax.Array] | None = None


def sizes_of(num_codes: int | Sequence[int], length: int) -> tuple[int, ...]:
    """K at each of the T places.

    Raises:
      ValueError: if length is below 1, num_codes is neither one number nor one for each place, or one is below 1.
    """
    check_count("length", length, most=LARGEST_SIZE)
    sizes = np.atleast_1d(np.asarray(num_codes))
    if sizes.shape not in [(1,), (length,)]:
        raise ValueError(f"num_codes must be one number or one for each of {length} places, got {sizes.size}")
    if sizes.min() < 1:
        raise ValueError(f"num_codes must be at least 1, got {sizes.min()}")
    return tuple(np.broadcast_to(sizes, (length,)).tolist())


def only_possible(logits: jax.Array, sizes: ArrayLike) -> jax.Array:
    """Logits `[..., K]`, -inf from the place's own number of codes `[...]` on."""
    index = jax.lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1)
    return jnp.where(index < jnp.asarray(sizes)[..., None], logits, -jnp.inf)


def codes_of(codes: ArrayLike, length: int) -> jax.Array:
    """The codes as int32 `[T]`.

    Raises:
      TypeError: if they are not integers.
      ValueError: if they are not of shape `[length]`.
    """
    array = jnp.asarray(codes)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"codes must be integers, got dtype {array.dtype}")
    if array.shape != (length,):
        raise ValueError(
            f"codes must be of one image, of shape [T] = ({length},), row by row (map over a batch with jax.vmap), "
            f"got shape {array.shape}"
        )
    return array.astype(jnp.int32)


def label_of(label: ArrayLike | None, num_classes: int) -> jax.Array:
    """The label as an int32 scalar, num_classes where None.

    Returns:
      An index into a table of num_classes + 1 rows; behind its end for a label that is outside and not yet known.

    Raises:
      TypeError: if the label is not an integer.
      ValueError: if it is not a scalar, or known and outside [0, num_classes].
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
    """The label, or with that probability none: Ho & Salimans 2022 (arXiv:2207.12598), algorithm 1."""
    if num_classes == 0:
        return label
    return jnp.where(jax.random.bernoulli(key, probability), num_classes, label)


def check_label_dropout(label_dropout: float) -> None:
    if not 0 <= label_dropout < 1:
        raise ValueError(f"label_dropout must be in [0, 1), got {label_dropout}")


def check_guidance(guidance: float, num_classes: int) -> None:
    """Refuses a guidance that is negative, or has no labels to guide by.

    Raises:
      ValueError: in both cases.
    """
    if not (math.isfinite(guidance) and guidance >= 0):
        raise ValueError(f"guidance must be a finite number, at least 0, got {guidance}")
    if guidance and num_classes == 0:
        raise ValueError(f"guidance must be 0 for an unconditional prior (num_classes = 0), got {guidance}")


def labels_of(label: ArrayLike | None, how: Sampling, num_classes: int) -> jax.Array:
    """The labels whose logits `guided_logits` joins: `[1]`, or `[2]` with "no label" where there is guidance.

    Raises:
      ValueError: as `check_guidance` and `label_of` do.
    """
    check_guidance(how.guidance, num_classes)
    one = label_of(label, num_classes)
    return jnp.stack([one, jnp.int32(num_classes)] if how.guidance else [one])


def guided_logits(logits: jax.Array, how: Sampling) -> jax.Array:
    """Of the logits `[1 or 2, ..., K]` of `labels_of`, those to draw from."""
    return guided(logits[0], logits[1], how.guidance) if how.guidance else logits[0]


def draw_code(key: jax.Array, logits: jax.Array, how: Sampling) -> jax.Array:
    """One code from logits `[K]` by temperature, top_k and top_p: an int32 scalar; K where a logit is NaN.

    Raises:
      ValueError: if one of the three is out of its range.
    """
    return _defined(logits, Categorical(drawn_from(logits, how)).sample(key))


def code_at(uniform: jax.Array, logits: jax.Array, how: Sampling) -> jax.Array:
    """The code at which the distribution function of `draw_code` passes a number in (0, 1): an int32 scalar.

    Where the number is drawn uniformly, the code is drawn as by `draw_code`.

    Raises:
      ValueError: as `draw_code` does.
    """
    up_to = jnp.cumsum(jax.nn.softmax(drawn_from(logits, how)))
    # Rounding leaves the last sum near 1. The code of probability above 0 that reaches it is the last there is.
    passed = (up_to <= uniform * up_to[-1]) & (up_to < up_to[-1])
    return _defined(logits, jnp.sum(passed))


def drawn_from(logits: jax.Array, how: Sampling) -> jax.Array:
    """Logits `[K]` after temperature, top_k and top_p.

    Raises:
      ValueError: if one of the three is out of its range.
    """
    logits = with_temperature(logits, how.temperature)
    if how.top_k is not None:
        logits = keep_top_k(logits, how.top_k)
    if how.top_p is not None:
        logits = keep_nucleus(logits, how.top_p)
    return logits


def _defined(logits: jax.Array, code: jax.Array) -> jax.Array:
    return jnp.where(jnp.any(jnp.isnan(logits)), logits.shape[0], code).astype(jnp.int32)
