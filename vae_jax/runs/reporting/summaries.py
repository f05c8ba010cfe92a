"""Numbers of the models of a run in `summary.json`, with means over several models."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from vae_jax.runs.folder import RunFolder, defined
from vae_jax.runs.progress import say
from vae_jax.runs.recipe import Member, weight_in
from vae_jax.runs.reporting.metrics import METRICS
from vae_jax.training import History, Progress
from vae_jax.training._history import best_loss, is_finite

# Numbers that are averaged over several models; all others are listed for each model alone.
_AVERAGED = tuple(metric.key for metric in METRICS if metric.averaged)


# Keys of the summary of a run of several models that do not belong to a single model.
_OF_SEVERAL = ("models", "shown_seed", "by_steps", "over_seeds", "seeds")


def course_of(seed: int, progress: Progress) -> dict[str, Any]:
    """Seed of a model and the course of its training: steps, epochs, best epoch, and "diverged" if it diverged."""
    summary = {
        "seed": seed,
        "steps": int(progress.state.step),
        "epochs": len(progress.history),
        "best_epoch": progress.best_epoch,
    }
    if progress.history and not is_finite(progress.history[-1]):
        summary["diverged"] = len(progress.history)
    return summary


def with_numbers(course: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """Course of a model with the measurements of its best parameters, which are None if no epoch was finite."""
    return {**course, **defined(measured if course["best_epoch"] else dict.fromkeys(measured))}


def combined(models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation of each number over several models, and the list of `models`.

    Args:
      models: results of `with_numbers`; a number that is None in one model is averaged over the others.
    """
    summary: dict[str, Any] = {
        "seeds": [model["seed"] for model in models],
        "steps": max(model["steps"] for model in models),
    }
    for name in _AVERAGED:
        values = [model[name] for model in models if isinstance(model.get(name), (int, float))]
        if name == "nll" and len({m.get("nll_samples") for m in models if m.get(name) is not None}) > 1:
            values = []  # not comparable: more samples give a lower estimate
        summary[name] = statistics.fmean(values) if values else None
        summary[f"{name}_standard_deviation"] = statistics.stdev(values) if len(values) > 1 else None
    return summary | {"models": [dict(model) for model in models]}


def add_to_summary(folder: RunFolder, seed: int, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Adds numbers to the summary, or in a run of several models to the record of the model with this seed."""
    models = (folder.summary() or {}).get("models")
    if models is None:
        return folder.add_to_summary(numbers)
    return folder.add_to_summary(combined([m | defined(numbers) if m["seed"] == seed else m for m in models]))


def summary_of_model(summary: Mapping[str, Any], member: Member) -> dict[str, Any]:
    """Numbers of one model alone, from the summary of its run."""
    models = summary.get("models", ())
    own = (m for m in models if m["seed"] == member.seed and weight_in(m) in (None, member.weight))
    whole = {name: value for name, value in summary.items() if name not in _OF_SEVERAL}
    return whole | next(own, {})


def summary_to_add_to(folder: RunFolder) -> dict[str, Any]:
    """Summary of a run that is being trained; {} if there is none, or if it is damaged, after a message about that."""
    try:
        return folder.summary() or {}
    except ValueError as error:
        say(f"summary.json is measured again, without the numbers that `vae-jax evaluate` had added ({error})")
        folder.remove_summary()
        return {}


def any_diverged(summary: Mapping[str, Any]) -> bool:
    """Returns whether any model of a run diverged."""
    return any("diverged" in model for model in summary.get("models", [summary]))


def shown_model(histories: Sequence[History]) -> int:
    """Index of the model that the figures show: the one with the lowest validation loss."""
    losses = [best_loss(history) for history in histories]
    return losses.index(min(losses))
