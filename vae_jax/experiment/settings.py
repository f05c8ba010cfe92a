"""An image experiment's configuration: numbers and names at the edge, and the objects that they stand for.

The fields become command-line flags, with their docstrings as help, and `config.json` in the run folder.
"""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import tyro

from vae_jax.data import Images, ImageStream
from vae_jax.experiment.limits import MOST_STEPS, check_numbers
from vae_jax.experiment.loggers import LogName
from vae_jax.experiment.saved_settings import saved_fields
from vae_jax.experiment.schedules import Schedule
from vae_jax.runs import RunFolder
from vae_jax.training import steps_per_epoch

LikelihoodName = Literal["auto", "bernoulli", "continuous_bernoulli", "logistic", "normal", "laplace"]
Binarization = Literal["auto", "static", "dynamic", "none"]
SettingsT = TypeVar("SettingsT", bound="Settings")

# Where things lie and go, and how a run begins: no part of what it computes.
_PLACES = (
    "data_dir",
    "run_dir",
    "resume",
    "accept_versions",
    "log",
    "devices",
    "distributed",
    "coordinator",
    "num_processes",
    "process_id",
)
# Fields that came after the format of run folders, with their defaults: config.json holds one only if it differs, so
# that folders without it are those of this version too.
_ADDED = {"condition": "none"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every image experiment can be told."""

    default_batch_size: ClassVar[int] = 128

    data: str = "digits"
    """digits (5,000 of MNIST, embedded), a TFDS image dataset (mnist, cifar10, ...), a .npz or .npy file, or folder/"""
    data_dir: str | None = None
    """folder of TFDS datasets; None: the environment's TFDS_DATA_DIR, else TFDS's own"""
    size: Annotated[tuple[int, int] | None, tyro.conf.arg(metavar="HEIGHT WIDTH")] = None
    """resize and crop the pictures of a folder to this size; None: all of them must have one size"""
    stream: bool = False
    """leave the training images on disk and read each batch as it is needed: for data larger than memory"""
    run_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """the run's own folder, made by the run; None: runs/EXPERIMENT-DATA-TIME"""
    resume: bool = False
    """continue the run in --run-dir from its last checkpoint, with its settings; --epochs may be raised or lowered"""
    accept_versions: bool = False
    """resume even if the run was begun with other versions of vae_jax, JAX, flax, optax or NumPy (changes its bits)"""
    log: LogName = "none"
    """metrics go to metrics.jsonl, and to TensorBoard or Weights & Biases too; to be given again with --resume"""
    condition: Literal["none", "labels"] = "none"
    """side information that encoder and decoder are given: the label of each image, or none (vae and beta_vae)"""
    network: Literal["mlp", "conv"] = "mlp"
    """mlp, or conv: 4x4 convolutions of stride 2"""
    hidden: tuple[int, ...] = (400,)
    """widths of the mlp's hidden layers, from image to code; of conv, one width: its dense layer"""
    channels: tuple[int, ...] = (32, 64)
    """channels of conv's convolutions, from image to code"""
    latent_dim: int = 20
    """length of the code z"""
    likelihood: LikelihoodName = "auto"
    """p(x | z) of a pixel; auto: bernoulli for one channel, logistic (discretised to 8 bits) for colour"""
    binarization: Binarization = "auto"
    """pixels as bits drawn once (static) or at every step (dynamic), or grey (none); auto: dynamic for bernoulli"""
    epochs: int = 100
    """passes over the training images; with --resume another number is allowed if --schedule is constant"""
    batch_size: int | None = None
    """images per training step; None: 128, or all training images if there are fewer"""
    microbatches: int = 1
    """parts of a batch, computed one after another for less memory; the numbers are those of the whole batch"""
    rematerialize: bool = False
    """compute each network's activations again for the gradient, for less memory (GPU and TPU)"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """of the networks' arithmetic; parameters, densities and the optimizer are float32 in either"""
    learning_rate: float = 1e-3
    """of Adam, per step, at its highest"""
    schedule: Schedule = "constant"
    """of the learning rate, over all steps of the run"""
    patience: int | None = 20
    """stop after so many epochs without a better validation loss; None: never"""
    validation_size: int | None = None
    """images held out of train to choose the best epoch; None: the validation split, else a tenth, at most 1,000"""
    elbo_samples: int = 16
    """draws of z a test image, for the ELBO, in nats"""
    nll_samples: int = 0
    """importance samples per test image for the negative log-likelihood in nats; 0: leave it to `vae-jax evaluate`"""
    seed: int = 0
    """of parameters, shuffling and noise"""
    seeds: int = 1
    """models trained at once as one program, the first with --seed, each further one with the next number"""
    devices: int | None = None
    """devices over which every batch is split, in all processes; None: one, or all where there are several processes"""
    distributed: bool = False
    """one of several processes, as Slurm, Kubernetes or a TPU pod started them (docs/scale.md)"""
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """one of several processes started by hand: where process 0 runs, and a free port there"""
    num_processes: int | None = None
    """with --coordinator: of the run"""
    process_id: int | None = None
    """with --coordinator: of this process, from 0"""

    @property
    def resolved_batch_size(self) -> int:
        """Images a step, after `resolve`."""
        assert self.batch_size is not None, "resolve the settings first"
        return self.batch_size


def resolve(settings: Settings, images: Images | ImageStream) -> Settings:
    """The settings with nothing left to default: as `config.json` has them.

    Raises:
      ValueError: where a number is out of range, or two settings contradict each other or the images.
    """
    check_numbers(settings)
    if not 0 <= settings.seed <= 2**32 - 1 - settings.seeds:
        raise ValueError(f"--seed must be between 0 and 2**32 - {settings.seeds + 1}, got {settings.seed}")
    if settings.network == "conv" and len(settings.hidden) != 1:
        raise ValueError(f"--network conv has one dense layer: --hidden takes one width, got {settings.hidden}")

    total = images.train.shape[0]
    likelihood = settings.likelihood
    if likelihood == "auto":
        likelihood = "bernoulli" if images.train.shape[-1] == 1 else "logistic"
    binarization = settings.binarization
    if binarization == "auto":
        binarization = "dynamic" if likelihood == "bernoulli" else "none"
    if binarization != "none" and likelihood != "bernoulli":
        raise ValueError(
            f"--binarization {binarization} makes pixels of 0 and 1, which --likelihood bernoulli models, "
            f"not {likelihood}"
        )
    if settings.stream and settings.binarization == "static":
        raise ValueError(
            "--stream reads images batch by batch, but --binarization static draws the bits of all at once"
        )
    if settings.stream and settings.condition != "none":
        raise ValueError(
            f"--stream reads images without their labels, which --condition {settings.condition} needs: leave one out"
        )
    if settings.stream and settings.seeds > 1:
        raise ValueError(f"--stream trains one model at a time, got --seeds {settings.seeds}")
    validation_size = _validation_size(settings, images)
    training, words = total, f"{total} less {validation_size} for validation"
    if images.validation is None:
        training -= validation_size
    else:
        words = f"beside {validation_size} for validation"
    batch_size = settings.batch_size
    if batch_size is None:
        batch_size = settings.default_batch_size
        if training < batch_size:
            # Microbatches and devices must divide the batch.
            batch_size = max(training - training % (settings.microbatches * (settings.devices or 1)), 1)
    if batch_size > training:
        raise ValueError(f"--batch-size {batch_size} is larger than the {training} training images ({words})")
    steps = settings.epochs * steps_per_epoch(training, batch_size)
    if steps > MOST_STEPS:
        most = MOST_STEPS * settings.epochs // steps
        raise ValueError(f"--epochs must be at most {most:,} here ({MOST_STEPS:,} steps), got {settings.epochs}")
    if batch_size % settings.microbatches:
        raise ValueError(f"--microbatches must divide --batch-size {batch_size}, got {settings.microbatches}")
    return dataclasses.replace(
        settings,
        likelihood=likelihood,
        binarization=binarization,
        validation_size=validation_size,
        batch_size=batch_size,
    )


def changeable(settings: Settings) -> tuple[str, ...]:
    """Settings that may differ when a run is continued: its epochs, if the learning rate does not depend on them."""
    return ("epochs",) if settings.schedule == "constant" else ()


def _validation_size(settings: Settings, images: Images | ImageStream) -> int:
    """Number of images that choose the best epoch: the data's own validation split, or images held out of train."""
    total, own = images.train.shape[0], images.validation
    if own is not None:
        if settings.validation_size not in (None, len(own)):
            raise ValueError(
                f"--validation-size holds images out of train, and data {images.name} has {len(own)} of its own for "
                f"validation: leave it out, got {settings.validation_size}"
            )
        return len(own)
    size = max(1, min(total // 10, 1000)) if settings.validation_size is None else settings.validation_size
    if not 1 <= size < total:
        raise ValueError(f"--validation-size must be between 1 and {total - 1} (train has {total}), got {size}")
    return size


def run_config(experiment: str, settings: Settings) -> dict[str, Any]:
    """What `config.json` holds: all that decides the numbers, not where things lie."""
    left_out = {*_PLACES, *(name for name, default in _ADDED.items() if getattr(settings, name) == default)}
    fields = dataclasses.asdict(settings)
    return {"experiment": experiment} | {name: fields[name] for name in fields if name not in left_out}


def settings_of_run(experiment: str, places: SettingsT, folder: RunFolder) -> SettingsT:
    """The settings of the run that the folder holds.

    Args:
      experiment: the one whose run it must be.
      places: settings of that experiment's class; where data and run lie is taken from them.
      folder: of the run.

    Raises:
      ValueError: where the folder holds no run, one of another experiment, or one whose fields are not this version's
        or not of their types.
    """
    config = folder.config()
    if config.get("experiment") != experiment:
        other = config.get("experiment")
        raise ValueError(f"{folder.argument} {folder.path} holds a run of experiments.{other}, not of {experiment}")
    del config["experiment"]
    fields = {*run_config(experiment, places), *_ADDED} - {"experiment"}
    settings = dataclasses.replace(places, **saved_fields(folder, _ADDED | config, type(places), fields))
    check_numbers(settings, f"{folder.argument} {folder.path}: config.json")
    return settings


def program_of(experiment: str) -> list[str]:
    """The words that run an experiment: the installed command for a recipe, else its script."""
    from vae_jax.experiment.disentanglement.settings import EXPERIMENT  # these two need this module
    from vae_jax.experiment.recipes import RECIPES

    if experiment in RECIPES or experiment == EXPERIMENT:
        return ["vae-jax", "train", experiment]
    return ["python", "-m", f"experiments.{experiment}"]


def to_finish(experiment: str, path: Path) -> str:
    """The command line that goes on with the run in a folder."""
    return shlex.join([*program_of(experiment), "--run-dir", str(path), "--resume"])


def as_command(experiment: str, settings: Settings) -> str:
    """The command line that gives these settings again, in a folder of its own."""
    words = program_of(experiment)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name not in _PLACES and value != field.default:
            flag = field.name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
                continue
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{flag}", *map(str, values)]
    return shlex.join(words)
