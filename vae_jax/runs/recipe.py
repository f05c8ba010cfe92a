"""A recipe: the record of what a run is, from its data to what is measured of its models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from jax.sharding import Mesh

from vae_jax.models._model import VAE, Model
from vae_jax.objectives import Objective
from vae_jax.params import Params
from vae_jax.runs.choices import OBJECTIVES, WEIGHTS, Axis, Optimizer
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.reporting.report_page import ReportFigure
from vae_jax.training import History


class Member(NamedTuple):
    """One model of a run: a place in its grid of weights and seeds."""

    seed: int
    weight: float | None = None  # weight of the objective's own term; None: the run has no grid of weights


def name_of(settings: Any, member: Member) -> str:
    """Words for one model of a run."""
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
    # Epochs after which the last parameters are kept, to be measured; () if those of the best epoch are measured.
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
    left_out: tuple[str, ...] = ()  # parts of the summary that are no rows of the report


class SecondStage(NamedTuple):
    """A part of the model that is trained after it: a prior over its codes."""

    train: Callable[..., tuple[VAE, Params]]  # (prepared, settings of one model, params) -> the whole and its params
    load: Callable[..., Params]  # (run folder, settings, the model alone, its params) -> params of the whole
    whole: Callable[[Any, Any], VAE]  # (settings, the model alone) -> the whole
    begun: Callable[..., bool]  # (run folder, settings) -> whether any of it has been saved


class Kind(NamedTuple):
    """Functions that differ by the kind of data: plain images, or images with known factors."""

    load: Callable[[Any], Any]  # (settings) -> data
    resolve: Callable[[Any, Any], Any]  # (settings, data) -> settings with nothing left to default
    problem: Callable[[Any, Any], Any]  # (settings, data) -> how a model meets the data
    without_data: Callable[..., Any]  # (settings, image_shape, num_classes) -> a problem that holds none
    members: Callable[[Any], list[Member]]  # (settings) -> the models of the run
    alone: Callable[[Any, Member], Any]  # (settings, member) -> settings that make this model alone
    length: Callable[[Any], Length]  # (settings) -> extent of the training
    default_name: Callable[[Any, str], str]  # (settings, time) -> name of the run folder, behind that of the recipe
    opening: Callable[..., str]  # (prepared) -> words about the run that begins
    finish: Callable[..., Outcome]  # (prepared, models, () -> seconds so far) -> what was measured and drawn
    redraw: Callable[..., Outcome]  # (prepared, one model, summary) -> the figures of a finished run again
    show: Callable[[Any, Any], Any]  # (settings, data) -> images to look at a model by: pixels, as it sees them, labels
    # (prepared, options, summary) -> all models scored again; None: `evaluate` measures one model
    rescore: Callable[..., Outcome] | None = None
    changeable: Callable[[Any], tuple[str, ...]] = lambda settings: ()  # settings that may differ with --resume


class Recipe(NamedTuple):
    """A kind of run that can be trained by its name. A script of your own has one, by which its runs are loaded."""

    name: str
    title: str  # for reports
    description: str  # a sentence, for --help
    kind: Kind
    defaults: Any  # settings of the recipe's own class
    model: Callable[[Any, Any], Model]  # (settings, problem)
    objective: Callable[..., Objective]  # (settings, problem, model, number of steps, weight of a member or None)
    optimizer: Callable[[Any, int], Optimizer]  # (settings, number of training steps)
    # (settings) -> a vae_jax.evaluation.measure_*; None: the kind of run measures by itself
    measure: Callable[[Any], Callable[..., Any]] | None = None
    # (settings) -> (prepared, params) -> params: what is fitted after training; None if nothing is
    fit_after: Callable[[Any], Any] = lambda settings: None
    second_stage: SecondStage | None = None
    axes: tuple[Axis, ...] = ()  # the settings name a choice of each
    check: Callable[[Any], None] = lambda settings: None  # refuses settings that do not go together
    cites: tuple[Any, ...] = ()  # public functions of vae_jax that each run uses, beside those of its choices
    command: str | None = None  # command that trains it; None: python -m experiments.NAME


class PreparedRun(NamedTuple):
    """A run that has passed every check; its folder holds the configuration."""

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
