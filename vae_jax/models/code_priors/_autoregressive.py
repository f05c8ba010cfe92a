"""p(codes | label) = prod_t p(codes[t] | codes[:t], label): what all priors of this form share.

A network of this form is a function `logits(params, codes, label)` -> `[T, K]` whose row t depends on the label and
codes[:t] alone: one pass gives the exact log-probability, T passes one after the other a sample.
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
    code_at,
    codes_of,
    draw_code,
    drop_label,
    guided_logits,
    label_of,
    labels_of,
    only_possible,
    sizes_of,
)
from vae_jax.params import Params

Logits = Callable[[Params, jax.Array, jax.Array], jax.Array]  # (params, codes [T], label) -> [T, K]
Start = Callable[[Params], Any]  # (params) -> the state before position 0
# (params, state, position, previous code, label) -> logits [K], state; position 0 has no previous code, and gets 0
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
    """A prior of its network: exact likelihood, the loss -log p(codes | label), sampling in one `lax.scan` of T steps.

    Where a code lies outside [0, K) of its place, log_prob is -inf, and it is never drawn.

    Args:
      init: (key) -> params.
      logits: of all positions at once.
      start: the state before position 0.
      step: the logits of one position from the state of those before; `recomputed` makes both from logits.
      num_codes: K, or K at each place, the largest of which is that of the network.
      length: T.
      num_classes: how many labels there are beside "no label".
      label_dropout: the probability, in [0, 1), with which the loss leaves the label out, so that guidance has an
        unconditional model.

    Raises:
      ValueError: if label_dropout lies outside [0, 1), or num_codes does not suit length.
    """
    check_label_dropout(label_dropout)
    sizes = sizes_of(num_codes, length)
    possible = only_possible if len(set(sizes)) > 1 else lambda logits, sizes: logits

    def log_prob(params: Params, codes: ArrayLike, label: ArrayLike | None) -> jax.Array:
        codes = codes_of(codes, length)
        read = jnp.clip(codes, 0, max(sizes) - 1)  # a code outside has probability 0, and no row in the network's table
        scores = logits(params, read, label_of(label, num_classes))
        return categorical_log_prob(codes, possible(scores, jnp.asarray(sizes)))

    def loss(params: Params, key: jax.Array, codes: ArrayLike, label: ArrayLike | None) -> jax.Array:
        return -log_prob(params, codes, drop_label(key, label_of(label, num_classes), num_classes, label_dropout))

    def one_by_one(params: Params, label: ArrayLike | None, how: Sampling, choose: Any, randomness: Any) -> jax.Array:
        """Codes int32 `[T]`, each by choose(its randomness, its logits, how)."""
        labels = labels_of(label, how, num_classes)
        of_each_label = jax.vmap(step, in_axes=(None, 0, None, None, 0))

        def next_code(carry: tuple[Any, jax.Array], inputs: tuple[jax.Array, jax.Array, jax.Array]) -> Any:
            state, previous = carry
            position, size, random = inputs
            scores, state = of_each_label(params, state, position, previous, labels)
            code = choose(random, possible(guided_logits(scores, how), size), how)
            return (state, code), code

        state = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(labels)), start(params))
        inputs = (jnp.arange(length), jnp.asarray(sizes), randomness)
        return jax.lax.scan(next_code, (state, jnp.int32(0)), inputs)[1]

    def sample(params: Params, key: jax.Array, label: ArrayLike | None, how: Sampling) -> jax.Array:
        return one_by_one(params, label, how, draw_code, jax.random.split(key, length))

    def from_uniforms(params: Params, uniforms: ArrayLike, label: ArrayLike | None, how: Sampling) -> jax.Array:
        uniforms = jnp.asarray(uniforms)
        chex.assert_shape(uniforms, (length,))
        return one_by_one(params, label, how, code_at, uniforms)

    return CodePrior(init, loss, log_prob, sample, sizes, length, num_classes, from_uniforms)


def recomputed(logits: Logits, length: int) -> tuple[Start, Step]:
    """A start and a step that keep the codes alone and compute all positions anew each time: T^2 positions a sample."""

    def start(params: Params) -> jax.Array:
        return jnp.zeros(length, jnp.int32)

    def step(
        params: Params, codes: jax.Array, position: jax.Array, previous: jax.Array, label: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        codes = jnp.where(jnp.arange(length) == position - 1, previous, codes)
        return logits(params, codes, label)[position], codes

    return start, step
