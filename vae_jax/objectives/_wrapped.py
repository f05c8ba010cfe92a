"""Objectives that wrap another: scheduled by the training step, and applied to preprocessed batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_count
from vae_jax.models._model import Example, Model
from vae_jax.objectives._batch import Aux, Objective, mean_over_batch
from vae_jax.objectives.schedules import Schedule
from vae_jax.params import Params


@dataclasses.dataclass(frozen=True)
class Scheduled:
    """An objective that changes with the training step; called directly, it is the objective after the warm-up.

    Evaluations at different steps are therefore comparable. `make_train_step` uses `at(state.step)`, and `fit` does not
    count an epoch before the end of the warm-up as the best. A function that calls a `Scheduled` objective has no
    warm-up: to add to the loss, wrap the objective of each step,
    `Scheduled(lambda step: wrapped(inner.at(step)), inner.warm_up_steps)`.
    """

    at: Callable[[ArrayLike], Objective]  # (step, which may be traced) -> the objective of that step
    warm_up_steps: int  # at(step) no longer changes from this step on

    def __post_init__(self) -> None:
        check_count("warm_up_steps", self.warm_up_steps, 0)

    def __call__(self, model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        return self.at(self.warm_up_steps)(model, params, key, batch)


def at_step(objective: Objective, step: ArrayLike) -> Objective:
    """`objective.at(step)` if the objective is `Scheduled`; any other objective unchanged."""
    return objective.at(step) if isinstance(objective, Scheduled) else objective


def warm_up_steps_of(objective: Objective) -> int:
    """Number of warm-up steps: 0 for an objective that is not `Scheduled`."""
    return objective.warm_up_steps if isinstance(objective, Scheduled) else 0


def scheduled(make: Callable[[ArrayLike], Objective], schedule: Schedule) -> Scheduled:
    """The objective `make(schedule.at(step))` at every step: a schedule for the argument of `make`, such as a warm-up.

    `scheduled(beta_vae_loss, linear(10_000))` is the KL warm-up, from the distortion alone to the ELBO. The KL warm-up
    of a bound of many samples is `scheduled(lambda beta: negative_iwae(50, beta=beta), linear(10_000))`.

    Args:
      make: (value) -> objective, the value possibly traced; for example `objectives.beta_vae_loss`.
      schedule: schedule of the value: `schedules.linear` or `schedules.cyclical`.

    Raises:
      ValueError: by `make`, if it refuses the first or the last value of the schedule.

    Source: Bowman et al. 2016 (arXiv:1511.06349); Sonderby et al. 2016 (arXiv:1602.02282), for beta.
    """
    with jax.ensure_compile_time_eval():
        for step in (0, schedule.num_steps):
            make(schedule.at(step))
    return Scheduled(lambda step: make(schedule.at(step)), schedule.num_steps)


Preprocess = Callable[[jax.Array, Any], Any]  # (key, raw x [B, ...]) -> x as the model takes it


@dataclasses.dataclass(frozen=True)
class Preprocessed:
    """An objective on preprocessed batches, called like any objective; see `with_preprocessing`."""

    objective: Objective
    preprocess: Preprocess

    def __call__(self, model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        objective, key, batch = preprocessed(self, key, batch)
        return objective(model, params, key, batch)


def with_preprocessing(objective: Objective, preprocess: Preprocess) -> Objective:
    """The objective on `preprocess(key, batch)`: scaling, binarization or noise inside the jitted step.

    If the objective is `Scheduled`, the result is too, with the same warm-up. In a batch of `Example`s only x is
    preprocessed; the context is passed on unchanged.

    Args:
      objective: an objective of preprocessed batches.
      preprocess: (key, raw x `[B, ...]`) -> x, for example `vae_jax.data.binarize`.
    """
    if isinstance(objective, Scheduled):
        scheduled = objective
        return Scheduled(lambda step: with_preprocessing(scheduled.at(step), preprocess), scheduled.warm_up_steps)
    return Preprocessed(objective, preprocess)


def preprocessed(objective: Objective, key: jax.Array, batch: Any) -> tuple[Objective, jax.Array, Any]:
    """The objective without its preprocessing, the key that remains for it, and the preprocessed batch."""
    while isinstance(objective, Preprocessed):
        preprocess_key, key = jax.random.split(key)
        if isinstance(batch, Example):
            batch = batch._replace(x=objective.preprocess(preprocess_key, batch.x))
        else:
            batch = objective.preprocess(preprocess_key, batch)
        objective = objective.objective
    return objective, key, batch


def without_preprocessing(objective: Objective) -> Objective:
    """The objective without its preprocessing; for a `Scheduled` objective, the objective of step 0."""
    objective = at_step(objective, 0)
    while isinstance(objective, Preprocessed):
        objective = objective.objective
    return objective


def is_mean_over_examples(objective: Objective) -> bool:
    """Returns True for a mean over examples (`mean_over_batch`), False for an objective that needs its whole batch.

    Preprocessing and a warm-up do not change the answer.
    """
    return isinstance(without_preprocessing(objective), mean_over_batch)
