"""A mixture of distributions of one family: the prior of many modes, learnt or made of pseudo-inputs."""

from __future__ import annotations

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp

from vae_jax.distributions._distribution import Distribution, event_arrays


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mixture(Distribution):
    """p(z) = sum_k w_k p_k(z) over one event, with w = softmax(logits).

    log p(z) = logsumexp_k(log w_k + log p_k(z)) is differentiable in everything. A draw is exact, but it is
    reparameterized through the component that it came from and no other: its gradient holds the choice of component
    fixed. So the gradient of E f(z) by way of draws misses what moves the choice, above all the logits (whose gradient
    through a draw is zero). As a prior the mixture is only evaluated and none of this matters; as a posterior it
    would bias the gradient.

    If no logit is finite, or one is NaN, the density is NaN, and so are draws of real numbers.

    There is no `kl`: it has no closed form. `mean` is there where the components have one.

    Source: Tomczak & Welling 2018 (arXiv:1705.07120), where it is a prior.
    """

    logits: jax.Array  # [K]
    components: Any  # a Distribution, each of its arrays with a leading axis [K]

    @property
    def mean(self) -> Any:
        """sum_k w_k E_k[z], of the event's shape."""
        weights = jnp.exp(self._log_weights)
        means = jax.vmap(lambda component: component.mean)(self.components)
        return jax.tree.map(lambda mean: jnp.tensordot(weights, mean, axes=1, precision="highest"), means)

    def sample(self, key: jax.Array) -> Any:
        _, component, key = self._choose(key)
        return component.sample(key)

    def supports(self, value: Any) -> jax.Array:
        return jnp.any(jax.vmap(lambda component: component.supports(value))(self.components))

    def log_prob(self, value: Any) -> jax.Array:
        return jax.nn.logsumexp(self._log_joint(value))

    def sample_and_log_prob(self, key: jax.Array) -> tuple[Any, jax.Array]:
        chosen, component, key = self._choose(key)
        value, log_prob = component.sample_and_log_prob(key)
        # The chosen component's own density of its draw keeps digits that the value has lost.
        precise = self._log_joint(value).at[chosen].set(self._log_weights[chosen] + log_prob)
        return value, jax.nn.logsumexp(precise)

    @property
    def _log_weights(self) -> jax.Array:
        (logits,) = event_arrays(self.logits)
        chex.assert_rank(logits, 1)
        return jax.nn.log_softmax(logits)

    def _log_joint(self, value: Any) -> jax.Array:
        """log w_k + log p_k(value): `[K]`."""
        return jax.vmap(lambda log_weight, component: log_weight + component.log_prob(value))(
            self._log_weights, self.components
        )

    def _choose(self, key: jax.Array) -> tuple[jax.Array, Any, jax.Array]:
        choice_key, draw_key = jax.random.split(key)
        chosen = jax.random.categorical(choice_key, self._log_weights)
        component = jax.tree.map(lambda array: array[chosen], self.components)
        # Weights that are NaN choose component 0, whose draw would pass for one of the mixture.
        bad = jnp.isnan(self._log_weights[chosen])
        component = jax.tree.map(
            lambda array: jnp.where(bad, jnp.nan, array) if jnp.issubdtype(array.dtype, jnp.floating) else array,
            component,
        )
        return chosen, component, draw_key
