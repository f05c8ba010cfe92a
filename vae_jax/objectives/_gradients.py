"""Gradient estimators as functions of a VAE: each returns a VAE with the same values and other derivatives.

Every bound of this package, computed with the returned VAE, has the changed gradient. Parameters are distinguished by
the function that uses them, not by their place in params: `encode` is inference, `decode` and `prior` are generation.
A prior that calls the encoder (a VampPrior) counts as generation in that call.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jax.typing import ArrayLike

from vae_jax.distributions import Distribution, log_prob_of
from vae_jax.models._model import VAE


def stop_inference(model: VAE) -> VAE:
    """The model with no derivative through `encode`: neither through z nor through log q(z | x)."""
    return model._replace(encode=lambda params, x: model.encode(stop_gradient(params), x))


def stop_generation(model: VAE) -> VAE:
    """The model with derivatives of `decode` and `prior` with respect to z, and none with respect to parameters."""
    return model._replace(
        prior=lambda params: model.prior(stop_gradient(params)),
        decode=lambda params, z: model.decode(stop_gradient(params), z),
    )


def path_derivative(model: VAE, factor: ArrayLike = 1.0) -> VAE:
    """The model whose log q(z | x), at a draw z of q, depends on the encoder's parameters only through z.

    The omitted term is the score, d/dphi log q_phi(z | x) at a fixed z, whose expectation under q is 0.

    Args:
      model: a VAE whose posterior has a `log_prob` and draws of floating-point numbers.
      factor: a scalar that multiplies every derivative through z.

    Raises:
      ValueError: when z is drawn, if it does not consist of floating-point numbers and is therefore not differentiable.

    Source: Roeder et al. 2017 (arXiv:1703.09194).
    """
    return model._replace(
        encode=lambda params, x: _PathDerivative(
            model.encode(params, x), model.encode(stop_gradient(params), x), jnp.asarray(factor)
        )
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _PathDerivative(Distribution):
    posterior: Distribution
    stopped: Distribution  # the posterior with the gradient of its parameters stopped
    factor: jax.Array

    def sample(self, key: jax.Array) -> Any:
        return jax.tree.map(self._scaled, self.posterior.sample(key))

    def log_prob(self, value: Any) -> jax.Array:
        return log_prob_of(self.stopped, value)

    def sample_and_log_prob(self, key: jax.Array) -> tuple[Any, jax.Array]:
        z, log_q = self.posterior.sample_and_log_prob(key)
        z = jax.tree.map(self._scaled, z)
        # The value comes from the draw, which keeps digits that log_prob(z) has lost.
        return z, stop_gradient(log_q) + only_gradient(self.log_prob(z))

    def _scaled(self, part: jax.Array) -> jax.Array:
        if not jnp.issubdtype(part.dtype, jnp.floating):
            raise ValueError(
                "model: a path derivative needs z of floating-point numbers, drawn from a reparameterized posterior, "
                f"got {part.dtype}"
            )
        return scale_gradient(part, self.factor)


def only_gradient(x: jax.Array) -> jax.Array:
    """Zero, with the gradient of x."""
    return x - stop_gradient(x)


@jax.custom_jvp
def scale_gradient(x: jax.Array, factor: jax.Array) -> jax.Array:
    """Identity of x whose gradient is multiplied by a scalar factor; the factor is held constant."""
    del factor
    return x


@scale_gradient.defjvp
def _scale_gradient_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (x, factor), (tangent, _) = primals, tangents
    return x, jnp.asarray(factor, tangent.dtype) * tangent
