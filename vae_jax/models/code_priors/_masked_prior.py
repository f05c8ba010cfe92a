"""MaskGIT: codes are predicted in any order, many at a time, by a transformer that reads the known ones around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import categorical_log_prob
from vae_jax.models.code_priors._code_prior import (
    CodePrior,
    Sampling,
    check_label_dropout,
    codes_of,
    draw_code,
    drop_label,
    guided_logits,
    label_of,
    labels_of,
    only_possible,
    sizes_of,
)
from vae_jax.networks._transformer import bidirectional_transformer
from vae_jax.params import Params


def draw_mask(key: jax.Array, length: int) -> jax.Array:
    """Bools `[T]`: n = ceil(T cos(pi r / 2)) places, r uniform on [0, 1), any n with the same probability.

    Source: Chang et al. 2022 (arXiv:2202.04200), section 3.1 and the cosine schedule of section 3.3.
    """
    ratio_key, order_key = jax.random.split(key)
    ratio = jnp.cos(0.5 * jnp.pi * jax.random.uniform(ratio_key))
    number = jnp.clip(jnp.ceil(length * ratio), 1, length)
    return jax.random.permutation(order_key, length) < number


def masked_cross_entropy(logits: jax.Array, codes: jax.Array, masked: jax.Array) -> jax.Array:
    """T times the mean over the masked places of -log softmax(logits_i)[codes_i]: a scalar in nats an image.

    Args:
      logits: `[T, K]`.
      codes: integers `[T]` in [0, K).
      masked: bools `[T]`, at least one of them True.
    """
    chex.assert_shape([codes, masked], logits.shape[:1])
    each = -jax.vmap(categorical_log_prob)(codes, logits)
    return len(codes) * jnp.sum(jnp.where(masked, each, 0.0)) / jnp.sum(masked)


def masked_after(length: int, steps: int) -> tuple[int, ...]:
    """How many places are still masked after each decoding step: floor(T cos(pi t / 2 steps)), t = 1, ..., steps.

    One less where that would decode nothing in a step, or leave nothing to a later one; 0 at the end.

    Raises:
      ValueError: if steps lies outside [1, T].

    Source: Chang et al. 2022 (arXiv:2202.04200), section 3.2.
    """
    if not 1 <= steps <= length:
        raise ValueError(f"steps must be in [1, length] = [1, {length}], got {steps}")
    numbers = [length]
    for t in range(1, steps + 1):
        number = math.floor(length * math.cos(0.5 * math.pi * t / steps))
        numbers.append(max(min(number, numbers[-1] - 1), steps - t))
    return tuple(numbers[1:])


def decode_masked(
    logits: Callable[[jax.Array], jax.Array],
    draw: Callable[[jax.Array, jax.Array], jax.Array],
    key: jax.Array,
    length: int,
    num_codes: int,
    masked_numbers: Sequence[int],
    confidence_noise: float,
) -> jax.Array:
    """The tokens `[steps, T]` after each step of decoding from T masks; the last row has none left.

    Each step draws a code for every masked place and keeps those of the highest confidence

        log softmax(logits_i)[code_i] + confidence_noise (1 - t / steps) g_i,    g_i ~ Gumbel(0, 1),

    t = 1, ..., steps, so that the last step is free of noise; a code that is kept is never changed again.

    Args:
      logits: tokens `[T]` in [0, K], K being the mask -> `[T, K]`.
      draw: (key, logits `[K]`) -> a code.
      key: of all draws.
      length: T.
      num_codes: K.
      masked_numbers: how many places are masked after each step.
      confidence_noise: at the start.

    Source: Chang et al. 2022 (arXiv:2202.04200), section 3.2; the noise is that of its published code.
    """

    def step(tokens: jax.Array, inputs: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        key, number, noise = inputs
        code_key, noise_key = jax.random.split(key)
        scores = logits(tokens)
        codes = jax.vmap(draw)(jax.random.split(code_key, length), scores)
        log_probs = jnp.take_along_axis(jax.nn.log_softmax(scores), codes[:, None], axis=1)[:, 0]
        is_masked = tokens == num_codes
        confidence = jnp.where(is_masked, log_probs + noise * jax.random.gumbel(noise_key, (length,)), jnp.inf)
        rank = jnp.argsort(jnp.argsort(confidence))  # 0: the least confident
        tokens = jnp.where(is_masked & (rank >= number), codes, tokens)
        return tokens, tokens

    steps = len(masked_numbers)
    noises = confidence_noise * (1.0 - jnp.arange(1, steps + 1) / steps)
    inputs = (jax.random.split(key, steps), jnp.asarray(masked_numbers, jnp.int32), noises)
    return jax.lax.scan(step, jnp.full(length, num_codes, jnp.int32), inputs)[1]


def masked_prior(
    num_codes: int | Sequence[int],
    length: int,
    num_classes: int = 0,
    layers: int = 4,
    width: int = 256,
    heads: int = 4,
    steps: int = 8,
    confidence_noise: float = 4.5,
    label_dropout: float = 0.1,
) -> CodePrior:
    """MaskGIT: a sample is decoded in `steps` passes of the network, not T. There is no exact likelihood.

    The loss is T times the mean cross-entropy of the masked codes given the others, under a random mask. The factor
    makes it nats an image, T log K for a uniform prediction, whatever the mask; it is no bound on -log p(codes). (With
    n masked places drawn uniformly from 1, ..., T it would be one, of the model that decodes one place at a time in a
    random order. The cosine schedule gives large n more weight, as decoding does.)

    Sampling draws the codes by temperature, top_k, top_p and guidance as in the other priors, and the order of decoding
    with noise of its own: at temperature 0 the order is still random unless confidence_noise is 0.

    Args:
      num_codes: K, at least 1; or one for each of the T places, as levels of other codebooks need.
      length: T, at least 1.
      num_classes: how many labels there are beside "no label"; 0 for an unconditional prior.
      layers: how many blocks, at least 1.
      width: of every position's vector, a multiple of heads.
      heads: of attention, at least 1.
      steps: of decoding, in [1, T].
      confidence_noise: the Gumbel noise on the confidence at the first step, at least 0; it falls linearly to 0.
      label_dropout: the probability, in [0, 1), with which the loss leaves the label out.

    Raises:
      ValueError: if a number is out of its range, or heads does not divide width.

    Source: Chang et al. 2022 (arXiv:2202.04200).
    """
    sizes = sizes_of(num_codes, length)
    mask, of_places = max(sizes), jnp.asarray(sizes)
    network = bidirectional_transformer(mask, length, num_classes, layers, width, heads)
    numbers = masked_after(length, steps)
    check_label_dropout(label_dropout)
    if not (math.isfinite(confidence_noise) and confidence_noise >= 0):
        raise ValueError(f"confidence_noise must be a finite number, at least 0, got {confidence_noise}")

    def loss(params: Params, key: jax.Array, codes: ArrayLike, label: ArrayLike | None) -> jax.Array:
        codes = codes_of(codes, length)
        label_key, mask_key = jax.random.split(key)
        masked = draw_mask(mask_key, length)
        tokens = jnp.where(masked, mask, jnp.clip(codes, 0, mask - 1))
        label = drop_label(label_key, label_of(label, num_classes), num_classes, label_dropout)
        logits = only_possible(network.logits(params, tokens, label), of_places)
        return masked_cross_entropy(logits, codes, masked)

    def sample(params: Params, key: jax.Array, label: ArrayLike | None, how: Sampling) -> jax.Array:
        labels = labels_of(label, how, num_classes)
        of_each_label = jax.vmap(network.logits, in_axes=(None, None, 0))
        tokens = decode_masked(
            lambda tokens: only_possible(guided_logits(of_each_label(params, tokens, labels), how), of_places),
            lambda key, logits: draw_code(key, logits, how),
            key,
            length,
            mask,
            numbers,
            confidence_noise,
        )
        return tokens[-1]

    return CodePrior(network.init, loss, None, sample, sizes, length, num_classes)
