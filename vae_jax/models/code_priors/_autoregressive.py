"""Autoregressive priors, p(codes | label) = prod_t p(codes[t] | codes[:t], label).

The network is a function `logits(params, codes, label)` -> `[T, K]` whose row t depends on the label and codes[:t]
only. One pass gives the exact log-probability; a sample needs T sequential passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import categorical_log_prob
from vae_jax.models.code_priors._code_prior import (
    CodePrior,
    Sampling,
    check_label_dropout,
    checked_codes,
    checked_label,
    code_from_uniform,
    draw_code,
    drop_label,
    guidance_labels,
    guided_logits,
    mask_impossible,
    sizes_per_place,
)
from vae_jax.params import Params

Logits = Callable[[Params, jax.Array, jax.Array], jax.Array]  # (params, codes [T], label) -> [T, K]
Start = Callable[[Params], Any]  # (params) -> the state before position 0
# (params, state, position, previous code, label) -> logits [K], state; the previous code of position 0 is given as 0
Step = Callable[[Params, Any, jax.Array, jax.Array, jax.Array], tuple[jax.Array, Any]]


def autoregressive_prior(
    init: Callable[[jax.Array], Params],
    logits: Logits,
    start: Start,
    step: Step,
    num_codes: int | Sequence[int],
    length: int,
    num_classes: int = 0,
    label_dropout: float = 0.1,
) -> CodePrior:
    """Makes an autoregressive prior: exact likelihood, loss -log p(codes | label), sampling by a `lax.scan` of T steps.

    Codes outside [0, K) of their place have log_prob -inf and are never drawn.

    Args:
      init: (key) -> params.
      logits: function that computes the logits of all positions at once.
      start: function that makes the state before position 0.
      step: function that computes the logits of one position from the state of the previous positions;
        `uncached` makes start and step from logits.
      num_codes: K, or K at each place; the network gives logits for the largest K.
      length: T.
      num_classes: number of labels, without "no label".
      label_dropout: probability in [0, 1) with which the loss replaces the label by "no label", which trains the
        unconditional model for guidance.

    Raises:
      ValueError: if label_dropout is outside [0, 1), or num_codes is neither one number nor one per place.
    """
    check_label_dropout(label_dropout)
    sizes = sizes_per_place(num_codes, length)
    possible = mask_impossible if len(set(sizes)) > 1 else lambda logits, sizes: logits

    def log_prob(params: Params, codes: ArrayLike, label: ArrayLike | None) -> jax.Array:
        codes = checked_codes(codes, length)
        clipped = jnp.clip(codes, 0, max(sizes) - 1)  # codes out of range are not in the network's embedding table
        scores = logits(params, clipped, checked_label(label, num_classes))
        return categorical_log_prob(codes, possible(scores, jnp.asarray(sizes)))

    def loss(params: Params, key: jax.Array, codes: ArrayLike, label: ArrayLike | None) -> jax.Array:
        return -log_prob(params, codes, drop_label(key, checked_label(label, num_classes), num_classes, label_dropout))

    def decode_sequentially(
        params: Params, label: ArrayLike | None, sampling: Sampling, choose: Any, randomness: Any
    ) -> jax.Array:
        """Codes int32 `[T]`: code t is choose(randomness[t], logits of place t, sampling)."""
        labels = guidance_labels(label, sampling, num_classes)
        step_for_labels = jax.vmap(step, in_axes=(None, 0, None, None, 0))

        def next_code(carry: tuple[Any, jax.Array], inputs: tuple[jax.Array, jax.Array, jax.Array]) -> Any:
            state, previous = carry
            position, size, random = inputs
            scores, state = step_for_labels(params, state, position, previous, labels)
            code = choose(random, possible(guided_logits(scores, sampling), size), sampling)
            return (state, code), code

        state = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(labels)), start(params))
        inputs = (jnp.arange(length), jnp.asarray(sizes), randomness)
        return jax.lax.scan(next_code, (state, jnp.int32(0)), inputs)[1]

    def sample(params: Params, key: jax.Array, label: ArrayLike | None, sampling: Sampling) -> jax.Array:
        return decode_sequentially(params, label, sampling, draw_code, jax.random.split(key, length))

    def from_uniforms(params: Params, uniforms: ArrayLike, label: ArrayLike | None, sampling: Sampling) -> jax.Array:
        uniforms = jnp.asarray(uniforms)
        chex.assert_shape(uniforms, (length,))
        return decode_sequentially(params, label, sampling, code_from_uniform, uniforms)

    return CodePrior(init, loss, log_prob, sample, sizes, length, num_classes, from_uniforms)


def uncached(logits: Logits, length: int) -> tuple[Start, Step]:
    """Makes a start and a step whose state is the codes only: every step computes all positions, T^2 for a sample."""

    def start(params: Params) -> jax.Array:
        return jnp.zeros(length, jnp.int32)

    def step(
        params: Params, codes: jax.Array, position: jax.Array, previous: jax.Array, label: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        codes = jnp.where(jnp.arange(length) == position - 1, previous, codes)
        return logits(params, codes, label)[position], codes

    return start, step
