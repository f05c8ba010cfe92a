"""Gradient estimators of quantization: from the code that the decoder receives to the vector from the encoder."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

Estimator = Callable[[jax.Array, jax.Array], jax.Array]  # (z [D], code [D]) -> the code, with a gradient to z


@jax.custom_jvp
def straight_through(z: jax.Array, code: jax.Array) -> jax.Array:
    """Returns the code exactly, with the gradient of the identity in z and none in the code.

    The form `z + stop_gradient(code - z)` would be rounded, and would differ from the value decoded from the indices.

    Source: Bengio et al. 2013 (arXiv:1308.3432); van den Oord et al. 2017 (arXiv:1711.00937), section 3.2.
    """
    return code


straight_through.defjvps(lambda tangent, value, z, code: tangent, None)

# Largest factor by which the rotation trick scales a gradient.
MAX_GAIN = 10.0
_SMALL = 1e-6


@jax.custom_jvp
def rotation_trick(z: jax.Array, code: jax.Array) -> jax.Array:
    """Returns the code exactly, with the gradient of the rotation and scaling that map z to the code.

    d value / d z = g R with R = I - 2 r r^T + 2 c e^T, where e, c and r are the unit vectors along z, the code and
    e + c, and the gain g = |code| / |z| is at most 10. If z or the code is near 0, or they are opposite, no rotation is
    defined and the gradient is that of `straight_through`.

    Source: Fifty et al. 2024 (arXiv:2410.06424), section 4 and appendix; the bound on the gain is ours.
    """
    return code


def _rotate(tangent: jax.Array, value: jax.Array, z: jax.Array, code: jax.Array) -> jax.Array:
    z_norm, code_norm = jnp.linalg.norm(z), jnp.linalg.norm(code)
    e, c = z / jnp.maximum(z_norm, _SMALL), code / jnp.maximum(code_norm, _SMALL)
    middle = e + c
    middle_norm = jnp.linalg.norm(middle)
    defined = (z_norm > _SMALL) & (code_norm > _SMALL) & (middle_norm > 1e-3)
    r = middle / jnp.maximum(middle_norm, _SMALL)
    gain = jnp.minimum(code_norm / jnp.maximum(z_norm, _SMALL), MAX_GAIN)
    rotated = tangent - 2.0 * r * jnp.vdot(r, tangent) + 2.0 * c * jnp.vdot(e, tangent)
    # A jvp rule must be linear in the tangent, and where keeps it linear.
    return jnp.where(defined, gain * rotated, tangent)


rotation_trick.defjvps(_rotate, None)
