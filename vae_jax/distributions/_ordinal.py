"""Independent distributions over ordered categories by cumulative logits: a decoder of ratings and grades."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._categorical import Categorical, categorical_log_prob
from vae_jax.distributions._distribution import Distribution


def ordinal_logits(location: ArrayLike, increments: ArrayLike) -> jax.Array:
    """log P(y = k) of K ordered categories by cumulative logits, normalized over the last axis.

      P(y <= k) = sigmoid(c_k - location),  c_0 = a_0,  c_k = c_(k-1) + softplus(a_k)

    With these increments P(y = k) is a product, sigmoid(c_k - location) sigmoid(location - c_(k-1)) sigmoid(a_k), and
    its logarithm is finite at all finite parameters.

    Args:
      location: `[...]`; a larger location makes larger categories more probable.
      increments: a, unconstrained, `[..., K - 1]`.

    Returns:
      `[..., K]`.

    Raises:
      AssertionError: if the shape of location is not that of increments without the last axis.

    Source: McCullagh 1980 [mccullagh1980regression].
    """
    location, increments = jnp.asarray(location), jnp.asarray(increments)
    chex.assert_shape(location, increments.shape[:-1])
    dtype = jnp.promote_types(jnp.result_type(location, increments), jnp.float32)
    location, increments = location.astype(dtype), increments.astype(dtype)
    first, rest = increments[..., :1], increments[..., 1:]
    cuts = jnp.cumsum(jnp.concatenate([first, jax.nn.softplus(rest)], axis=-1), axis=-1)
    zero = jnp.zeros_like(first)
    below = jnp.concatenate([jax.nn.log_sigmoid(cuts - location[..., None]), zero], axis=-1)
    above = jnp.concatenate([zero, jax.nn.log_sigmoid(location[..., None] - cuts)], axis=-1)
    return below + above + jnp.concatenate([zero, jax.nn.log_sigmoid(rest), zero], axis=-1)


def ordinal_log_prob(x: ArrayLike, location: ArrayLike, increments: ArrayLike) -> jax.Array:
    """log P(x) of ordered categories, summed over the event, in nats: the logarithms of `ordinal_logits` at x.

    Args:
      x: integers in [0, K), one event of any shape `[...]`.
      location: `[...]`.
      increments: `[..., K - 1]`.

    Returns:
      A scalar; -inf if an entry of x is outside [0, K).
    """
    return categorical_log_prob(x, ordinal_logits(location, increments))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ordinal(Distribution):
    """K ordered categories at each place of one event; draws are int32 `[...]`.

    P(y <= k) = sigmoid(c_k - location),  c_0 = a_0,  c_k = c_(k-1) + softplus(a_k)
    """

    location: jax.Array  # [...]
    increments: jax.Array  # a, [..., K - 1]

    support: ClassVar[str] = "the integers from 0 to K - 1"

    @property
    def categorical(self) -> Categorical:
        """Distribution of the categories without their order."""
        return Categorical(ordinal_logits(self.location, self.increments))

    @property
    def probabilities(self) -> jax.Array:
        """P(y = k), `[..., K]`."""
        return self.categorical.probabilities

    def sample(self, key: jax.Array) -> jax.Array:
        return self.categorical.sample(key)

    def supports(self, value: ArrayLike) -> jax.Array:
        return self.categorical.supports(value)

    def log_prob(self, value: ArrayLike) -> jax.Array:
        return self.categorical.log_prob(value)

    def log_prob_terms(self, value: ArrayLike) -> jax.Array:
        return self.categorical.log_prob_terms(value)
