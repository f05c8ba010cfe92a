"""Runs that train one model for each seed and measure it on test examples: of images, and of rows of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vae_jax.evaluation import Measures
from vae_jax.runs.choices import OBJECTIVES
from vae_jax.runs.config import title_of
from vae_jax.runs.keys import keys_of
from vae_jax.runs.limits import MOST_STEPS
from vae_jax.runs.progress import say
from vae_jax.runs.recipe import Length, Member, Outcome, PreparedRun, TrainedModel
from vae_jax.runs.reporting.summaries import combined, shown_model, summary_of_model, summary_to_add_to, with_numbers
from vae_jax.runs.settings import CodeSettings, LabelSettings, Loss, Settings
from vae_jax.training import steps_per_epoch

AnySettings = Settings | CodeSettings | LabelSettings


def members(settings: AnySettings) -> list[Member]:
    """Models of a run: one for each seed."""
    return [Member(seed) for seed in range(settings.seed, settings.seed + settings.seeds)]


def alone(settings: AnySettings, member: Member) -> AnySettings:
    """Settings that train one model of the run alone."""
    return dataclasses.replace(settings, seed=member.seed, seeds=1)


def length(settings: AnySettings) -> Length:
    """Length of the training."""
    return Length(
        settings.epochs,
        settings.resolved_batch_size,
        patience=settings.patience,
        microbatches=settings.microbatches,
    )


def changeable(settings: AnySettings) -> tuple[str, ...]:
    """Settings that may differ with --resume: the epochs, if neither learning rate nor loss depends on them."""
    by_length = isinstance(settings, Loss) and OBJECTIVES.of(settings).by_length
    return () if by_length or settings.schedule != "constant" else ("epochs",)


def validation_size(settings: AnySettings, total: int) -> int:
    """Number of examples held out of `total` training examples.

    Raises:
      ValueError: --validation-size is not between 1 and the number of training examples.
    """
    size = max(1, min(total // 10, 1000)) if settings.validation_size is None else settings.validation_size
    if not 1 <= size < total:
        raise ValueError(f"--validation-size must be between 1 and {total - 1} (train has {total}), got {size}")
    return size


def batch_size(settings: AnySettings, training: int, counted: str, examples: str) -> int:
    """Number of examples in each training step.

    Args:
      training: number of training examples.
      counted: how this number is counted, for messages.
      examples: word for them, such as "images".

    Raises:
      ValueError: --batch-size, --microbatches or --epochs does not suit the number of training examples.
    """
    size = settings.batch_size
    if size is None:
        size = settings.default_batch_size
        if training < size:
            # Microbatches and devices must divide the batch.
            size = max(training - training % (settings.microbatches * (settings.devices or 1)), 1)
    if size > training:
        raise ValueError(f"--batch-size {size} is larger than the {training} training {examples} ({counted})")
    if isinstance(settings, Loss) and size < (least := OBJECTIVES.of(settings).least_batch):
        raise ValueError(
            f"--batch-size must be at least {least} with --objective {settings.objective}, which compares the examples "
            f"of a batch, got {size}"
        )
    steps = settings.epochs * steps_per_epoch(training, size)
    if steps > MOST_STEPS:
        most = MOST_STEPS * settings.epochs // steps
        raise ValueError(
            f"--epochs must be at most {most:,} for this data ({MOST_STEPS:,} steps), got {settings.epochs}"
        )
    if size % settings.microbatches:
        raise ValueError(f"--microbatches must divide --batch-size {size}, got {settings.microbatches}")
    return size


def measure(prepared: PreparedRun, trained: TrainedModel, nll_samples: int) -> Measures:
    """Measures a model on the test examples, with the metrics of its recipe."""
    recipe, settings = prepared.recipe, prepared.settings
    assert recipe.measure is not None
    measures: Measures = recipe.measure(settings)(
        trained.model,
        trained.params,
        keys_of(trained.member.seed).evaluation,
        prepared.problem.test_examples,
        settings.elbo_samples,
        nll_samples,
    )
    return measures


def title(prepared: PreparedRun) -> str:
    """Title of the report."""
    return f"{title_of(prepared.recipe, prepared.settings)} on {prepared.data.name}"


def finish(prepared: PreparedRun, models: Sequence[TrainedModel], seconds: Callable[[], float]) -> Outcome:
    """Measures all models of a run, and draws the figures of one."""
    kind, settings = prepared.recipe.kind, prepared.settings
    assert kind.measure is not None
    assert kind.draw is not None
    earlier = summary_to_add_to(prepared.folder)
    models_before = earlier.get("models", [earlier])
    measured, summaries = [], []
    for i, trained in enumerate(models):
        say(f"evaluating on the test {kind.example}s")
        before = models_before[i] if i < len(models_before) else {}
        # A run that is resumed after its end has the same parameters: an estimate with more samples is kept.
        better = (before.get("nll_samples") or 0) > settings.nll_samples
        measured.append(kind.measure(prepared, trained, 0 if better else settings.nll_samples))
        summaries.append(before | with_numbers(trained.summary, measured[i].summary))
        if warning := measured[i].summary.get("nll_warning"):
            of_seed = f", seed {trained.member.seed}" if len(models) > 1 else ""
            say(f"warning{of_seed}: {warning}")
    say("drawing the figures")
    shown = shown_model([trained.history for trained in models])
    of_models = summaries[0]
    if len(models) > 1:
        of_models = combined(summaries) | {"shown_seed": models[shown].member.seed}
    summary = of_models | {f"test_{kind.example}s": prepared.problem.num_test}
    return Outcome(title(prepared), summary, kind.draw(prepared, models[shown], measured[shown], summaries[shown]))


def redraw(prepared: PreparedRun, trained: TrainedModel, summary: Mapping[str, Any], **options: Any) -> Outcome:
    """Draws the figures of a finished run again, from the numbers in its summary; options are those of `kind.draw`."""
    kind = prepared.recipe.kind
    assert kind.measure is not None
    assert kind.draw is not None
    say("drawing the figures")
    own = summary_of_model(summary, trained.member)
    figures = kind.draw(prepared, trained, kind.measure(prepared, trained, 0), own, **options)
    return Outcome(title(prepared), dict(summary), figures)
