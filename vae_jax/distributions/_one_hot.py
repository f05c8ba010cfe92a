"""Independent categorical distributions over one-hot vectors, and their relaxation."""

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

    As the temperature falls to 0, the result becomes a one-hot draw of softmax(logits) with an unbounded gradient; at
    high temperatures it is close to the uniform vector.

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
    """Categorical(softmax(logits)) at each place; logits `[..., K]`, draws are one-hot float32 `[..., K]`.

    Draws have no gradient; `objectives.gumbel_softmax_loss` trains with relaxed draws.
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
        """Draw of `gumbel_softmax`: a point inside the simplex, differentiable in the logits."""
        return gumbel_softmax(key, self.logits, temperature)

    def supports(self, value: ArrayLike) -> jax.Array:
        value = jnp.asarray(value)
        return jnp.all((value == 0) | (value == 1)) & jnp.all(jnp.sum(value, axis=-1) == 1)

    def filled(self, value: ArrayLike, observed: ArrayLike) -> jax.Array:
        """Returns the value with the first category at the places that are not observed, a boolean for each place."""
        value = jnp.asarray(value)
        first = jax.nn.one_hot(0, value.shape[-1], dtype=value.dtype)
        return jnp.where(jnp.asarray(observed)[..., None], value, first)

    def log_prob(self, value: ArrayLike) -> jax.Array:
        """sum(value * log softmax(logits)) in nats; -inf if a vector is not one-hot."""
        value, logits = event_arrays(value, self.logits)
        is_one_hot = self.supports(value)
        log_probs = jax.nn.log_softmax(logits, axis=-1)
        # Selection instead of a product: 0 times a log-probability of -inf would be NaN.
        return jnp.where(is_one_hot, jnp.sum(jnp.where(value == 1, log_probs, 0.0)), -jnp.inf)

    def log_prob_terms(self, value: ArrayLike) -> jax.Array:
        """Log-probability at every place, `[...]`: the entries of one vector are dependent."""
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
        """KL divergence of the categories at every place, `[...]`."""
        if not isinstance(other, OneHotCategorical):
            return None
        return Categorical(self.logits).kl_per_dimension(Categorical(other.logits))
