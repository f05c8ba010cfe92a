"""Mixture of distributions of one family: a multimodal prior, learned or made of pseudo-inputs."""

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

    log p(z) = logsumexp_k(log w_k + log p_k(z)) is differentiable in the value and in all parameters. Draws are exact,
    but their gradient holds the choice of the component fixed, and their gradient in the logits is zero. A gradient of
    E f(z) through draws is therefore biased. This would matter for a posterior, but not for a prior, which is only
    evaluated.

    If no logit is finite, or one is NaN, the density is NaN, and so are draws of real numbers.

    There is no `kl`, which has no closed form. `mean` exists if the components have one.

    Source: Tomczak & Welling 2018 (arXiv:1705.07120), where it is a prior.
    """

    logits: jax.Array  # [K]
    components: Any  # a Distribution whose arrays all have a leading axis [K]

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
        # The log-density that came with the draw is more precise than one computed from the value.
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
        # With NaN weights, jax.random.categorical returns 0, and a draw of component 0 would look valid.
        bad = jnp.isnan(self._log_weights[chosen])
        component = jax.tree.map(
            lambda array: jnp.where(bad, jnp.nan, array) if jnp.issubdtype(array.dtype, jnp.floating) else array,
            component,
        )
        return chosen, component, draw_key
