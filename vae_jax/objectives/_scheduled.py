"""Objectives that change while a model trains: what they are at a step, and when they have stopped changing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_count
from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Aux, Objective
from vae_jax.objectives._beta import beta_vae_loss, sampled_beta_vae_loss
from vae_jax.objectives._capacity import capacity_loss
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

    def __call__(self, model: VAE, params: Params, key: jax.Array, batch: jax.Array) -> tuple[jax.Array, Aux]:
        return self.at(self.warm_up_steps)(model, params, key, batch)


def at_step(objective: Objective, step: ArrayLike) -> Objective:
    """`objective.at(step)` where it is `Scheduled`, and any other objective itself."""
    return objective.at(step) if isinstance(objective, Scheduled) else objective


def warm_up_steps_of(objective: Objective) -> int:
    """The steps of its warm-up: 0 for an objective that is not `Scheduled`."""
    return objective.warm_up_steps if isinstance(objective, Scheduled) else 0


def scheduled(make: Callable[[ArrayLike], Objective], schedule: Schedule) -> Scheduled:
    """`make(schedule.at(step))` at every step: a warm-up of the one number that `make` takes.

    Args:
      make: (value) -> objective, the value possibly traced; for example `objectives.beta_vae_loss`.
      schedule: of the value: `schedules.linear`, `schedules.cyclical`.

    Raises:
      ValueError: by `make`, where it refuses the value that the schedule begins or ends with.
    """
    with jax.ensure_compile_time_eval():
        for step in (0, schedule.num_steps):
            make(schedule.at(step))
    return Scheduled(lambda step: make(schedule.at(step)), schedule.num_steps)


def kl_warm_up(schedule: Schedule) -> Scheduled:
    """`beta` with a beta that rises, its KL divergence in closed form: without a warm-up some codes are never used.

    Args:
      schedule: of beta; one that ends at 1 ends with the ELBO.

    Source: Bowman et al. 2016 (arXiv:1511.06349); Sonderby et al. 2016 (arXiv:1602.02282).
    """
    return scheduled(beta_vae_loss, schedule)


def sampled_kl_warm_up(schedule: Schedule) -> Scheduled:
    """`kl_warm_up` for a posterior or prior to which no KL divergence is known: `sampled_beta` with a beta that rises.

    Args:
      schedule: of beta; one that ends at 1 ends with the ELBO.

    Source: Bowman et al. 2016 (arXiv:1511.06349); Sonderby et al. 2016 (arXiv:1602.02282).
    """
    return scheduled(sampled_beta_vae_loss, schedule)


def capacity_warm_up(gamma: float, schedule: Schedule) -> Scheduled:
    """`capacity` with a capacity C that rises: the code learns what is worth most nats first.

    Args:
      gamma: of `capacity`.
      schedule: of C in nats; Burgess et al. raise it linearly from 0 to 25.

    Source: Burgess et al. 2018 (arXiv:1804.03599).
    """
    return scheduled(lambda nats: capacity_loss(gamma, nats), schedule)
