"""Hamiltonian Monte Carlo on a geometric mixture of densities, log pi(z) = sum_j m_j log p_j(z) + const.

The value and gradient of every p_j are kept at the current point, so that the next step of a chain whose mixture
changes, as in annealing, begins without a new evaluation.
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
    """A position and what J densities are there."""

    position: jax.Array  # [D]
    log_probs: jax.Array  # [J] nats
    gradients: jax.Array  # [J, D]


def point_at(densities: Sequence[LogDensity], position: jax.Array) -> Point:
    """The J densities and their gradients at a position `[D]`."""
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
    """One transition that leaves pi(z) ~ prod_j p_j(z)^m_j invariant, and is reversible with respect to it.

    A momentum is drawn from N(0, I), num_leapfrog_steps leapfrog steps follow, and their end is accepted with
    probability min(1, exp(H(start) - H(end))), H = |momentum|^2 / 2 - log pi. An end whose energy is not a number is
    rejected.

    The step size is drawn anew, up to a fifth more or less, for a trajectory of one fixed length may close on itself:
    then a chain of many steps stays where it was.

    Args:
      key: PRNG key, consumed.
      densities: log p_j, J of them.
      mixture: m, `[J]`.
      point: the current position with its densities, by `point_at` or a step before this one.
      step_size: in units of z; `[D]`, one for each dimension. It must not depend on the point.
      num_leapfrog_steps: gradient evaluations, at least 1.

    Returns:
      The next point and the probability with which the proposal was accepted.

    Source: Neal 2011 (arXiv:1206.1901), which advises random step sizes too.
    """
    step_size = jnp.asarray(step_size)
    chex.assert_equal_shape([step_size, point.position])
    momentum_key, uniform_key = jax.random.split(key)
    for_step, for_acceptance = jax.random.uniform(uniform_key, (2,))
    step_size = step_size * (1.0 + JITTER * (2.0 * for_step - 1.0))
    momentum = jax.random.normal(momentum_key, point.position.shape, point.position.dtype)

    # A density that has no part in the mixture may be 0 where the point is: 0 times -inf is no number.
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
