"""Discrete uniform distribution: the prior over codes before a prior is trained."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._distribution import Distribution


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DiscreteUniform(Distribution):
    """Uniform on {0, ..., K - 1} at each place of one event, with K the int32 `sizes` at that place; draws are int32.

    log p = -sum log K. Unlike a `Categorical`, it needs no K logits, which matters if K is large.
    """

    sizes: jax.Array
    support: ClassVar[str] = "the integers from 0 to K - 1"

    def sample(self, key: jax.Array) -> jax.Array:
        sizes = jnp.asarray(self.sizes)
        return jax.random.randint(key, sizes.shape, 0, sizes, jnp.int32)

    def from_uniforms(self, uniforms: ArrayLike) -> jax.Array:
        """floor(K u): maps uniform draws on [0, 1), with the event's shape, to draws of this distribution."""
        uniforms, sizes = jnp.asarray(uniforms), jnp.asarray(self.sizes)
        chex.assert_equal_shape([uniforms, sizes])
        # A number just below 1 may round to K.
        return jnp.minimum((uniforms * sizes).astype(jnp.int32), sizes - 1)

    def supports(self, value: ArrayLike) -> jax.Array:
        value, sizes = jnp.asarray(value), jnp.asarray(self.sizes)
        if not jnp.issubdtype(value.dtype, jnp.integer):
            return jnp.bool_(False)
        return jnp.all((value >= 0) & (value < sizes))

    def log_prob(self, value: ArrayLike) -> jax.Array:
        """-sum log K in nats; -inf if an entry of value is outside [0, K).

        Raises:
          AssertionError: if value does not have the shape of the sizes.
          TypeError: if value does not hold integers.
        """
        return jnp.sum(self.log_prob_terms(value))

    def log_prob_terms(self, value: ArrayLike) -> jax.Array:
        value, sizes = jnp.asarray(value), jnp.asarray(self.sizes)
        if not jnp.issubdtype(value.dtype, jnp.integer):
            raise TypeError(f"value must hold integers, got dtype {value.dtype}")
        chex.assert_equal_shape([value, sizes])
        inside = (value >= 0) & (value < sizes)
        return jnp.where(inside, -jnp.log(sizes.astype(jnp.float32)), -jnp.inf)

    def kl(self, other: Distribution) -> jax.Array | None:
        terms = self.kl_per_dimension(other)
        return None if terms is None else jnp.sum(terms)

    def kl_per_dimension(self, other: Distribution) -> jax.Array | None:
        """log(K' / K) at every place where K' is at least K, infinity at the others."""
        if not isinstance(other, DiscreteUniform):
            return None
        sizes, others = (jnp.asarray(array).astype(jnp.float32) for array in (self.sizes, other.sizes))
        chex.assert_equal_shape([sizes, others])
        return jnp.where(others >= sizes, jnp.log(others) - jnp.log(sizes), jnp.inf)
