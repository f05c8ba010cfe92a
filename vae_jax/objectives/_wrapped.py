"""Objectives around another: a different one for each training step, and one on preprocessed batches."""

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

    `scheduled(beta_vae_loss, linear(10_000))` is the KL warm-up, from the distortion alone to the ELBO. That of a bound
    of many samples is `scheduled(lambda beta: negative_iwae(50, beta=beta), linear(10_000))`.

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


Preprocess = Callable[[jax.Array, Any], Any]  # (key, raw x [B, ...]) -> x as the model sees it


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

    Of a `Scheduled` objective it is one again, with the same warm-up. Of a batch of `Example`s x alone is prepared: the
    context reaches the objective as it is.

    Args:
      objective: takes the batch as the model sees it.
      preprocess: (key, raw x `[B, ...]`) -> x, for example `vae_jax.data.binarize`.
    """
    if isinstance(objective, Scheduled):
        scheduled = objective
        return Scheduled(lambda step: with_preprocessing(scheduled.at(step), preprocess), scheduled.warm_up_steps)
    return Preprocessed(objective, preprocess)


def preprocessed(objective: Objective, key: jax.Array, batch: Any) -> tuple[Objective, jax.Array, Any]:
    """(objective of what the model sees, its key, the batch as the model sees it), of any objective."""
    while isinstance(objective, Preprocessed):
        preprocess_key, key = jax.random.split(key)
        if isinstance(batch, Example):
            batch = batch._replace(x=objective.preprocess(preprocess_key, batch.x))
        else:
            batch = objective.preprocess(preprocess_key, batch)
        objective = objective.objective
    return objective, key, batch


def without_preprocessing(objective: Objective) -> Objective:
    """The objective of what the model sees, behind any preprocessing; one that is `Scheduled`, as it is at step 0."""
    objective = at_step(objective, 0)
    while isinstance(objective, Preprocessed):
        objective = objective.objective
    return objective


def is_mean_over_examples(objective: Objective) -> bool:
    """Returns True for a mean over examples (`mean_over_batch`), False for an objective that needs its batch.

    Of an objective with preprocessing or a warm-up, the answer for the objective behind these.
    """
    return isinstance(without_preprocessing(objective), mean_over_batch)
