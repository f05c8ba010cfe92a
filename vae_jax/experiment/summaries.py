"""What `summary.json` says of the models of a run: the numbers of each, and of several their means."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from vae_jax.experiment.progress import say
from vae_jax.runs import RunFolder, defined
from vae_jax.training import Progress
from vae_jax.training._history import best_loss, is_finite

# What is averaged over models; all else is said of each.
_AVERAGED = (
    "negative_elbo",
    "rate",
    "distortion",
    "nll",
    "bits_per_dim",
    "active_units",
    "bits_per_code",
    "codebook_usage",
    "perplexity",
)


def model_summary(seed: int, progress: Progress, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Of one model: its seed, how long it trained, and what was measured of its best parameters.

    Of a model that diverged, "diverged" is the epoch; one without a finite epoch has no numbers.
    """
    summary = {
        "seed": seed,
        "steps": int(progress.state.step),
        "epochs": len(progress.history),
        "best_epoch": progress.best_epoch,
        **defined(measured if progress.best_epoch else dict.fromkeys(measured)),
    }
    if progress.history and not is_finite(progress.history[-1]):
        summary["diverged"] = len(progress.history)
    return summary


def combined(models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of several models: the mean of each number with its standard deviation over them, and the `models` themselves.

    Args:
      models: of `model_summary`; numbers that are None in one are averaged over the others.
    """
    summary: dict[str, Any] = {
        "seeds": [model["seed"] for model in models],
        "steps": max(model["steps"] for model in models),
    }
    for name in _AVERAGED:
        values = [model[name] for model in models if isinstance(model.get(name), (int, float))]
        if name == "nll" and len({model.get("nll_samples") for model in models}) > 1:
            values = []  # by more samples it is lower: a mean of the two kinds says nothing
        summary[name] = statistics.fmean(values) if values else None
        summary[f"{name}_standard_deviation"] = statistics.stdev(values) if len(values) > 1 else None
    return summary | {"models": [dict(model) for model in models]}


def add_to_summary(folder: RunFolder, seed: int, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """`folder.add_to_summary`; of a run of several models, to those of the model of that seed."""
    models = (folder.summary() or {}).get("models")
    if models is None:
        return folder.add_to_summary(numbers)
    return folder.add_to_summary(combined([m | defined(numbers) if m["seed"] == seed else m for m in models]))


def summary_to_add_to(folder: RunFolder) -> dict[str, Any]:
    """Summary of a run that is being trained; {} if there is none, or if it is damaged, which is then said."""
    try:
        return folder.summary() or {}
    except ValueError as error:
        say(f"summary.json is measured anew, without what evaluate had added ({error})")
        folder.remove_summary()
        return {}


def any_diverged(summary: Mapping[str, Any]) -> bool:
    """Returns whether any model of a run diverged."""
    return any("diverged" in model for model in summary.get("models", [summary]))


def shown_model(members: Sequence[Progress]) -> int:
    """The model that the figures show: the one with the lowest validation loss."""
    losses = [best_loss(member.history) for member in members]
    return losses.index(min(losses))
