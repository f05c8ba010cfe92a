"""All mass at one point: the posterior of a deterministic autoencoder, which has no noise and no rate."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions.distribution import Distribution, event_arrays


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Delta(Distribution):
    """A point mass at `value`.

    `log_prob` is taken with respect to the counting measure: 0 at the point, -inf elsewhere. A continuous code has no
    density under it, so there is no KL divergence to a continuous prior and no ELBO; `objectives.reconstruction` is
    the objective that needs neither.
    """

    value: jax.Array

    @property
    def mean(self) -> jax.Array:
        return self.value

    def sample(self, key: jax.Array) -> jax.Array:
        del key  # nothing is random
        return self.value

    def log_prob(self, value: ArrayLike) -> jax.Array:
        value, point = event_arrays(value, self.value)
        return jnp.where(jnp.all(value == point), 0.0, -jnp.inf)

    def sample_and_log_prob(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self.sample(key), jnp.zeros(())
