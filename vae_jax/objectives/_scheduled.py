"""Objectives that change while a model trains, until the end of their warm-up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_count
from vae_jax.models._model import Model
from vae_jax.objectives._batch import Aux, Objective
from vae_jax.objectives.schedules import Schedule
from vae_jax.params import Params


@dataclasses.dataclass(frozen=True)
class Scheduled:
    """An objective for each training step; called like any objective, it is the one after the warm-up.

    So whatever evaluates it compares like with like, at whatever step, and needs to know of no schedule;
    `make_train_step` takes `at(state.step)`, and `fit` lets no epoch before the end of the warm-up count as the best.
    A function around one is an objective without a warm-up: to add to the loss, wrap each step's objective,
    `Scheduled(lambda step: wrapped(inner.at(step)), inner.warm_up_steps)`.
    """

    at: Callable[[ArrayLike], Objective]  # (step, which may be traced) -> the objective of that step
    warm_up_steps: int  # at(step) is the same objective for every step from this one on

    def __post_init__(self) -> None:
        check_count("warm_up_steps", self.warm_up_steps, 0)

    def __call__(self, model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        return self.at(self.warm_up_steps)(model, params, key, batch)


def at_step(objective: Objective, step: ArrayLike) -> Objective:
    """`objective.at(step)` if it is `Scheduled`; any other objective is returned as it is."""
    return objective.at(step) if isinstance(objective, Scheduled) else objective


def warm_up_steps_of(objective: Objective) -> int:
    """The steps of its warm-up: 0 for an objective that is not `Scheduled`."""
    return objective.warm_up_steps if isinstance(objective, Scheduled) else 0


def scheduled(make: Callable[[ArrayLike], Objective], schedule: Schedule) -> Scheduled:
    """`make(schedule.at(step))` at every step: a warm-up of the one number that `make` takes.

    `scheduled(beta_vae_loss, linear(10_000))` is the KL warm-up, from the distortion alone to the ELBO.

    Args:
      make: (value) -> objective, the value possibly traced; for example `objectives.beta_vae_loss`.
      schedule: of the value: `schedules.linear`, `schedules.cyclical`.

    Raises:
      ValueError: by `make`, if it refuses the value that the schedule begins or ends with.

    Source: Bowman et al. 2016 (arXiv:1511.06349); Sonderby et al. 2016 (arXiv:1602.02282), for beta.
    """
    with jax.ensure_compile_time_eval():
        for step in (0, schedule.num_steps):
            make(schedule.at(step))
    return Scheduled(lambda step: make(schedule.at(step)), schedule.num_steps)
