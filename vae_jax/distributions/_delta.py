"""Point mass: the posterior of a deterministic autoencoder, which has no noise and no rate."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._distribution import Distribution, UndefinedError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Delta(Distribution):
    """A point mass at `value`.

    For an integer value, `log_prob` is 0 at the point and -inf elsewhere. For a floating-point value there is no
    density, hence no KL divergence to a continuous prior and no ELBO: `log_prob` raises UndefinedError. Train such a
    model with `objectives.reconstruction_loss`, which needs neither.
    """

    value: jax.Array
    support: ClassVar[str] = "its one point"

    @property
    def mean(self) -> jax.Array:
        return self.value

    def sample(self, key: jax.Array) -> jax.Array:
        del key  # nothing is random
        return self.value

    def supports(self, value: ArrayLike) -> jax.Array:
        return jnp.all(jnp.asarray(value) == jnp.asarray(self.value))

    def log_prob(self, value: ArrayLike) -> jax.Array:
        value, point = jnp.asarray(value), self._discrete()
        chex.assert_equal_shape([value, point])
        return jnp.where(jnp.all(value == point), 0.0, -jnp.inf)

    def sample_and_log_prob(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        self._discrete()
        return self.sample(key), jnp.zeros(())

    def _discrete(self) -> jax.Array:
        point = jnp.asarray(self.value)
        if jnp.issubdtype(point.dtype, jnp.floating):
            raise UndefinedError(
                "a Delta of floating-point values has no density, and so no ELBO or importance weight; train the "
                "model with objectives.reconstruction_loss, which needs no density"
            )
        return point
