"""Schedules: numbers that change with the training step up to a last step, and are constant afterwards."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_count, check_number


class Schedule(NamedTuple):
    """A number for each training step."""

    at: Callable[[ArrayLike], jax.Array]  # (step, which may be traced) -> float32 scalar
    num_steps: int  # from this step on the number is constant


def linear(num_steps: int, start: float = 0.0, end: float = 1.0) -> Schedule:
    """Linear schedule start + (end - start) step / num_steps, and `end` from step num_steps on.

    Args:
      num_steps: at least 1.
      start: the value at step 0.
      end: the final value.

    Raises:
      ValueError: if num_steps is below 1.
    """
    check_count("num_steps", num_steps)
    _check_ends(start, end)
    return Schedule(lambda step: _between(start, end, jnp.asarray(step) / num_steps), num_steps)


def cyclical(
    num_cycles: int, steps_per_cycle: int, rise: float = 0.5, start: float = 0.0, end: float = 1.0
) -> Schedule:
    """Cyclical schedule: in every cycle a linear rise from `start` to `end`, then `end`; after the last cycle `end`.

    Fu et al. use 4 cycles over the whole training, rise = 0.5.

    Args:
      num_cycles: at least 1; with 1 the schedule is linear.
      steps_per_cycle: at least 1.
      rise: the fraction of a cycle in which the value rises, above 0 and at most 1.
      start: the value at the start of each cycle.
      end: the value at the end of each cycle, and after the last.

    Raises:
      ValueError: if a number is out of its range.

    Source: Fu et al. 2019 (arXiv:1903.10145).
    """
    check_count("num_cycles", num_cycles)
    check_count("steps_per_cycle", steps_per_cycle)
    _check_ends(start, end)
    if not 0 < rise <= 1:
        raise ValueError(f"rise must be above 0 and at most 1, got {rise}")
    # The value is constant from the end of the last cycle's rise on.
    num_steps = (num_cycles - 1) * steps_per_cycle + math.ceil(rise * steps_per_cycle - 1e-9)  # 0.07 * 100 > 7

    def at(step: ArrayLike) -> jax.Array:
        step = jnp.asarray(step)
        position = (step % steps_per_cycle) / steps_per_cycle
        return _between(start, end, jnp.where(step < num_steps, position / rise, 1.0))

    return Schedule(at, num_steps)


def _check_ends(start: float, end: float) -> None:
    check_number("start", start)
    check_number("end", end)


def _between(start: float, end: float, fraction: jax.Array) -> jax.Array:
    return start + (end - start) * jnp.clip(fraction, 0.0, 1.0)
