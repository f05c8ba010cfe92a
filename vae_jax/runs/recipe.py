"""Recipes: records that define a run, from its data to the measurements of its models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from jax.sharding import Mesh

from vae_jax.data._kinds import kind_of
from vae_jax.evaluation import Measures
from vae_jax.models._model import VAE, Model
from vae_jax.objectives import Objective
from vae_jax.params import Params
from vae_jax.runs.choices import OBJECTIVES, WEIGHTS, Axis, Optimizer
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.reporting.report_page import ReportFigure
from vae_jax.training import History


class Member(NamedTuple):
    """Seed and weight of one model of a run."""

    seed: int
    weight: float | None = None  # weight of the objective's own term; None: the run has no grid of weights


def name_of(settings: Any, member: Member) -> str:
    """Text that names one model of a run, such as "beta 4, seed 0"."""
    of_weight = "" if member.weight is None else f"{settings.objective} {member.weight:g}, "
    return f"{of_weight}seed {member.seed}"


def weight_name(settings: Any) -> str:
    """Name of the weight of a run's objective in records and metrics, such as "beta" or "lambda"."""
    return (OBJECTIVES.of(settings).weight or WEIGHTS[0]).rstrip("_")


def weight_in(record: Mapping[str, Any]) -> Any:
    """The weight of a model's record, whatever its objective calls it; None if it has none."""
    return next((record[name.rstrip("_")] for name in WEIGHTS if name.rstrip("_") in record), None)


class Length(NamedTuple):
    """Extent of the training, as `fit` takes it."""

    epochs: int
    batch_size: int
    steps_per_epoch: int | None = None
    patience: int | None = None
    microbatches: int = 1
    # Epochs after which the current parameters are saved and measured; (): those of the best epoch are measured.
    marks: tuple[int, ...] = ()

    def steps_at(self, mark: int) -> int:
        """Training steps at a mark."""
        return mark * (self.steps_per_epoch or 1)


class TrainedModel(NamedTuple):
    """One model of a run, after its training."""

    member: Member
    model: Any  # a VAE, or a Conditional of labels
    params: Params
    history: History
    summary: dict[str, Any]  # seed, steps, epochs, best epoch; "diverged" if it did


class Outcome(NamedTuple):
    """Measurements and figures of a run, to be written."""

    title: str  # title of the report
    summary: dict[str, Any]
    figures: Sequence[ReportFigure]
    rows: Mapping[str, Any] = MappingProxyType({})  # rows of the report beside those of the summary
    left_out: tuple[str, ...] = ()  # keys of the summary that are not shown in the report


class SecondStage(NamedTuple):
    """Part of the model that is trained after the rest: a prior over the codes."""

    # In these comments, "model" is the model without this part, and "whole" is the model with it.
    train: Callable[..., tuple[VAE, Params]]  # (prepared, settings of one model, params) -> whole and its params
    load: Callable[..., Params]  # (run folder, settings, model, its params) -> params of the whole
    whole: Callable[[Any, Any], VAE]  # (settings, model) -> whole
    begun: Callable[..., bool]  # (run folder, settings) -> whether a training of this part has been saved


class Kind(NamedTuple):
    """Functions that depend on the kind of data: plain images, images with known factors, or tables."""

    load: Callable[[Any], Any]  # (settings) -> data
    resolve: Callable[[Any, Any], Any]  # (settings, data) -> settings with all values that depend on the data
    # (settings, data, folder of a run that was begun, or None) -> splits, preprocessing and likelihood; its `facts` are
    # kept in config.json, from which `without_data` makes the problem again
    problem: Callable[[Any, Any, RunFolder | None], Any]
    without_data: Callable[[Any, RunFolder], Any]  # (settings, run folder) -> problem without examples
    members: Callable[[Any], list[Member]]  # (settings) -> the models of the run
    alone: Callable[[Any, Member], Any]  # (settings, member) -> settings that train this model alone
    length: Callable[[Any], Length]  # (settings) -> extent of the training
    default_name: Callable[[Any, str], str]  # (settings, time) -> name of the run folder after the recipe's name
    opening: Callable[..., str]  # (prepared) -> lines printed before the training
    finish: Callable[..., Outcome]  # (prepared, models, () -> seconds so far) -> measurements and figures
    # (prepared, one model, summary, options of the figures) -> the figures of a finished run, drawn again
    redraw: Callable[..., Outcome]
    show: Callable[[Any, Any], Any]  # (settings, data) -> images to show: pixels, inputs of the model, labels
    measure: Callable[..., Measures] | None = None  # (prepared, one model, number of importance samples) -> numbers
    draw: Callable[..., list[ReportFigure]] | None = None  # (prepared, one model, measures, its summary) -> figures
    example: str = "image"  # word for an example, in messages and in the summary ("test_images")
    # (prepared, options, summary) -> scores of all models, measured again; None: `evaluate` measures one model
    rescore: Callable[..., Outcome] | None = None
    changeable: Callable[[Any], tuple[str, ...]] = lambda settings: ()  # settings that may differ with --resume


class Recipe(NamedTuple):
    """Record of all that defines a run that can be trained by name. Your own script has one too, to load its runs."""

    name: str
    title: str  # for reports
    description: str  # a sentence, for --help
    kind: Kind
    defaults: Any  # settings of the recipe's own class
    model: Callable[[Any, Any], Model]  # (settings, problem)
    objective: Callable[..., Objective]  # (settings, problem, model, number of steps, weight of a member or None)
    optimizer: Callable[[Any, int], Optimizer]  # (settings, number of training steps)
    # (settings) -> a vae_jax.evaluation.measure_*; None: `kind.finish` measures the models
    measure: Callable[[Any], Callable[..., Any]] | None = None
    # (settings) -> (prepared, params) -> params, which fits parameters after training; None if nothing is fitted
    fit_after: Callable[[Any], Any] = lambda settings: None
    second_stage: SecondStage | None = None
    axes: tuple[Axis, ...] = ()  # the settings name a choice of each
    check: Callable[[Any], None] = lambda settings: None  # refuses settings that do not go together
    cites: tuple[Any, ...] = ()  # public functions of vae_jax that each run uses, beside those of its choices
    command: str | None = None  # command that trains it; None: python -m experiments.NAME
    on_tables: Recipe | None = None  # the same method on the rows of a table; None: it takes no table


def recipe_for(recipe: Recipe, data: Any) -> Recipe:
    """The recipe for the data that --data names: the recipe itself, or for a table its `on_tables`.

    Raises:
      ValueError: the data is a table, and the recipe takes none.
    """
    if not isinstance(data, str) or kind_of(data) != "table" or recipe.kind.example == "row":
        return recipe
    if recipe.on_tables is None:
        raise ValueError(f"--data {data} is a table, which {recipe.name} does not take: give images, or the recipe vae")
    return recipe.on_tables


class PreparedRun(NamedTuple):
    """Run that has passed all checks, and whose folder holds the configuration."""

    recipe: Recipe
    settings: Any
    folder: RunFolder
    data: Any
    problem: Any
    model: Any  # a VAE, or a Conditional of labels
    length: Length
    num_steps: int
    mesh: Mesh | None  # the devices that train; None: the first
    started: float  # time.monotonic() when the command began its work
