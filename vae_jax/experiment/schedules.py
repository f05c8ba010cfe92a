"""Learning-rate schedules of optax by name, as flags and configuration files give them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import optax

Schedule = Literal["constant", "linear", "cosine", "warmup_cosine", "exponential"]


def _warmup_steps(total_steps: int) -> int:
    # At least one step is left to the cosine: a run of a single step warms up in none.
    return min(max(1, total_steps // 20), total_steps - 1)


_SCHEDULES: dict[str, Callable[[float, int], optax.Schedule]] = {
    "constant": lambda peak, steps: optax.constant_schedule(peak),
    "linear": lambda peak, steps: optax.linear_schedule(peak, 0.0, steps),
    "cosine": lambda peak, steps: optax.cosine_decay_schedule(peak, steps),
    "warmup_cosine": lambda peak, steps: optax.warmup_cosine_decay_schedule(0.0, peak, _warmup_steps(steps), steps),
    "exponential": lambda peak, steps: optax.exponential_decay(peak, steps, 0.01),
}


def make_schedule(name: Schedule, learning_rate: float, total_steps: int) -> optax.Schedule:
    """The learning rate as a function of the step, over total_steps.

    Args:
      name: "constant"; "linear" or "cosine", down to 0; "warmup_cosine", up from 0 over the first twentieth and down
        again to 0; "exponential", down to a hundredth.
      learning_rate: at its highest, above 0.
      total_steps: how many steps the run takes.

    Raises:
      ValueError: for a name that is none of these, or a learning rate that is not above 0.
    """
    if name not in _SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(get_args(Schedule))}, got {name!r}")
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be above 0, got {learning_rate}")
    return _SCHEDULES[name](learning_rate, total_steps)
