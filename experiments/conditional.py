"""Nats and errors that labels save: a VAE given the label of each image, beside a twin that is given none.

    python -m experiments.conditional --data mnist --run-dir runs/conditional

For each seed two models with the same networks and budget are trained, `seedS/given_label` (the label, one-hot, enters
encoder and decoder) and `seedS/unconditional`, and measured on the first test images. The same command goes on where it
stopped. log p(x) is importance-sampled, in nats; `annealed_...` is the same by annealing:

  nll_given_label          -log p(x | y), y the image's label
  nll_marginal             -log sum_y p(y) p(x | y) of the same family, p(y) the labels' shares of the training images
  nll_unconditional        -log p(x) of the twin
  nll_gain                 nll_unconditional - nll_given_label, over the same images
  classification_accuracy  how often the label with the largest p(y | x), by Bayes' rule, is the image's

E[log p(x | y) - log p(x)] is I(x; y) <= 2.30 nats for ten labels, plus what the twin models and infers worse.
"""

import dataclasses
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from experiments.lib.label_gain import label_gain
from vae_jax.atomic import write_atomically
from vae_jax.experiment import VAE, Settings, device_name, exit_on_bad_input, open_run, prepare, run, versions
from vae_jax.results import Claim, Record, write_record
from vae_jax.runs import RunFolder


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
    """test images that are measured, or all if there are fewer"""
    nll_samples: int = 500
    """importance samples for each image and label"""
    ais_images: int = 50
    """test images that are annealed too, over 1,000 temperatures; 0: none"""
    record: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """JSON record of the claims to write; None: none"""


def trained(options: Options, seed: int, name: str, condition: str) -> Path:
    """The folder of a finished run: begun, continued, or found finished."""
    folder = RunFolder(options.run_dir / f"seed{seed}" / name)
    if folder.summary() is None:
        where = {"data": options.data, "data_dir": options.data_dir, "run_dir": folder.path, "resume": folder.exists()}
        settings = Settings(epochs=options.epochs, seed=seed, condition=condition, **where)  # type: ignore[arg-type]
        with exit_on_bad_input():
            prepared = prepare(VAE, settings)
        run(prepared)
    return folder.path


def measured(options: Options, seed: int) -> dict[str, Any]:
    """Each number of every test image, and the seconds that it took; kept in a file, and found there again."""
    path = options.run_dir / f"seed{seed}" / "measured.json"
    how = [options.epochs, options.test_images, options.nll_samples, options.ais_images]
    kept = json.loads(path.read_text()) if path.exists() else {}
    if kept.get("how") == how:
        return kept
    started = time.monotonic()
    family = open_run(trained(options, seed, "given_label", "labels"), options.data_dir)
    twin = open_run(trained(options, seed, "unconditional", "none"), options.data_dir)
    numbers = label_gain(family, twin, jax.random.key(seed), *how[1:])
    kept = {"how": how, "images": numbers, "seconds": round(time.monotonic() - started, 1)}
    write_atomically(path, json.dumps(kept) + "\n")
    return kept


def make_record(options: Options, seeds: list[dict[str, list[float]]], seconds: list[float]) -> Record:
    of = lambda name: [float(np.mean(numbers[name])) for numbers in seeds if name in numbers]
    errors = [1 - accuracy for accuracy in of("classification_accuracy")]
    claims = [
        Claim("-log p(x | y)", "nats", of("nll_given_label")),
        Claim("-log sum_y p(y) p(x | y)", "nats", of("nll_marginal")),
        Claim("-log p(x) of a twin that is given no label", "nats", of("nll_unconditional")),
        Claim("gain by the label (the last less the first)", "nats", of("nll_gain")),
        Claim("the same on the annealed images, annealed", "nats", of("annealed_nll_gain")),
        Claim("share of wrong labels by Bayes' rule", "", errors, at_most=0.05),
    ]
    return Record(
        title=f"A VAE given the label, on {options.data}",
        protocol=f"one hidden layer of 400, z of 20, pixels as bits, at most {options.epochs} epochs, the best by "
        f"the validation loss; the first {len(seeds[0]['nll_gain']):,} test images, {options.nll_samples:,} importance "
        f"samples for each image and label; {options.ais_images} images annealed, 16 chains over 1,000 temperatures",
        command=shlex.join(["python", "-m", "experiments.conditional", *sys.argv[1:]]),
        claims=[claim for claim in claims if claim.values],
        seeds=options.seeds[: len(seeds)],
        wall_seconds=seconds,
        device=device_name(),
        versions=versions(),
        details={"summary": summary_of(seeds)},
    )


def summary_of(seeds: list[dict[str, list[float]]]) -> dict[str, float]:
    """Means over seeds and images, each with its standard error over the images."""
    summary = {}
    for name in seeds[0]:
        images = np.mean([numbers[name] for numbers in seeds], axis=0)
        summary[name] = float(images.mean())
        summary[f"{name}_standard_error"] = float(images.std(ddof=1) / len(images) ** 0.5)
    return summary


def main(options: Options) -> None:
    done: list[dict[str, Any]] = []
    for seed in options.seeds:
        done.append(measured(options, seed))
        images = [of_seed["images"] for of_seed in done]
        write_atomically(options.run_dir / "summary.json", json.dumps(summary_of(images)) + "\n")
        if options.record:
            write_record(options.record, make_record(options, images, [of_seed["seconds"] for of_seed in done]))
    print(json.dumps(summary_of([of_seed["images"] for of_seed in done])))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.conditional"))
