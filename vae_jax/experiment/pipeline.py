"""One experiment on images, from settings to a finished run folder."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.multihost_utils import process_allgather

from vae_jax.experiment.environment import device_name, versions
from vae_jax.experiment.members import train_members
from vae_jax.experiment.prepared import Prepared
from vae_jax.experiment.problem import fitted_to
from vae_jax.experiment.progress import ProgressDisplay, say
from vae_jax.experiment.summaries import combined, model_summary, shown_model, summary_to_add_to
from vae_jax.experiment.trained import Trained, draw_figures, keys_of, measure, write_trained_report
from vae_jax.training.distributed import is_writer


def run(prepared: Prepared) -> dict[str, Any]:
    """Trains, evaluates on the test images, draws the figures and writes the report; returns the summary.

    Of several processes the first does what follows the training, on its first device; the others return an empty one.
    """
    try:
        return _run(prepared)
    finally:
        prepared.folder.unlock()


def _run(prepared: Prepared) -> dict[str, Any]:
    method, settings, folder, images, problem, model, *_ = prepared
    with ProgressDisplay(settings.epochs) as display:
        counts = (
            f"{problem.train.shape[0]} training, {len(problem.validation)} validation, {len(problem.test)} test images"
        )
        models = f"{settings.seeds} models at once, " if settings.seeds > 1 else ""
        display.say(f"{method.name} on {images.name}: {models}{counts}; {device_name()}; in {folder.path}")
        training, members, save = train_members(prepared, display)
        # From the devices of all processes, over which a run of several has its arrays split or copied.
        params = [jax.tree.map(jnp.asarray, process_allgather(m.best_params, tiled=True)) for m in members]
        if method.after_training is not None:
            xs = fitted_to(problem, keys_of(settings).fitting)
            params = [method.after_training(model, best, xs) for best in params]
            save(params)
    if not is_writer():
        return {}
    best_epochs = ", ".join(f"{member.best_epoch} of {len(member.history)}" for member in members)
    say(f"best epoch {best_epochs}")

    earlier = summary_to_add_to(folder)
    models_before = earlier.get("models", [earlier])
    trained, measured, summaries = [], [], []
    for i, member in enumerate(members):
        own = dataclasses.replace(settings, seed=settings.seed + i, seeds=1)
        whole = model, params[i]
        if method.second_stage is not None:
            whole = method.second_stage.train(prepared, own, params[i])
        say("evaluating on the test images")
        trained.append(Trained(method, own, folder, images, problem, *whole, member.history))
        before = models_before[i] if i < len(models_before) else {}
        # A run that is resumed after its end has the same parameters: a better estimate of their nll stays.
        better = before.get("nll_samples", 0) > settings.nll_samples
        measured.append(measure(trained[i], 0 if better else settings.nll_samples))
        summaries.append(before | model_summary(own.seed, member, measured[i].summary))
        if measured[i].summary.get("nll_warning"):
            of_seed = f", seed {own.seed}" if settings.seeds > 1 else ""
            say(f"warning{of_seed}: {measured[i].summary['nll_warning']}")
    say("drawing the figures")

    shown = shown_model(members)
    of_models = (
        summaries[0] if settings.seeds == 1 else combined(summaries) | {"shown_seed": trained[shown].settings.seed}
    )
    summary = of_models | {
        "experiment": method.name,
        "data": images.name,
        "data_note": images.note,
        "test_images": len(problem.test),
        "device": device_name(),
        "versions": versions(),
    }
    if training.seconds_to_first_step is not None:
        summary["seconds_to_first_step"] = training.seconds_to_first_step
    figures = draw_figures(trained[shown], measured[shown], summaries[shown])
    summary["wall_seconds"] = training.seconds()
    write_trained_report(trained[shown], summary, figures)
    folder.write_summary(summary)
    return summary
