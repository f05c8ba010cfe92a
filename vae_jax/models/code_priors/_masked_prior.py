"""MaskGIT: a bidirectional transformer predicts several codes at a time, in any order, from the known codes."""

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
    checked_codes,
    checked_label,
    draw_code,
    drop_label,
    guidance_labels,
    guided_logits,
    mask_impossible,
    sizes_per_place,
)
from vae_jax.networks._transformer import bidirectional_transformer
from vae_jax.params import Params


def draw_mask(key: jax.Array, length: int) -> jax.Array:
    """Random mask, bools `[T]`, of n = ceil(T cos(pi r / 2)) places, r uniform on [0, 1); all sets of n equally likely.

    Source: Chang et al. 2022 (arXiv:2202.04200), section 3.1 and the cosine schedule of section 3.3.
    """
    ratio_key, order_key = jax.random.split(key)
    ratio = jnp.cos(0.5 * jnp.pi * jax.random.uniform(ratio_key))
    number = jnp.clip(jnp.ceil(length * ratio), 1, length)
    return jax.random.permutation(order_key, length) < number


def masked_cross_entropy(logits: jax.Array, codes: jax.Array, masked: jax.Array) -> jax.Array:
    """T times the mean over the masked places of -log softmax(logits_i)[codes_i]: a scalar in nats per image.

    Args:
      logits: `[T, K]`.
      codes: integers `[T]` in [0, K).
      masked: bools `[T]`, at least one of them True.
    """
    chex.assert_shape([codes, masked], logits.shape[:1])
    losses = -jax.vmap(categorical_log_prob)(codes, logits)
    return len(codes) * jnp.sum(jnp.where(masked, losses, 0.0)) / jnp.sum(masked)


def masking_schedule(length: int, steps: int) -> tuple[int, ...]:
    """Number of masked places after each decoding step: floor(T cos(pi t / 2 steps)), t = 1, ..., steps.

    The numbers are adjusted so that every step decodes at least one place, and the last number is 0.

    Raises:
      ValueError: if steps is outside [1, T].

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
    """Decodes from T masks; returns the tokens `[steps, T]` after each step, without masks in the last row.

    Each step t = 1, ..., steps draws a code for every masked place, and keeps the codes with the highest confidence

        log softmax(logits_i)[code_i] + confidence_noise (1 - t / steps) g_i,    g_i ~ Gumbel(0, 1).

    The last step has no noise. Kept codes never change again.

    Args:
      logits: function of tokens `[T]` in [0, K], where K is the mask -> `[T, K]`.
      draw: (key, logits `[K]`) -> a code.
      key: PRNG key, consumed.
      length: T.
      num_codes: K.
      masked_numbers: number of masked places after each step.
      confidence_noise: initial scale of the noise.

    Source: Chang et al. 2022 (arXiv:2202.04200), section 3.2; the noise is that of the published code.
    """

    def step(tokens: jax.Array, inputs: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        key, number, noise = inputs
        code_key, noise_key = jax.random.split(key)
        scores = logits(tokens)
        codes = jax.vmap(draw)(jax.random.split(code_key, length), scores)
        log_probs = jnp.take_along_axis(jax.nn.log_softmax(scores), codes[:, None], axis=1)[:, 0]
        is_masked = tokens == num_codes
        confidence = jnp.where(is_masked, log_probs + noise * jax.random.gumbel(noise_key, (length,)), jnp.inf)
        rank = jnp.argsort(jnp.argsort(confidence))  # 0 for the lowest confidence
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
    """MaskGIT prior, which decodes a sample in `steps` passes of the network instead of T; no exact likelihood.

    The loss is T times the mean cross-entropy of the masked codes given the others, under a random mask. The factor T
    makes it a loss in nats per image, T log K for a uniform prediction with any mask. It is not a bound on
    -log p(codes). (It would be a bound for the model that decodes one place at a time in random order, if the number n
    of masked places were uniform on 1, ..., T. The cosine schedule gives large n more weight, as decoding does.)

    Codes are drawn with temperature, top_k, top_p and guidance as in the other priors. The order of decoding has
    separate noise: at temperature 0 it is still random unless confidence_noise is 0.

    Args:
      num_codes: K, at least 1; or K at each of the T places, if levels have different codebooks.
      length: T, at least 1.
      num_classes: number of labels; 0 for an unconditional prior.
      layers: number of blocks, at least 1.
      width: length of the vector of every position, a multiple of heads.
      heads: number of attention heads, at least 1.
      steps: number of decoding steps, in [1, T].
      confidence_noise: scale of the Gumbel noise on the confidence at the start, at least 0; it falls linearly to 0.
      label_dropout: probability in [0, 1) with which the loss replaces the label by "no label".

    Raises:
      ValueError: if a number is out of its range, or heads does not divide width.

    Source: Chang et al. 2022 (arXiv:2202.04200).
    """
    sizes = sizes_per_place(num_codes, length)
    mask, place_sizes = max(sizes), jnp.asarray(sizes)
    network = bidirectional_transformer(mask, length, num_classes, layers, width, heads)
    numbers = masking_schedule(length, steps)
    check_label_dropout(label_dropout)
    if not (math.isfinite(confidence_noise) and confidence_noise >= 0):
        raise ValueError(f"confidence_noise must be a finite number of at least 0, got {confidence_noise}")

    def loss(params: Params, key: jax.Array, codes: ArrayLike, label: ArrayLike | None) -> jax.Array:
        codes = checked_codes(codes, length)
        label_key, mask_key = jax.random.split(key)
        masked = draw_mask(mask_key, length)
        tokens = jnp.where(masked, mask, jnp.clip(codes, 0, mask - 1))
        label = drop_label(label_key, checked_label(label, num_classes), num_classes, label_dropout)
        logits = mask_impossible(network.logits(params, tokens, label), place_sizes)
        return masked_cross_entropy(logits, codes, masked)

    def sample(params: Params, key: jax.Array, label: ArrayLike | None, sampling: Sampling) -> jax.Array:
        labels = guidance_labels(label, sampling, num_classes)
        logits_for_labels = jax.vmap(network.logits, in_axes=(None, None, 0))
        tokens = decode_masked(
            lambda tokens: mask_impossible(
                guided_logits(logits_for_labels(params, tokens, labels), sampling), place_sizes
            ),
            lambda key, logits: draw_code(key, logits, sampling),
            key,
            length,
            mask,
            numbers,
            confidence_noise,
        )
        return tokens[-1]

    return CodePrior(network.init, loss, None, sample, sizes, length, num_classes)
