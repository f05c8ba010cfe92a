"""What the disentanglement experiment can be told, and which models that makes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tyro

from vae_jax.data._factor_sets import NAMES
from vae_jax.experiment.limits import check_numbers
from vae_jax.experiment.loggers import LogName
from vae_jax.experiment.saved_settings import saved_fields
from vae_jax.runs import RunFolder

EXPERIMENT = "disentangle"
TITLE = "Disentanglement"
DESCRIPTION = "Many models at once on images whose factors are known, scored as the field scores them."
ObjectiveName = Literal["beta", "tc", "factor", "dip_i", "dip_ii", "info", "wae", "capacity", "ada_gvae"]
# The weight of each objective's own term where --betas is not given: one of those that its paper tries.
DEFAULT_WEIGHTS: dict[ObjectiveName, float] = {
    "beta": 4.0,
    "tc": 6.0,
    "factor": 30.0,
    "dip_i": 10.0,
    "dip_ii": 10.0,
    "info": 1000.0,
    "wae": 10.0,
    "capacity": 1000.0,
    "ada_gvae": 1.0,
}
STEPS_AT_ONCE = 100  # at most, between two lines of metrics
_PLACES = ("data_dir", "run_dir", "resume", "accept_versions", "log")
_MOST_SCORINGS = 1_000  # of all models, a minute or more each


@dataclasses.dataclass(frozen=True)
class DisentangleSettings:
    """Models of one objective, with every weight for every seed, trained at once and scored against known factors."""

    objective: ObjectiveName = "beta"
    """beta-VAE, beta-TCVAE, FactorVAE, DIP-VAE I or II, InfoVAE (MMD), WAE-MMD, annealed capacity, Ada-GVAE on pairs"""
    betas: tuple[float, ...] = ()
    """weights of the objective's own term (beta, gamma, lambda), each a model for every seed; none: its paper's"""
    seeds: int = 5
    """models of each weight: the spread between seeds is larger than that between methods"""
    seed: int = 0
    """of the first; each further one has the next number"""
    steps: int = 10_000
    """of each model (the papers take 300,000)"""
    score_every: int | None = None
    """steps after which the models are scored on the way; None: at the end only"""
    data: str = "sprites"
    """sprites, sprites_color, sprites_noisy, squares (all rendered), or dsprites, which TFDS must hold"""
    data_dir: str | None = None
    """folder of TFDS datasets, for dsprites; None: the environment's TFDS_DATA_DIR, else TFDS's own"""
    run_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """the run's own folder, made by the run; None: runs/disentangle-OBJECTIVE-DATA-TIME"""
    resume: bool = False
    """continue the run in --run-dir, with all its models, from its last checkpoint, with its settings"""
    accept_versions: bool = False
    """resume even if the run was begun with other versions of vae_jax, JAX, flax, optax or NumPy (changes its bits)"""
    log: LogName = "none"
    """metrics go to metrics.jsonl, and to TensorBoard or Weights & Biases too; to be given again with --resume"""
    batch_size: int = 64
    """images a step"""
    learning_rate: float = 5e-4
    """of Adam; Burgess et al. 2018 take 5e-4, disentanglement_lib 1e-4"""
    latent_dim: int = 10
    """length of the code z"""
    changed_factors: int | None = 1
    """of ada_gvae: how many factors the images of a pair may differ in; None: drawn for each pair"""
    max_capacity: float = 25.0
    """of capacity: where the capacity, which rises from 0 over a third of the steps, ends, in nats"""
    points: int = 10_000
    """images or votes that a score is fitted to, and half as many that it is tested on"""
    whole_table: bool = True
    """encode every image, minutes a model; --no-whole-table: for the FactorVAE and BetaVAE scores, active units and
    figures 8 values of each factor at most (10,000 images), and for the other scores the images that they draw of all:
    seconds a model"""
    dci_points: int | None = None
    """as --points, for DCI alone, whose boosted trees take minutes a model with 10,000; None: as --points"""


class Member(NamedTuple):
    """One model of a run."""

    beta: float
    seed: int


def members_of(settings: DisentangleSettings) -> list[Member]:
    """The models of a run, in order: every weight with every seed."""
    seeds = range(settings.seed, settings.seed + settings.seeds)
    return [Member(beta, seed) for beta in settings.betas for seed in seeds]


def resolve(settings: DisentangleSettings) -> DisentangleSettings:
    """The settings with nothing left to default.

    Raises:
      ValueError: where a number is out of range, or two settings contradict each other.
    """
    if settings.objective not in DEFAULT_WEIGHTS:
        raise ValueError(f"--objective must be one of {', '.join(DEFAULT_WEIGHTS)}, got {settings.objective}")
    if settings.data not in NAMES:
        raise ValueError(f"--data must be one with known factors, {', '.join(NAMES)}, got {settings.data}")
    check_numbers(settings)
    for name, least in {"batch_size": 2, "latent_dim": 2}.items():
        if getattr(settings, name) < least:
            flag = name.replace("_", "-")
            raise ValueError(f"--{flag} must be at least {least}, got {getattr(settings, name)}")
    if settings.points <= settings.latent_dim:
        raise ValueError(f"--points must be above --latent-dim {settings.latent_dim}, got {settings.points}")
    if not 0 <= settings.seed <= 2**32 - 1 - settings.seeds:
        raise ValueError(f"--seed must be between 0 and 2**32 - {settings.seeds + 1}, got {settings.seed}")
    every = settings.steps if settings.score_every is None else settings.score_every
    if every < 1 or settings.steps % every:
        raise ValueError(f"--score-every must divide --steps {settings.steps}, got {every}")
    if settings.steps // every > _MOST_SCORINGS:
        raise ValueError(f"--score-every must be at least {-(-settings.steps // _MOST_SCORINGS)}, got {every}")
    if every > STEPS_AT_ONCE > 10 * steps_at_once(settings):
        flag = "--steps" if settings.score_every is None else "--score-every"
        raise ValueError(
            f"{flag} must have a divisor between 10 and {STEPS_AT_ONCE}, as multiples of 100 do, got {every}"
        )
    betas = settings.betas or (DEFAULT_WEIGHTS[settings.objective],)
    if len(set(betas)) < len(betas):
        raise ValueError(f"--betas must be different numbers, got {betas}")
    return dataclasses.replace(settings, betas=tuple(map(float, betas)))


def steps_at_once(settings: DisentangleSettings) -> int:
    """Steps that one program takes, an "epoch" of the loop: as many as fit between two scores without a rest."""
    every = settings.score_every or settings.steps
    return max(steps for steps in range(1, min(every, STEPS_AT_ONCE) + 1) if every % steps == 0)


def scored_steps(settings: DisentangleSettings) -> list[int]:
    """After how many steps the models are scored, the last of all included."""
    every = settings.score_every or settings.steps
    return list(range(every, settings.steps + 1, every))


def config_of(settings: DisentangleSettings) -> dict[str, Any]:
    """What `config.json` holds: all that decides the numbers, not where things lie."""
    fields = dataclasses.asdict(settings)
    return {"experiment": EXPERIMENT} | {name: fields[name] for name in fields if name not in _PLACES}


def settings_of(folder: RunFolder, places: DisentangleSettings) -> DisentangleSettings:
    """The settings of the run in the folder; where data and run lie is taken from `places`.

    Raises:
      ValueError: where the folder holds no run, one of another experiment, or one whose fields are not this version's
        or not of their types.
    """
    config = folder.config()
    if config.pop("experiment", None) != EXPERIMENT:
        raise ValueError(f"{folder.argument} {folder.path} holds no run of experiments.{EXPERIMENT}")
    expected = set(config_of(places)) - {"experiment"}
    settings = dataclasses.replace(places, **saved_fields(folder, config, type(places), expected))
    check_numbers(settings, f"{folder.argument} {folder.path}: config.json")
    return settings
