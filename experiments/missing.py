"""Missing values: imputation of a table by the missing-data IWAE, and of the pixels of MNIST for a classifier.

    python -m experiments.missing table --record docs/results/missing_table.json
    python -m experiments.missing mnist --record docs/results/missing_mnist.json

`table`: scikit-learn's breast-cancer table (569 rows, 30 columns), standardized, with half of its cells missing at
random, other ones for each seed. The model of Mattei & Frellsen 2019 (arXiv:1812.02633) has a Student-t likelihood; a
tenth of the given cells is held out to choose the number of epochs, then all given cells train that long. The same
masks are given to scikit-learn's IterativeImputer (Bayesian ridge regression), KNNImputer and column means. Errors are
mean squared errors over the missing cells, which nothing else reads, in percent of the variance 1 of a column.

`mnist`: half of the pixels are missing, in training too. As in the paper, a classifier of complete images is compared
with one that is trained and tested on imputed images. The classifier of complete images is also tested on images whose
missing pixels are 0, imputed means, or several draws (the mean of its probabilities over the draws).

The record is written after each seed.
"""

import dataclasses
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from experiments.lib import missing_pixels, missing_table
from experiments.lib.records import Claim, Record, write_record
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.runs import device_name, versions
from vae_jax.runs.progress import say

RECALLED = "the paper's number is recalled, not read again"


@dataclasses.dataclass(frozen=True)
class Table:
    """Imputation of the breast-cancer table."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """random seeds: masks and models"""
    epochs: int = 1000
    """largest number of passes over the rows"""
    samples: int = 20
    """importance samples of the bound"""
    record: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """path of a JSON record to write; default: no record"""


@dataclasses.dataclass(frozen=True)
class Mnist:
    """Classification of imputed digits."""

    seeds: tuple[int, ...] = (0,)
    """random seeds of the models and of the classifiers; the masks are the same"""
    epochs: int = 25
    """passes over the training images"""
    data: str = "mnist"
    """images with labels, as for experiments.vae"""
    data_dir: str | None = None
    """folder of TFDS datasets; default: the environment's TFDS_DATA_DIR, else TFDS's own"""
    samples: int = 5
    """importance samples of the bound"""
    draws: int = 20
    """number of imputations of each test image"""
    record: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """path of a JSON record to write; default: no record"""


def impute_table(options: Table, seed: int) -> dict[str, Any]:
    sizes = missing_table.Training(epochs=options.epochs, samples=options.samples)
    table = missing_table.breast_cancer(seed, sizes.held_out)
    filled, errors = missing_table.trained(table, seed, sizes, lambda row: say(f"seed {seed}: {json.dumps(row)}"))
    return {"iwae": table.error(filled, ~table.given), "held_out": errors, **missing_table.by_scikit_learn(table, seed)}


def table_claims(done: list[dict[str, Any]]) -> list[Claim]:
    values = lambda name: [100 * seed[name] for seed in done]
    unit, difference = "% of the variance", np.subtract(values("iwae"), values("ridge"))
    error = float(difference.std(ddof=1) / len(done) ** 0.5) if len(done) > 1 else 0.0
    paired = f"IWAE less ridge, same masks (standard error {error:.2f}; at most -2 of them)"
    return [
        Claim(f"missing-data IWAE ({RECALLED})", unit, values("iwae"), paper=28.0, at_most=31.0),
        Claim("iterative ridge regression (scikit-learn)", unit, values("ridge")),
        Claim("five nearest neighbors (scikit-learn)", unit, values("neighbors")),
        Claim("column means", unit, values("mean")),
        Claim(paired, unit, difference.tolist(), at_most=-2 * error),
    ]


def classify(options: Mnist, seed: int) -> dict[str, Any]:
    sizes = missing_pixels.Training(epochs=options.epochs, samples=options.samples, draws=options.draws)
    return missing_pixels.accuracies(options.data, options.data_dir, seed, sizes, say)


def mnist_claims(done: list[dict[str, Any]]) -> list[Claim]:
    values = lambda name: [100 * seed[name] for seed in done]
    claims = [
        Claim(f"accuracy, {text} ({RECALLED})" if paper else f"accuracy, {text}", "%", values(name), paper=paper)
        for name, text, paper in (
            ("complete", "complete images", 98.66),
            ("retrained", "imputed images, classifier of imputed images", 98.47),
            ("imputed", "imputed images, classifier of complete images", None),
            ("draws", "several imputations of each image, classifier of complete images", None),
            ("zeros", "missing pixels 0, classifier of complete images", None),
        )
    ]
    gap = lambda name: np.subtract(values("complete"), values(name)).tolist()
    claims.append(Claim("complete less imputed, classifier of imputed images", "%", gap("retrained"), at_most=0.5))
    claims.append(Claim("complete less imputed, classifier of complete images", "%", gap("imputed")))
    return [*claims, Claim("mean squared error of the imputed pixels, x 100", "", values("squared_error"))]


def make_record(options: Table | Mnist, done: list[dict[str, Any]]) -> Record:
    if isinstance(options, Table):
        title, claims, protocol = "Imputation of a table: breast cancer", table_claims(done), missing_table.PROTOCOL
    else:
        title, claims, protocol = f"Imputed pixels: {options.data}", mnist_claims(done), missing_pixels.PROTOCOL
    return Record(
        title=title,
        protocol=f"{protocol} At most {options.epochs} epochs, {options.samples} importance samples of the bound.",
        command=shlex.join(["python", "-m", "experiments.missing", *sys.argv[1:]]),
        claims=claims,
        seeds=options.seeds[: len(done)],
        wall_seconds=[seed["seconds"] for seed in done],
        device=device_name(),
        versions=versions(),
        details={"seeds": done},
    )


def main(options: Table | Mnist) -> None:
    done: list[dict[str, Any]] = []
    for seed in options.seeds:
        started = time.monotonic()
        with exit_on_bad_input():
            numbers = impute_table(options, seed) if isinstance(options, Table) else classify(options, seed)
        done.append(numbers | {"seconds": round(time.monotonic() - started, 1)})
        if options.record:
            write_record(options.record, make_record(options, done))
    print(json.dumps([{name: value for name, value in seed.items() if name != "held_out"} for seed in done]))


if __name__ == "__main__":
    Choice = Annotated[Table, tyro.conf.subcommand("table")] | Annotated[Mnist, tyro.conf.subcommand("mnist")]
    main(tyro.cli(Choice, description=__doc__, prog="python -m experiments.missing"))
