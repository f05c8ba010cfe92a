"""Chain of conditional distributions over z = (z_1, ..., z_L): posterior and prior of several stochastic layers.

A recognition chain starts at z_1, as q(z_1) q(z_2 | z_1); a generative chain starts at z_L, as p(z_2) p(z_1 | z_2).
Both are instances of one class over the same tuple, and a value drawn from either has a density under the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions._distribution import Distribution, from_standard_normal_of, point_estimate_of

Link = Callable[[Any, Any], Distribution]  # (params, the part drawn before) -> the distribution of the next part


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Chain(Distribution):
    """log p(z) = log p(first part) + sum log p(next part | previous part), in nats; each part is any pytree.

    `conditionals` is a static field: create each function once, when the model is built, because a new function at
    every call would make `jit` compile again. Pass their inputs in `params`, whose arrays are leaves of this pytree.
    Draw and evaluate inside the `vmap` over a batch of examples: a vmapped function that returns the chain itself
    copies the parameters for every example.

    There is no `mean` (it has no closed form) and no `kl`: sampled estimates of the bound and the divergence need
    neither.

    Source: Burda et al. 2016 (arXiv:1509.00519), eq. 1 (generative) and 2 (recognition).
    """

    first: Distribution  # distribution of the part that is drawn first
    params: tuple[Any, ...]  # parameters of each conditional, in the order of drawing
    conditionals: tuple[Link, ...] = dataclasses.field(metadata={"static": True})
    from_last: bool = dataclasses.field(default=False, metadata={"static": True})  # z_L is drawn first, not z_1

    @property
    def point_estimate(self) -> tuple[Any, ...]:
        """Ancestral mean: the mean of the part drawn first, then the mean of every other part given the previous part.

        For the first part this is the exact mean. For the other parts it is the mean only if every conditional mean is
        linear in the previous part; in general it is a typical value, drawn without noise, not an expectation.
        """
        return self._walk(lambda index, part: (point_estimate_of(part), None))[0]

    def from_standard_normal(self, noise: tuple[Any, ...]) -> tuple[Any, ...]:
        """Maps draws of N(0, I), a tuple with the shapes of the parts of z, to a draw of this chain.

        Raises:
          UndefinedError: if a part has no such map.
        """
        noises = self._in_order_of_drawing(self._checked(noise))
        return self._walk(lambda index, part: (from_standard_normal_of(part, noises[index]), None))[0]

    def sample(self, key: jax.Array) -> tuple[Any, ...]:
        keys = self._split(key)
        return self._walk(lambda index, part: (part.sample(keys[index]), None))[0]

    def supports(self, value: tuple[Any, ...]) -> jax.Array:
        values = self._in_order_of_drawing(self._checked(value))
        _, supported = self._walk(lambda index, part: (values[index], part.supports(values[index])))
        return jnp.all(jnp.stack(supported))

    def log_prob(self, value: tuple[Any, ...]) -> jax.Array:
        values = self._in_order_of_drawing(self._checked(value))
        _, log_probs = self._walk(lambda index, part: (values[index], part.log_prob(values[index])))
        return sum(log_probs, start=jnp.zeros(()))

    def sample_and_log_prob(self, key: jax.Array) -> tuple[tuple[Any, ...], jax.Array]:
        """Draws z and computes its log-density in one pass, by the `sample_and_log_prob` of every part."""
        keys = self._split(key)
        values, log_probs = self._walk(lambda index, part: part.sample_and_log_prob(keys[index]))
        return values, sum(log_probs, start=jnp.zeros(()))

    def _walk(self, visit: Callable[[int, Distribution], tuple[Any, Any]]) -> tuple[tuple[Any, ...], list[Any]]:
        """Calls visit(i, distribution of the i-th part) -> (value of the part, other result), in the order of drawing.

        Returns the values as (z_1, ..., z_L), and the other results in the order of drawing.
        """
        values: list[Any] = []
        others: list[Any] = []
        for index in range(len(self.conditionals) + 1):
            part = self.conditionals[index - 1](self.params[index - 1], values[-1]) if index else self.first
            value, other = visit(index, part)
            values.append(value)
            others.append(other)
        return self._in_order_of_drawing(tuple(values)), others

    def _in_order_of_drawing(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns the values, given as z_1, ..., z_L, in the order of drawing; its own inverse."""
        return values[::-1] if self.from_last else values

    def _split(self, key: jax.Array) -> jax.Array:
        return jax.random.split(key, len(self.conditionals) + 1)

    def _checked(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not isinstance(value, tuple) or len(value) != len(self.conditionals) + 1:
            given = f"{len(value)} parts" if isinstance(value, tuple) else type(value).__name__
            raise TypeError(f"value must be a tuple of the {len(self.conditionals) + 1} parts of z, got {given}")
        return value
