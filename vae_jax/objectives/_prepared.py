"""Raw examples made what a model sees, inside the jitted step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from vae_jax.models._model import Example, Model
from vae_jax.objectives._batch import Aux, MeanOverExamples, Objective
from vae_jax.objectives._scheduled import Scheduled, at_step
from vae_jax.params import Params

Prepare = Callable[[jax.Array, Any], Any]  # (key, raw x [B, ...]) -> x as the model sees it


@dataclasses.dataclass(frozen=True)
class Prepared:
    """An objective on preprocessed batches, called like any objective; see `on_prepared`."""

    objective: Objective
    prepare: Prepare

    def __call__(self, model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        objective, key, batch = preprocessed(self, key, batch)
        return objective(model, params, key, batch)


def on_prepared(objective: Objective, prepare: Prepare) -> Objective:
    """The objective on `prepare(key, batch)`: scaling, binarisation or noise inside the jitted step.

    Of a `Scheduled` objective it is one again, with the same warm-up. Of a batch of `Example`s x alone is prepared: the
    context reaches the objective as it is.

    Args:
      objective: takes the batch as the model sees it.
      prepare: (key, raw x `[B, ...]`) -> x, for example `vae_jax.data.binarize`.
    """
    if isinstance(objective, Scheduled):
        scheduled = objective
        return Scheduled(lambda step: on_prepared(scheduled.at(step), prepare), scheduled.warm_up_steps)
    return Prepared(objective, prepare)


def preprocessed(objective: Objective, key: jax.Array, batch: Any) -> tuple[Objective, jax.Array, Any]:
    """(objective of what the model sees, its key, the batch as the model sees it), of any objective."""
    while isinstance(objective, Prepared):
        prepare_key, key = jax.random.split(key)
        if isinstance(batch, Example):
            batch = batch._replace(x=objective.prepare(prepare_key, batch.x))
        else:
            batch = objective.prepare(prepare_key, batch)
        objective = objective.objective
    return objective, key, batch


def unprepared(objective: Objective) -> Objective:
    """The objective of what the model sees, behind any preprocessing; one that is `Scheduled`, as it is at step 0."""
    objective = at_step(objective, 0)
    while isinstance(objective, Prepared):
        objective = objective.objective
    return objective


def is_mean_over_examples(objective: Objective) -> bool:
    """Returns True for a mean over examples (`mean_over_batch`), False for an objective that needs its batch.

    Of an objective with preprocessing or a warm-up, the answer for the objective behind these.
    """
    return isinstance(unprepared(objective), MeanOverExamples)
