"""Test error with few labels: the models M2 and M1+M2 of Kingma et al. 2014 (arXiv:1406.5298).

    python -m experiments.semi_supervised --model m2 --data mnist --run-dir runs/m2
    python -m experiments.semi_supervised --model m1_m2 --data mnist --run-dir runs/m1_m2

For each split, other training images keep their label, the same number of each class. M2 is `vae-jax train
semi_supervised`. M1+M2 is M2 on the codes of M1, a VAE that `vae-jax train vae` trains without any label: each step
binarizes the images anew and draws their codes from q(z | x); test images are classified by their posterior means. The
test error is that of argmax q(y | x) after the last epoch. The same command continues where it stopped.
"""

import dataclasses
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from experiments.lib.labels_of_codes import error_on_codes
from experiments.lib.records import Claim, Record, write_record
from vae_jax.atomic import write_atomically
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.runs import SEMI_SUPERVISED, VAE, LabelSettings, Settings, device_name, open_run, prepare, run, versions

PAPER = {("m2", 10): 11.97, ("m1_m2", 10): 3.33, ("m2", 100): 3.60, ("m1_m2", 100): 2.40}
BARS = {("m2", 10): 12.0, ("m1_m2", 10): 4.0}
SETTINGS = ("model", "data", "labels_per_class", "epochs", "m1_epochs", "hidden", "alpha", "learning_rate")


@dataclasses.dataclass(frozen=True)
class Options:
    model: Literal["m2", "m1_m2"] = "m2"
    """m2: on images; m1_m2: on the codes of a VAE"""
    data: str = "digits"
    """data set with labels, as for experiments.vae"""
    data_dir: str | None = None
    """folder of TFDS datasets; default: the environment's TFDS_DATA_DIR, else TFDS's own"""
    run_dir: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs/semi_supervised")
    """folder of the runs and of the results"""
    splits: tuple[int, ...] = (0, 1, 2, 3, 4)
    """seeds of the choice of the images that keep their label, and of the training"""
    labels_per_class: int = 10
    """number of training images of each class that keep their label"""
    epochs: int = 20
    """number of passes over the training images"""
    m1_epochs: int = 40
    """number of passes over the training images for M1"""
    hidden: int = 300
    """width of the hidden layer of encoder and decoder; that of the classifier is 500"""
    alpha: float = 1.0
    """weight of the classifier's mean cross-entropy, as a share of the number of training images (0.1 in the paper)"""
    learning_rate: float = 1e-3
    """peak learning rate"""
    record: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """path of a JSON record to write; default: no record"""


def run_m2(options: Options, split: int) -> float:
    """Trains M2 by its recipe, or continues it; returns the test error in percent."""
    folder = options.run_dir / f"split{split}"
    given: dict[str, Any] = {
        name: getattr(options, name) for name in ("data", "data_dir", "labels_per_class", "epochs", "alpha")
    }
    settings = LabelSettings(
        hidden=(options.hidden,),
        learning_rate=options.learning_rate,
        schedule="cosine",
        labels_seed=split,
        seed=split,
        batch_size=100,
        run_dir=folder,
        resume=(folder / "config.json").exists(),
        **given,
    )
    with exit_on_bad_input():
        prepared = prepare(SEMI_SUPERVISED, settings)
    return float((prepared.folder.summary() or run(prepared))["test_error"])


def open_m1(options: Options) -> Any:
    """Trains M1 by the recipe of a VAE, or continues it; returns the run with its data, and its model."""
    folder = options.run_dir / "m1"
    settings = Settings(
        data=options.data,
        data_dir=options.data_dir,
        epochs=options.m1_epochs,
        hidden=(500,),
        latent_dim=50,
        patience=None,
        run_dir=folder,
        resume=(folder / "config.json").exists(),
    )
    with exit_on_bad_input():
        prepared = prepare(VAE, settings)
    if prepared.folder.summary() is None:
        run(prepared)
    prepared.folder.unlock()
    return open_run(folder, options.data_dir)


def run_m1_m2(options: Options, split: int) -> float:
    """Trains M2 on the codes of M1; returns the test error in percent."""
    prepared, m1 = open_m1(options)
    sizes = options.labels_per_class, options.hidden, options.epochs
    return error_on_codes(prepared, m1, *sizes, options.alpha, options.learning_rate, split)


def make_record(options: Options, done: dict[str, Any]) -> Record:
    title, case = {"m2": "M2", "m1_m2": "M1+M2"}[options.model], (options.model, options.labels_per_class)
    errors, seconds = ([numbers[name] for numbers in done.values()] for name in ("test_error", "seconds"))
    m1 = f"; M1: one hidden layer of 500, {options.m1_epochs} epochs" if options.model == "m1_m2" else ""
    return Record(
        title=f"{title} with {options.labels_per_class} labels of each class, on {options.data}",
        protocol=f"z of 50, one hidden layer of {options.hidden}, classifier of 500 units, {options.epochs} epochs, "
        f"batches of 100 with 10 labeled images, Adam {options.learning_rate:g} with a cosine schedule, alpha "
        f"{options.alpha:g} of the number of training images{m1}; binarized pixels; 1,000 training images held out, "
        "no label of which is used; each split has other labeled images and another seed.",
        command=shlex.join(["python", "-m", "experiments.semi_supervised", *sys.argv[1:]]),
        claims=[Claim(f"test error, {title}", "%", errors, PAPER.get(case), BARS.get(case))],
        seeds=[int(split) for split in done],
        wall_seconds=seconds,
        device=device_name(),
        versions=versions(),
    )


def main(options: Options) -> None:
    path = options.run_dir / "results.json"
    how = [str(getattr(options, field.name)) for field in dataclasses.fields(options) if field.name in SETTINGS]
    stored = json.loads(path.read_text()) if path.exists() else {}
    done: dict[str, Any] = stored["splits"] if stored.get("how") == how else {}
    for split in options.splits:
        if str(split) not in done:
            started = time.monotonic()
            error = {"m2": run_m2, "m1_m2": run_m1_m2}[options.model](options, split)
            done[str(split)] = {"test_error": error, "seconds": round(time.monotonic() - started, 1)}
            write_atomically(path, json.dumps({"how": how, "splits": done}) + "\n")
        if options.record:
            write_record(options.record, make_record(options, done))
    print(json.dumps(done))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.semi_supervised"))
