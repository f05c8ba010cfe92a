"""Gain from labels: a VAE that is given the label of each image, against a twin that is given none.

    python -m experiments.conditional --data mnist --run-dir runs/conditional

For each seed, two models with the same networks and budget are trained and measured on the first test images:
`seedS/given_label`, in which the one-hot label enters encoder and decoder, and `seedS/unconditional`. The same command
continues where it stopped; a finished run with another `--epochs` trains on or is refused, as by `vae-jax train
--resume`. Log-likelihoods are importance-sampled, in nats; `annealed_...` is measured by annealing instead:

  nll_given_label          -log p(x | y), y the image's label
  nll_marginal             -log sum_y p(y) p(x | y) of the same family, p(y) the labels' shares of the training images
  nll_unconditional        -log p(x) of the twin
  nll_gain                 nll_unconditional - nll_given_label, over the same images: the sum of
    label_information        nll_marginal - nll_given_label: information in the label
    twin_excess              nll_unconditional - nll_marginal: the twin's additional loss in modeling and inference
  classification_accuracy  share of the images whose label has the largest p(y | x), by Bayes' rule

In expectation the label's information is at most its entropy, log 10 = 2.30 nats for ten equally frequent labels.
Annealing removes the loss in inference: `inference_gain`, importance-sampled minus annealed gain, is that part of it.
"""

import dataclasses
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro

from experiments.lib.label_gain import CLAIMS, label_gain, summary_of, with_differences
from experiments.lib.records import Claim, Record, write_record
from vae_jax.atomic import write_atomically
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.runs import VAE, RunFolder, Settings, device_name, open_run, prepare, run, versions


@dataclasses.dataclass(frozen=True)
class Options:
    data: str = "digits"
    """data set with labels, as for experiments.vae"""
    data_dir: str | None = None
    """folder of TFDS datasets; default: the environment's TFDS_DATA_DIR, else TFDS's own"""
    run_dir: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs/conditional")
    """folder of the runs and of the summary"""
    seeds: tuple[int, ...] = (0,)
    """random seeds; two models are trained for each"""
    epochs: int = 100
    """maximum number of passes over the training images"""
    test_images: int = 5_000
    """number of test images to measure, at least 2; all if there are fewer"""
    nll_samples: int = 500
    """importance samples for each image and label"""
    ais_images: int = 50
    """number of test images to measure also by annealing over 1,000 temperatures: at least 2, or 0"""
    record: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """path of a JSON record to write; default: no record"""


def check(options: Options) -> None:
    """Raises ValueError if an option is out of range; the options of the runs are checked by `prepare`."""
    for name, least in (("test_images", 2), ("nll_samples", 1), ("ais_images", 2)):
        number = getattr(options, name)
        if number < least and (name, number) != ("ais_images", 0):  # one image has no standard error
            or_none = ", or 0" if name == "ais_images" else ""
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}{or_none}, got {number}")
    if not (seeds := options.seeds) or len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds must be one or more different numbers, got {' '.join(map(str, seeds)) or 'none'}")


def train_run(options: Options, seed: int, name: str, condition: Literal["none", "labels"]) -> RunFolder:
    """Begins or continues a run, unless it has finished with the same settings and data; returns its folder."""
    folder = RunFolder(options.run_dir / f"seed{seed}" / name)
    paths: dict[str, Any] = {"data": options.data, "data_dir": options.data_dir, "run_dir": folder.path}
    settings = Settings(epochs=options.epochs, seed=seed, condition=condition, resume=folder.exists(), **paths)
    with exit_on_bad_input():
        prepared = prepare(VAE, settings)
        if prepared.settings.epochs > options.epochs:
            prepared.folder.unlock()
            trained_on = f"{folder.path} has trained {prepared.settings.epochs} epochs already"
            raise ValueError(f"--epochs {options.epochs}: {trained_on}; give at least as many, or another --run-dir")
    if prepared.folder.summary() is None:
        run(prepared)
    prepared.folder.unlock()
    return prepared.folder


def measure(options: Options, seed: int) -> dict[str, Any]:
    """Measures for every test image, and the seconds they took; read from the seed's file if it has the same ones."""
    started = time.monotonic()
    folders = train_run(options, seed, "given_label", "labels"), train_run(options, seed, "unconditional", "none")
    sizes = (options.test_images, options.nll_samples, options.ais_images)
    how = [options.data, folders[0].about()["data_fingerprint"], options.epochs, *sizes]
    path = options.run_dir / f"seed{seed}" / "measured.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    if stored.get("how") == how:
        return stored
    (prepared, family), (_, twin) = (open_run(folder.path, options.data_dir) for folder in folders)
    numbers = label_gain(prepared, family, twin, jax.random.key(seed), *sizes)
    stored = {"how": how, "images": numbers, "seconds": round(time.monotonic() - started, 1)}
    write_atomically(path, json.dumps(stored) + "\n")
    return stored


def make_record(options: Options, seeds: list[dict[str, np.ndarray]], seconds: list[float]) -> Record:
    summary = summary_of(seeds)
    means = lambda name: [float(np.mean(numbers[name])) for numbers in seeds]
    claims = [
        Claim(f"{claim} (standard error over the images {summary[f'{name}_standard_error']:.2f})", "nats", means(name))
        for name, claim in CLAIMS.items()
        if name in summary
    ]
    wrong, error = 100 - 100 * summary["classification_accuracy"], summary["classification_accuracy_standard_error"]
    interval = f"95 % interval {max(wrong - 196 * error, 0):.2f} to {wrong + 196 * error:.2f}"
    shares = [100 * (1 - accuracy) for accuracy in means("classification_accuracy")]
    claims.append(Claim(f"error rate of classification by Bayes' rule ({interval})", "%", shares, at_most=5.0))
    return Record(
        title=f"VAE given the label, on {options.data}",
        protocol=f"one hidden layer of 400, 20 latent dimensions, binarized pixels, at most {options.epochs} epochs, "
        f"best epoch by validation loss; the first {len(seeds[0]['nll_gain']):,} test images, {options.nll_samples:,} "
        f"importance samples for each image and label; {options.ais_images} images annealed, 16 chains over 1,000 "
        "temperatures. Standard errors: over images, of means over seeds; the interval: 1.96 of them.",
        command=shlex.join(["python", "-m", "experiments.conditional", *sys.argv[1:]]),
        claims=claims,
        seeds=options.seeds[: len(seeds)],
        wall_seconds=seconds,
        device=device_name(),
        versions=versions(),
        details={"summary": summary},
    )


def main(options: Options) -> None:
    with exit_on_bad_input():
        check(options)
    done: list[dict[str, Any]] = []
    for seed in options.seeds:
        done.append(measure(options, seed))
        images = [with_differences(stored["images"]) for stored in done]
        write_atomically(options.run_dir / "summary.json", json.dumps(summary_of(images)) + "\n")
        if options.record:
            write_record(options.record, make_record(options, images, [stored["seconds"] for stored in done]))
    print(json.dumps(summary_of(images)))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.conditional"))
