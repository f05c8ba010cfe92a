"""Setting of flax's own VAE example, with its published test curve: 784-500-20-500-784 on binary MNIST.

    python -m experiments.flax_example

ReLU, batch 128, Adam 1e-3, 50,000 training images (as many as the binarized MNIST of TFDS has); test negative ELBO with
one z per image after every epoch. The published curve is 119.7 after epoch 1, 103.6 after 10 and about 101.5 after 30,
on Larochelle's static binarization; here the pixels are binarized with stated seeds. Each seed is trained twice: with
the output bias at zero, as in flax, which must agree with the published curve; and with the bias at the mean training
image, as in the other scripts here. Its wall time is in docs/results.md; the record is rewritten after each seed, and
printed at the end.

Source of the setting and of the curve: github.com/google/flax, examples/vae (README).
"""

import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import optax
import tyro

from experiments.lib.records import Claim, Record, write_record
from vae_jax import data, mlp_vae
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.objectives import negative_elbo, with_preprocessing
from vae_jax.runs import device_name, versions
from vae_jax.training import History, fit

PUBLISHED = {1: 119.7, 10: 103.6, 30: 101.5}
TRAINING_IMAGES = 50_000
BITS_SEED = 0
PROTOCOL = (
    "MNIST from TFDS, 50,000 of its training images and the 10,000 test images; static binarization drawn with seed 0 "
    "for training and 1 for test images, not Larochelle's file; ReLU, batch 128, Adam 1e-3; one z per image; "
    "parameters after the named epoch, nothing is selected on the test images."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the experiment."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """random seeds; two models are trained for each"""
    epochs: int = 30
    """passes over the training images"""
    data_dir: str | None = None
    """folder of TFDS datasets; default: the environment's TFDS_DATA_DIR, else TFDS's own"""
    record: Path = Path("docs/results/flax_example.json")
    """path of the JSON record to write"""


def test_curve(
    seed: int, epochs: int, train: np.ndarray, test: np.ndarray, data_mean: np.ndarray | None
) -> list[float]:
    """Test negative ELBO after every epoch."""
    model = mlp_vae((28, 28, 1), latent_dim=20, hidden=(500,), data_mean=data_mean)

    def show(history: History) -> None:
        row = history[-1]
        print(f"seed {seed}, epoch {row['epoch']}: {row['validation/loss']:.2f}", file=sys.stderr)

    # The test images are passed as validation images, for their curve; the best epoch that fit selects is not used.
    progress = fit(
        model,
        with_preprocessing(negative_elbo, data.scale),
        optax.adam(1e-3),
        train,
        test,
        jax.random.key(seed),
        epochs=epochs,
        on_epoch=show,
    )
    return [row["validation/loss"] for row in progress.history]


def claims(curves: Sequence[Sequence[float]], variant: str) -> list[Claim]:
    return [
        Claim(
            f"test negative ELBO after epoch {epoch}, {variant}",
            "nats",
            [values[epoch - 1] for values in curves],
            paper=published,
            at_most=published if epoch in (10, 30) else None,
        )
        for epoch, published in PUBLISHED.items()
        if epoch <= len(curves[0])
    ]


def main(options: Options) -> None:
    with exit_on_bad_input():
        images = data.load_images("mnist", options.data_dir)
        if not options.seeds or options.epochs < 1:
            raise ValueError(
                "--seeds must name at least one seed and --epochs must be at least 1, got "
                f"{len(options.seeds)} seeds and {options.epochs} epochs"
            )
    train = data.static_binarization(images.train[:TRAINING_IMAGES], BITS_SEED)
    test = data.static_binarization(images.test, BITS_SEED + 1)
    biases = {"output bias at zero": None, "output bias at the data mean": train.mean(axis=0) / 255}
    curves: dict[str, list[list[float]]] = {variant: [] for variant in biases}
    seconds = []
    for seed in options.seeds:
        start = time.monotonic()
        for variant, data_mean in biases.items():
            curves[variant].append(test_curve(seed, options.epochs, train, test, data_mean))
        seconds.append(round(time.monotonic() - start, 1))
        record = Record(
            title="Setting of flax's VAE example, 784-500-20-500-784 on MNIST",
            protocol=PROTOCOL,
            command=shlex.join(["python", "-m", "experiments.flax_example", *sys.argv[1:]]),
            claims=[claim for variant in biases for claim in claims(curves[variant], variant)],
            seeds=options.seeds[: len(seconds)],
            wall_seconds=seconds,
            device=device_name(),
            versions=versions(),
            details={"test_negative_elbo": curves},
        )
        write_record(options.record, record)
    print(json.dumps(dataclasses.asdict(record)))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
