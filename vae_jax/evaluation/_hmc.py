"""Hamiltonian Monte Carlo on a geometric mixture of densities, log pi(z) = sum_j m_j log p_j(z) + const.

The value and gradient of every p_j at the current point are stored: the next step of a chain whose mixture changes, as
in annealing, begins without a new evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

JITTER = 0.2

LogDensity = Callable[[jax.Array], jax.Array]  # [D] -> scalar in nats, up to a constant


class Point(NamedTuple):
    """Position with the values and gradients of J log-densities."""

    position: jax.Array  # [D]
    log_probs: jax.Array  # [J] nats
    gradients: jax.Array  # [J, D]


def point_at(densities: Sequence[LogDensity], position: jax.Array) -> Point:
    """Evaluates the J log-densities and their gradients at a position `[D]`."""
    chex.assert_rank(position, 1)
    pairs = [jax.value_and_grad(density)(position) for density in densities]
    return Point(position, jnp.stack([value for value, _ in pairs]), jnp.stack([gradient for _, gradient in pairs]))


def hmc_step(
    key: jax.Array,
    densities: Sequence[LogDensity],
    mixture: jax.Array,
    point: Point,
    step_size: ArrayLike,
    num_leapfrog_steps: int,
) -> tuple[Point, jax.Array]:
    """Takes one HMC step, a transition that leaves pi(z) ~ prod_j p_j(z)^m_j invariant and is reversible.

    A momentum is drawn from N(0, I), num_leapfrog_steps leapfrog steps follow, and their end is accepted with
    probability min(1, exp(H(start) - H(end))), H = |momentum|^2 / 2 - log pi. An end whose energy is NaN is rejected.

    The step size is varied randomly by up to a fifth, because a trajectory of fixed length may be periodic, and the
    chain would then stay at its position.

    Args:
      key: PRNG key, consumed.
      densities: J functions log p_j.
      mixture: weights m, `[J]`.
      point: the current position with its densities, from `point_at` or the previous step.
      step_size: `[D]` step size of each dimension, in units of z; it must not depend on the point.
      num_leapfrog_steps: number of gradient evaluations, at least 1.

    Returns:
      The next point and the acceptance probability of the proposal.

    Source: Neal 2011 (arXiv:1206.1901), which also recommends random step sizes.
    """
    step_size = jnp.asarray(step_size)
    chex.assert_equal_shape([step_size, point.position])
    momentum_key, uniform_key = jax.random.split(key)
    for_step, for_acceptance = jax.random.uniform(uniform_key, (2,))
    step_size = step_size * (1.0 + JITTER * (2.0 * for_step - 1.0))
    momentum = jax.random.normal(momentum_key, point.position.shape, point.position.dtype)

    # A density of weight 0 may be 0 at the point, and 0 times -inf is NaN.
    mix = lambda values: sum(jnp.where(m == 0, 0.0, m * value) for m, value in zip(mixture, values, strict=True))

    def leapfrog(_: int, state: tuple[Point, jax.Array]) -> tuple[Point, jax.Array]:
        point, momentum = state
        halfway = momentum + 0.5 * step_size * (mix(point.gradients))
        end = point_at(densities, point.position + step_size * halfway)
        return end, halfway + 0.5 * step_size * (mix(end.gradients))

    proposal, end_momentum = jax.lax.fori_loop(0, num_leapfrog_steps, leapfrog, (point, momentum))
    kinetic = 0.5 * jnp.sum(jnp.square(end_momentum) - jnp.square(momentum))
    gain = mix(proposal.log_probs - point.log_probs) - kinetic
    acceptance = jnp.where(jnp.isnan(gain), 0.0, jnp.exp(jnp.minimum(gain, 0.0)))
    accepted = for_acceptance < acceptance
    return jax.tree.map(lambda new, old: jnp.where(accepted, new, old), proposal, point), acceptance
