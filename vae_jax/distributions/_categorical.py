"""Independent categorical distributions with given logits: discrete latent codes, labels, palette pixels."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._distribution import Distribution, discrete_kl_terms, event_arrays


def categorical_log_prob(x: ArrayLike, logits: ArrayLike) -> jax.Array:
    """log Categorical(x; softmax(logits)) = sum(logits[x] - logsumexp(logits)), in nats.

    Args:
      x: integers in [0, K), one event of any shape `[...]` (a scalar for a single category).
      logits: `[..., K]`.

    Returns:
      A scalar, summed over the event; -inf if an entry of x is outside [0, K).

    Raises:
      AssertionError: if the shape of x is not that of logits without the last axis.
      TypeError: if x does not hold integers.
    """
    return jnp.sum(_log_prob_terms(x, logits))


def _log_prob_terms(x: ArrayLike, logits: ArrayLike) -> jax.Array:
    x, logits = jnp.asarray(x), jnp.asarray(logits)
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise TypeError(f"x must hold integer categories, got dtype {x.dtype}")
    chex.assert_shape(x, logits.shape[:-1])
    log_probs = jax.nn.log_softmax(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)), axis=-1)
    chosen = jnp.take_along_axis(log_probs, jnp.clip(x, 0, logits.shape[-1] - 1)[..., None], axis=-1)[..., 0]
    return jnp.where((x >= 0) & (x < logits.shape[-1]), chosen, -jnp.inf)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Categorical(Distribution):
    """Categorical(softmax(logits)) at each place of one event; logits `[..., K]`, draws are int32 `[...]`."""

    logits: jax.Array
    support: ClassVar[str] = "the integers from 0 to K - 1"

    @property
    def probabilities(self) -> jax.Array:
        """Probabilities of the K categories at each place, `[..., K]`."""
        (logits,) = event_arrays(self.logits)
        return jax.nn.softmax(logits, axis=-1)

    def sample(self, key: jax.Array) -> jax.Array:
        (logits,) = event_arrays(self.logits)  # bfloat16 noise would bias the draw
        return jax.random.categorical(key, logits, axis=-1).astype(jnp.int32)

    def supports(self, value: ArrayLike) -> jax.Array:
        value = jnp.asarray(value)
        if not jnp.issubdtype(value.dtype, jnp.integer):
            return jnp.bool_(False)
        return jnp.all((value >= 0) & (value < self.logits.shape[-1]))

    def log_prob(self, value: ArrayLike) -> jax.Array:
        return categorical_log_prob(value, self.logits)

    def log_prob_terms(self, value: ArrayLike) -> jax.Array:
        return _log_prob_terms(value, self.logits)

    def kl(self, other: Distribution) -> jax.Array | None:
        """sum_k p_k (log p_k - log p'_k), summed over the event."""
        terms = self._kl_terms(other)
        return None if terms is None else jnp.sum(terms)

    def kl_per_dimension(self, other: Distribution) -> jax.Array | None:
        """KL divergence at every place, `[...]`."""
        terms = self._kl_terms(other)
        return None if terms is None else jnp.sum(terms, axis=-1)

    def _kl_terms(self, other: Distribution) -> jax.Array | None:
        if not isinstance(other, Categorical):
            return None
        logits, other_logits = event_arrays(self.logits, other.logits)
        return discrete_kl_terms(jax.nn.log_softmax(logits), jax.nn.log_softmax(other_logits))
