"""The disentanglement experiment from settings to a finished run folder."""

from __future__ import annotations

import shlex
import statistics
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from vae_jax.data import FactorData, fingerprint, load_factor_data
from vae_jax.data._dsprites import agreement_with_sprites
from vae_jax.evaluation.disentanglement import measure_references
from vae_jax.experiment.continued import check_can_continue, check_versions, restore_if_damaged, say_if_elsewhere
from vae_jax.experiment.disentanglement.figures import run_figures
from vae_jax.experiment.disentanglement.methods import make_model
from vae_jax.experiment.disentanglement.scoring import on_the_way, score_all
from vae_jax.experiment.disentanglement.settings import (
    DESCRIPTION,
    EXPERIMENT,
    TITLE,
    DisentangleSettings,
    config_of,
    members_of,
    resolve,
    settings_of,
    steps_at_once,
)
from vae_jax.experiment.disentanglement.training import train
from vae_jax.experiment.environment import device_name, versions
from vae_jax.experiment.limits import MOST_ROWS
from vae_jax.experiment.loggers import check_logger
from vae_jax.experiment.memory import check_fits
from vae_jax.experiment.model_card import write_model_card
from vae_jax.experiment.progress import ProgressDisplay, say
from vae_jax.experiment.settings import program_of
from vae_jax.experiment.summaries import summary_to_add_to
from vae_jax.runs import RunFolder, defined
from vae_jax.training._history import is_finite
from vae_jax.visualization import ReportFigure, save_figure, write_report

# Of each weight the median and the range over seeds are said of these.
SUMMARIZED = (
    "mig",
    "factor_vae_score",
    "beta_vae_score",
    "dci_disentanglement",
    "sap",
    "modularity",
    "udr",
    "negative_elbo",
)


_REFERENCE_DCI_POINTS = 1_000


class Prepared(NamedTuple):
    """A run that has passed every check; its folder holds the configuration."""

    settings: DisentangleSettings
    data: FactorData
    folder: RunFolder


def prepare(settings: DisentangleSettings) -> Prepared:
    """Checks all that can be checked, and then makes the run folder.

    Raises:
      ValueError, TypeError: where a setting, the data or the run folder is not as it must be; nothing is written.
    """
    settings = resolve(settings)
    check_logger(settings.log)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    default = Path("runs") / f"{EXPERIMENT}-{settings.objective}-{settings.data}-{stamp}"
    folder = RunFolder(settings.run_dir or default)
    if settings.resume:
        folder.lock()
    else:
        folder.check_new()
    try:
        return _prepare_in(folder, settings)
    except BaseException:
        folder.unlock()
        raise


def _prepare_in(folder: RunFolder, settings: DisentangleSettings) -> Prepared:
    if settings.resume:
        folder.check_same(config_of(settings))
    data = load_factor_data(settings.data, settings.data_dir)
    if settings.changed_factors is not None and not 1 <= settings.changed_factors < len(data.factor_sizes):
        raise ValueError(
            f"--changed-factors must be between 1 and {len(data.factor_sizes) - 1}, got {settings.changed_factors}"
        )
    rows = settings.steps // steps_at_once(settings) * len(members_of(settings))
    if rows > MOST_ROWS:
        raise ValueError(
            f"--steps must give at most {MOST_ROWS:,} rows of metrics, got {settings.steps} with {rows:,}: give a "
            "rounder number, or fewer --seeds"
        )
    model = make_model(settings, data.image_shape)
    check_fits(model.init, len(members_of(settings)), "--latent-dim, --betas and --seeds")
    about: dict[str, Any] = {
        "image_shape": data.image_shape,
        "data_fingerprint": fingerprint(data),
        "versions": versions(),
        "device": device_name(),
    }
    if settings.resume:
        check_can_continue(folder)
        folder.check_data(about["data_fingerprint"], settings.data)
        check_versions(folder, settings.accept_versions)
        say_if_elsewhere(folder, about["device"])
        folder.keep_config(config_of(settings), about)
    else:
        folder.create(config_of(settings), **about)
    return Prepared(settings, data, folder)


def saved_settings(settings: DisentangleSettings) -> DisentangleSettings:
    """Of a run to be resumed, its own settings, where it lies taken from `settings`."""
    if settings.run_dir is None:
        raise ValueError("--resume needs --run-dir, the folder of the run to continue")
    folder = RunFolder(settings.run_dir)
    restore_if_damaged(folder)
    return settings_of(folder, settings)


def run(prepared: Prepared) -> dict[str, Any]:
    """Trains all models at once, scores them, and writes the summary and the report; returns the summary."""
    try:
        return _run(prepared)
    finally:
        prepared.folder.unlock()


def _run(prepared: Prepared) -> dict[str, Any]:
    settings, data, folder = prepared
    members = members_of(settings)
    with ProgressDisplay(settings.steps // steps_at_once(settings)) as display:
        display.say(
            f"{settings.objective} on {data.name}: {len(members)} models at once, {settings.steps:,} steps, an epoch "
            f"is {steps_at_once(settings)}; {device_name()}; in {folder.path}"
        )
        if data.name == "dsprites":
            display.say(agreement_with_sprites(data))
        training = train(settings, data, folder, display)
    trained, started = training.seconds(), time.monotonic()
    diverged = {i: int(rows[-1]["step"]) for i, rows in enumerate(training.progress.history) if not is_finite(rows[-1])}
    records = score_all(settings, data, folder, diverged)
    return write_summary(
        prepared,
        records,
        {"training_seconds": trained, "scoring_seconds": round(time.monotonic() - started, 2)},
    )


def write_summary(
    prepared: Prepared, records: Sequence[Mapping[str, Any]], seconds: Mapping[str, float]
) -> dict[str, Any]:
    """The summary and the report of a run whose models have these records."""
    settings, data, folder = prepared
    earlier = summary_to_add_to(folder)
    reference_points = reference_dci_points(settings)
    references = {
        name: earlier[name]
        for name in ("ceiling", "floor")
        if earlier.get("points") == settings.points and earlier.get("reference_dci_points") == reference_points
    }
    if not references:
        references = references_for(settings, data, settings.latent_dim)
    summary: dict[str, Any] = {
        "experiment": EXPERIMENT,
        "data": data.name,
        "data_note": data.note,
        "objective": settings.objective,
        "steps": settings.steps,
        "seeds": list(range(settings.seed, settings.seed + settings.seeds)),
        "models": [dict(record) for record in records],
        "over_seeds": over_seeds(records),
        **references,
        "points": settings.points,
        "dci_points": settings.dci_points or settings.points,
        "reference_dci_points": reference_points,
        "whole_table": settings.whole_table,
        "by_steps": on_the_way(settings, folder),
        "device": device_name(),
        "versions": versions(),
        **seconds,
        "wall_seconds": round(sum(seconds.values()), 2),
    }
    summary = defined(summary)
    say(table_of(summary))
    figures = []
    for captioned in run_figures(settings, data, folder, summary):
        path = folder.figures / f"{captioned.name}.png"
        save_figure(captioned.figure, path)
        figures.append(ReportFigure(captioned.name, captioned.title, captioned.caption, path))
    stated = {
        name: value for name, value in summary.items() if name not in ("by_steps", "ceiling", "floor", "over_seeds")
    }
    for beta, numbers in summary["over_seeds"].items():
        for name, spread in numbers.items():
            stated[f"{name}, weight {beta}: median (range)"] = spread_text(spread)
    for reference in ("ceiling", "floor"):
        stated |= {
            f"{name}, {reference}": summary[reference][name] for name in SUMMARIZED if name in summary[reference]
        }
    write_report(
        folder.report,
        title=f"Disentanglement: {settings.objective} on {data.name}",
        summary=stated | {"command": command_of(settings)},
        config=config_of(settings),
        figures=figures,
    )
    write_model_card(folder, TITLE, DESCRIPTION, config_of(settings), summary, command_of(settings))
    folder.write_summary(summary)
    return summary


def reference_dci_points(settings: DisentangleSettings) -> int:
    """Images that DCI of ceiling and floor is fitted to: no more than a thousand, for its time."""
    return min(settings.dci_points or settings.points, _REFERENCE_DCI_POINTS)


def references_for(settings: DisentangleSettings, data: FactorData, latent_dim: int) -> dict[str, dict[str, float]]:
    """The scores of "ceiling" and "floor"."""
    say("scoring a code of a latent for each factor, and noise, to compare with")
    points = {"points": settings.points, "dci_points": reference_dci_points(settings)}
    return measure_references(data.factor_sizes, latent_dim, **points)


def over_seeds(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Of each weight, and each score, the median and the range over its models."""
    result: dict[str, dict[str, dict[str, float]]] = {}
    for beta in dict.fromkeys(record["beta"] for record in records):
        for name in SUMMARIZED:
            values = [r[name] for r in records if r["beta"] == beta and r.get(name) is not None]
            if values:
                spread = {"median": statistics.median(values), "min": min(values), "max": max(values)}
                result.setdefault(f"{beta:g}", {})[name] = spread
    return result


def spread_text(spread: Mapping[str, float]) -> str:
    return f"{spread['median']:.2f} ({spread['min']:.2f} to {spread['max']:.2f})"


def table_of(summary: Mapping[str, Any]) -> str:
    """The scores of each weight as lines of text, each beside its ceiling and its floor."""
    betas = list(summary["over_seeds"])
    lines = [f"{'score':<22}" + "".join(f"{'weight ' + beta:>24}" for beta in betas) + f"{'floor':>8}{'ceiling':>9}"]
    for name in SUMMARIZED:
        cells = [summary["over_seeds"][beta].get(name) for beta in betas]
        limits = [summary[reference].get(name) for reference in ("floor", "ceiling")]
        texts = [f"{spread_text(cell) if cell else '':>24}" for cell in cells]
        ends = [
            f"{'' if limit is None else format(limit, '.2f'):>{width}}"
            for limit, width in zip(limits, (8, 9), strict=True)
        ]
        lines.append(f"{name:<22}" + "".join([*texts, *ends]))
    return "\n".join([*lines, f"median over {len(summary['seeds'])} seeds (lowest to highest); {summary['data_note']}"])


def command_of(settings: DisentangleSettings) -> str:
    """The command line that gives this run again, in a folder of its own."""
    words = program_of(EXPERIMENT)
    defaults = config_of(DisentangleSettings())
    for name, value in config_of(settings).items():
        if isinstance(value, bool) and value != defaults[name]:
            words.append(f"--{'' if value else 'no-'}{name.replace('_', '-')}")
        elif name != "experiment" and value != defaults[name]:
            words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else (value,))]
    return shlex.join(words)
