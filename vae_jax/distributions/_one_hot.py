"""Independent categories as one-hot vectors, which a decoder takes like any other code, and their relaxation."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._categorical import Categorical
from vae_jax.distributions._checks import check_number
from vae_jax.distributions._distribution import Distribution, event_arrays


def gumbel_softmax(key: jax.Array, logits: ArrayLike, temperature: ArrayLike) -> jax.Array:
    """softmax((logits + g) / temperature), g ~ Gumbel(0, 1): a relaxed draw, differentiable in the logits.

    As the temperature falls to 0 it becomes a one-hot draw of softmax(logits), whose gradient has no bound; at high
    temperatures it is near the uniform vector.

    Args:
      key: PRNG key, consumed.
      logits: `[..., K]`.
      temperature: a scalar above 0.

    Returns:
      `[..., K]`, points of the simplex.

    Source: Jang et al. 2017 (arXiv:1611.01144), eq. 2; Maddison et al. 2017 (arXiv:1611.00712).
    """
    (logits,) = event_arrays(logits)
    check_number("temperature", temperature, 0.0, above=True)
    noise = jax.random.gumbel(key, logits.shape, logits.dtype)
    return jax.nn.softmax((logits + noise) / temperature, axis=-1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OneHotCategorical(Distribution):
    """Categorical(softmax(logits)) at each place; logits `[..., K]`, a draw is float32 `[..., K]`, one-hot.

    Its draws have no gradient; `objectives.gumbel_softmax_loss` trains by relaxed ones.
    """

    logits: jax.Array
    support: ClassVar[str] = "the one-hot vectors"

    @property
    def mean(self) -> jax.Array:
        """softmax(logits)."""
        return jax.nn.softmax(event_arrays(self.logits)[0], axis=-1)

    def sample(self, key: jax.Array) -> jax.Array:
        categories = Categorical(self.logits).sample(key)
        return jax.nn.one_hot(categories, self.logits.shape[-1], dtype=jnp.float32)

    def relaxed_sample(self, key: jax.Array, temperature: ArrayLike) -> jax.Array:
        """`gumbel_softmax` at the logits: a draw inside the simplex, differentiable in them."""
        return gumbel_softmax(key, self.logits, temperature)

    def supports(self, value: ArrayLike) -> jax.Array:
        value = jnp.asarray(value)
        return jnp.all((value == 0) | (value == 1)) & jnp.all(jnp.sum(value, axis=-1) == 1)

    def log_prob(self, value: ArrayLike) -> jax.Array:
        """sum(value * log softmax(logits)) in nats; -inf where a place is not one-hot."""
        value, logits = event_arrays(value, self.logits)
        is_one_hot = self.supports(value)
        log_probs = jax.nn.log_softmax(logits, axis=-1)
        # The place of the 1 is chosen, not multiplied by: a logit of -inf elsewhere would make it NaN.
        return jnp.where(is_one_hot, jnp.sum(jnp.where(value == 1, log_probs, 0.0)), -jnp.inf)

    def log_prob_terms(self, value: ArrayLike) -> jax.Array:
        """Log-probability of every place, `[...]`: the entries of one vector depend on each other."""
        value, logits = event_arrays(value, self.logits)
        is_one_hot = jnp.all((value == 0) | (value == 1), axis=-1) & (jnp.sum(value, axis=-1) == 1)
        log_probs = jax.nn.log_softmax(logits, axis=-1)
        return jnp.where(is_one_hot, jnp.sum(jnp.where(value == 1, log_probs, 0.0), axis=-1), -jnp.inf)

    def kl(self, other: Distribution) -> jax.Array | None:
        """KL divergence of the categories."""
        if not isinstance(other, OneHotCategorical):
            return None
        return Categorical(self.logits).kl(Categorical(other.logits))

    def kl_per_dimension(self, other: Distribution) -> jax.Array | None:
        """KL divergence of the category of every place, `[...]`."""
        if not isinstance(other, OneHotCategorical):
            return None
        return Categorical(self.logits).kl_per_dimension(Categorical(other.logits))
