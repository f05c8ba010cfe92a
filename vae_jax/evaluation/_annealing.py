"""Chains along a path of densities, for one example: weights of annealed importance sampling, forward and reverse.

The path is f_t(z) = (1 - t) log q0(z) + t log p(x, z) with z flattened to `[D]`, at temperatures 0 = t_0 <= ... <= t_T
= 1. A move of a chain is one HMC step that leaves f_t invariant.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from vae_jax.distributions import Distribution
from vae_jax.evaluation._hmc import LogDensity, Point, hmc_step, point_at

TARGET_ACCEPTANCE = 0.65  # the optimum of HMC in high dimensions: Beskos et al. 2013 (arXiv:1001.4460)
ADAPTATION_RATE = 0.1
ADAPTATION_CHAINS = 4
WARM_UP_STEPS = 30  # adaptation of the first step size to the first temperature
FIRST_STEP_SIZE = 0.5
SCALE_DRAWS = 64


class Path(NamedTuple):
    """First and last density of the path, as functions of z `[D]`."""

    densities: tuple[LogDensity, LogDensity]  # log q0(z), log p(x, z)
    flatten: Callable[[Any], jax.Array]  # z as q0 draws it -> [D]
    draw: Callable[[jax.Array], jax.Array]  # key -> z ~ q0, flattened


def path_between(q0: Distribution, log_joint: Callable[..., jax.Array]) -> Path:
    """Path from q0 to log p(x, z), where z is any pytree that q0 draws."""
    _, unravel = ravel_pytree(q0.sample(jax.random.key(0)))  # for the structure only
    densities = (lambda z: q0.log_prob(unravel(z)), lambda z: log_joint(unravel(z)))
    flatten = lambda z: ravel_pytree(z)[0]
    return Path(densities, flatten, lambda key: flatten(q0.sample(key)))


def first_points(key: jax.Array, path: Path, num_chains: int) -> Point:
    """Independent draws of q0, `num_chains` of them: the exact start of forward chains."""
    return jax.vmap(lambda k: point_at(path.densities, path.draw(k)))(jax.random.split(key, num_chains))


def adapted_step_sizes(key: jax.Array, path: Path, temperatures: jax.Array, num_leapfrog: int) -> jax.Array:
    """Step sizes `[T, D]` at t_1 ... t_T, adapted by chains that are discarded.

    From one temperature to the next a size is multiplied by exp(0.1 (acceptance - 0.65)). The weighted chains use these
    fixed sizes: their steps do not depend on their positions, and leave f_t exactly invariant. Each dimension is scaled
    by the standard deviation of q0.
    """
    draw_key, key = jax.random.split(key)
    draws = jax.vmap(path.draw)(jax.random.split(draw_key, SCALE_DRAWS))
    scale, points = jnp.std(draws, axis=0), jax.vmap(partial(point_at, path.densities))(draws[:ADAPTATION_CHAINS])
    visited = jnp.concatenate([jnp.broadcast_to(temperatures[1], WARM_UP_STEPS), temperatures[1:]])

    def advance(
        state: tuple[Point, jax.Array], step: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[Point, jax.Array], jax.Array]:
        (points, log_size), (key, temperature) = state, step
        points, acceptance = _move(key, path, temperature, points, jnp.exp(log_size) * scale, num_leapfrog)
        log_size = log_size + ADAPTATION_RATE * (acceptance - TARGET_ACCEPTANCE)
        return (points, log_size), log_size

    first = points, jnp.log(FIRST_STEP_SIZE)
    _, log_sizes = jax.lax.scan(advance, first, (jax.random.split(key, visited.shape[0]), visited))
    return jnp.exp(log_sizes[WARM_UP_STEPS:, None]) * scale[None]


class Chains(NamedTuple):
    """Results of C chains."""

    log_weights: jax.Array  # [C] nats
    acceptance_rate: jax.Array  # mean over chains and temperatures


def anneal(
    key: jax.Array, path: Path, points: Point, temperatures: jax.Array, step_sizes: jax.Array, num_leapfrog: int
) -> Chains:
    """Runs chains from draws of q0: E exp(log_weight) = p(x).

    log w = sum_t (t_t - t_(t-1)) (log p(x, z) - log q0(z)) at z_(t-1); z_t follows from z_(t-1) by a move under f_t.

    Source: Neal 2001 (arXiv:physics/9803008).
    """

    def advance(state: tuple[Point, jax.Array], step: tuple[jax.Array, ...]) -> tuple[tuple, jax.Array]:
        (points, log_weights), (key, before, after, step_size) = state, step
        log_weights = log_weights + _increment(points, before, after)
        points, acceptance = _move(key, path, after, points, step_size, num_leapfrog)
        return (points, log_weights), acceptance

    first, steps = _loop(key, points, temperatures, step_sizes)
    (_, log_weights), acceptance = jax.lax.scan(advance, first, steps)
    return Chains(log_weights, jnp.mean(acceptance))


def anneal_back(
    key: jax.Array, path: Path, points: Point, temperatures: jax.Array, step_sizes: jax.Array, num_leapfrog: int
) -> Chains:
    """Runs chains from an exact draw of p(z | x): E exp(-log_weight) = 1 / p(x).

    The steps of `anneal` in reverse order: z_(t-1) follows from z_t by a move under f_t (which is reversible), and then
    the same term of log w is added at z_(t-1).

    Source: Grosse, Ghahramani & Adams 2015 (arXiv:1511.02543).
    """

    def advance(state: tuple[Point, jax.Array], step: tuple[jax.Array, ...]) -> tuple[tuple, jax.Array]:
        (points, log_weights), (key, before, after, step_size) = state, step
        points, acceptance = _move(key, path, after, points, step_size, num_leapfrog)
        log_weights = log_weights + _increment(points, before, after)
        return (points, log_weights), acceptance

    first, steps = _loop(key, points, temperatures, step_sizes)
    (_, log_weights), acceptance = jax.lax.scan(advance, first, steps, reverse=True)
    return Chains(log_weights, jnp.mean(acceptance))


def _loop(key: jax.Array, points: Point, temperatures: jax.Array, step_sizes: jax.Array) -> tuple[tuple, tuple]:
    keys = jax.random.split(key, step_sizes.shape[0])
    return (points, jnp.zeros(points.position.shape[0])), (keys, temperatures[:-1], temperatures[1:], step_sizes)


def _increment(points: Point, before: jax.Array, after: jax.Array) -> jax.Array:
    """Increment (after - before) (log p(x, z) - log q0(z)) of log w; 0 between equal temperatures, even if infinite."""
    return jnp.where(after > before, (after - before) * (points.log_probs[:, 1] - points.log_probs[:, 0]), 0.0)


def _move(
    key: jax.Array, path: Path, temperature: jax.Array, points: Point, step_size: jax.Array, num_leapfrog: int
) -> tuple[Point, jax.Array]:
    mixture = jnp.stack([1.0 - temperature, temperature])
    step = lambda k, point: hmc_step(k, path.densities, mixture, point, step_size, num_leapfrog)
    points, acceptance = jax.vmap(step)(jax.random.split(key, points.position.shape[0]), points)
    return points, jnp.mean(acceptance)
