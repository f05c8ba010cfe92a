"""Nats and errors that labels save: a VAE given the label of each image, beside a twin that is given none.

    python -m experiments.conditional --data mnist --run-dir runs/conditional

For each seed two models with the same networks and budget are trained, `seedS/given_label` (the label, one-hot, enters
encoder and decoder) and `seedS/unconditional`, and measured on the first test images. The same command goes on where it
stopped, and a finished run with other `--epochs` trains on or is refused, as by `vae-jax train --resume`. log p(x) is
importance-sampled, in nats; `annealed_...` is the same by annealing:

  nll_given_label          -log p(x | y), y the image's label
  nll_marginal             -log sum_y p(y) p(x | y) of the same family, p(y) the labels' shares of the training images
  nll_unconditional        -log p(x) of the twin
  nll_gain                 nll_unconditional - nll_given_label, over the same images: the sum of
    label_information        nll_marginal - nll_given_label, what the label tells
    twin_excess              nll_unconditional - nll_marginal, what the twin loses in modeling and in inference
  classification_accuracy  how often the label with the largest p(y | x), by Bayes' rule, is the image's

In expectation the label tells at most its entropy: log 10 = 2.30 nats for ten labels alike. Annealing takes the loss in
inference away: `inference_gain`, the sampled gain less the annealed one on the same images, is that part of the excess.
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
    """as for experiments.vae; its images must have labels"""
    data_dir: str | None = None
    """folder of TFDS datasets; None: the environment's TFDS_DATA_DIR, else TFDS's own"""
    run_dir: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs/conditional")
    """folder of the runs and of the summary"""
    seeds: tuple[int, ...] = (0,)
    """each trains the two models"""
    epochs: int = 100
    """passes over the training images, at most"""
    test_images: int = 5_000
    """test images that are measured, at least 2, or all if there are fewer"""
    nll_samples: int = 500
    """importance samples for each image and label"""
    ais_images: int = 50
    """test images that are annealed too, at least 2, over 1,000 temperatures; 0: none"""
    record: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """JSON record of the claims to write; None: none"""


def check(options: Options) -> None:
    """Raises ValueError if an option is out of range; those of the runs are checked by `prepare`."""
    for name, least in (("test_images", 2), ("nll_samples", 1), ("ais_images", 2)):
        number = getattr(options, name)
        if number < least and (name, number) != ("ais_images", 0):  # one image has no standard error
            or_none = ", or 0" if name == "ais_images" else ""
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}{or_none}, got {number}")
    if not options.seeds or len(set(options.seeds)) < len(options.seeds):
        raise ValueError(f"--seeds must be one or more different numbers, got {options.seeds}")


def train_run(options: Options, seed: int, name: str, condition: Literal["none", "labels"]) -> RunFolder:
    """The folder of a run that is begun, continued, or found finished with the same settings and data."""
    folder = RunFolder(options.run_dir / f"seed{seed}" / name)
    where: dict[str, Any] = {"data": options.data, "data_dir": options.data_dir, "run_dir": folder.path}
    settings = Settings(epochs=options.epochs, seed=seed, condition=condition, resume=folder.exists(), **where)
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


def measured(options: Options, seed: int) -> dict[str, Any]:
    """Each number of every test image, and the seconds that it took; kept in a file, and found there again."""
    started = time.monotonic()
    folders = train_run(options, seed, "given_label", "labels"), train_run(options, seed, "unconditional", "none")
    sizes = (options.test_images, options.nll_samples, options.ais_images)
    how = [options.data, folders[0].about()["data_fingerprint"], options.epochs, *sizes]
    path = options.run_dir / f"seed{seed}" / "measured.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    if kept.get("how") == how:
        return kept
    (prepared, family), (_, twin) = (open_run(folder.path, options.data_dir) for folder in folders)
    numbers = label_gain(prepared, family, twin, jax.random.key(seed), *sizes)
    kept = {"how": how, "images": numbers, "seconds": round(time.monotonic() - started, 1)}
    write_atomically(path, json.dumps(kept) + "\n")
    return kept


def make_record(options: Options, seeds: list[dict[str, np.ndarray]], seconds: list[float]) -> Record:
    summary = summary_of(seeds)
    of = lambda name: [float(np.mean(numbers[name])) for numbers in seeds]
    claims = [
        Claim(f"{words} (standard error over the images {summary[f'{name}_standard_error']:.2f})", "nats", of(name))
        for name, words in CLAIMS.items()
        if name in summary
    ]
    wrong, error = 100 - 100 * summary["classification_accuracy"], summary["classification_accuracy_standard_error"]
    interval = f"95 % interval {max(wrong - 196 * error, 0):.2f} to {wrong + 196 * error:.2f}"
    shares = [100 * (1 - accuracy) for accuracy in of("classification_accuracy")]
    claims.append(Claim(f"wrong labels by Bayes' rule ({interval})", "%", shares, at_most=5.0))
    return Record(
        title=f"A VAE given the label, on {options.data}",
        protocol=f"one hidden layer of 400, z of 20, pixels as bits, at most {options.epochs} epochs, the best by "
        f"the validation loss; the first {len(seeds[0]['nll_gain']):,} test images, {options.nll_samples:,} importance "
        f"samples for each image and label; {options.ais_images} images annealed, 16 chains over 1,000 temperatures. "
        "Standard errors are over the images, of each image's mean over the seeds; the interval is 1.96 of them",
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
        done.append(measured(options, seed))
        images = [with_differences(of_seed["images"]) for of_seed in done]
        write_atomically(options.run_dir / "summary.json", json.dumps(summary_of(images)) + "\n")
        if options.record:
            write_record(options.record, make_record(options, images, [of_seed["seconds"] for of_seed in done]))
    print(json.dumps(summary_of(images)))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.conditional"))
