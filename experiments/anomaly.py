"""Anomaly detection: digits that were left out of training, found by the scores of `vae-jax score`.

    python -m experiments.anomaly --data mnist --run-dir runs/anomaly --record docs/results/anomaly.json

For each of --left-out, a VAE is trained on all other digits, with several seeds. The test images are then scored as by
`vae-jax score RUN_DIR/LABEL RUN_DIR/test.npz --nll-samples K`. Each score has an area under the ROC curve (AUROC): the
probability that it calls an image of the left-out digit more unusual than one of the other digits. 1 is perfect, 0.5 is
chance, and below 0.5 the left-out digit looks more usual than the digits of the training images. The scores:

  ELBO                   lower is more unusual
  log p(x)               importance-sampled; lower is more unusual
  reconstruction error   -E_q log p(x | z); larger is more unusual
  squared error          of the mean reconstruction; larger is more unusual

The default left-out digits are 9, which resembles others, and 1, whose likelihood is high although it was left out, as
Nalisnick et al. (2019, arXiv:1810.09136) warn. The same command continues where it stopped.
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
from sklearn.metrics import roc_auc_score

from experiments.lib.records import Claim, Record, write_record
from vae_jax.atomic import write_atomically
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.data import Images, every_example, load_images
from vae_jax.evaluation import ScoredExamples
from vae_jax.evaluation._per_example import scored_at
from vae_jax.runs import VAE, RunFolder, Settings, device_name, prepare, run, versions
from vae_jax.runs.each_example import Part, computed, source_of_images
from vae_jax.runs.loading import load_run

BATCH_SIZE, ELBO_SAMPLES = 200, 16
EXCESS = "its mean ELBO minus that of the other test images"
# Score of the CSV file -> its values, larger for more unusual images.
SCORES = {
    "ELBO": lambda scored: -scored.elbo,
    "log p(x)": lambda scored: -scored.importance.log_likelihood,
    "reconstruction error": lambda scored: scored.distortion,
    "squared error": lambda scored: scored.mse,
}


@dataclasses.dataclass(frozen=True)
class Options:
    data: str = "digits"
    """data set with labels, as for experiments.vae"""
    data_dir: str | None = None
    """folder of TFDS datasets; default: the environment's TFDS_DATA_DIR, else TFDS's own"""
    run_dir: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs/anomaly")
    """folder of the runs and of their data"""
    left_out: tuple[int, ...] = (9, 1)
    """labels to leave out of training, one at a time"""
    seeds: int = 3
    """number of models for each label, with the seeds 0, 1, ..."""
    epochs: int = 20
    """maximum number of passes over the training images"""
    nll_samples: int = 100
    """importance samples for each log p(x)"""
    record: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """path of a JSON record to write; default: no record"""


def check(options: Options, images: Images) -> None:
    """Raises ValueError if the labels cannot be left out; the options of the runs are checked by `prepare`."""
    if images.train_labels is None or images.test_labels is None:
        raise ValueError(f"--data must have a label for each image, got {options.data} without labels")
    labels, left_out = sorted({*images.test_labels.tolist()} & {*images.train_labels.tolist()}), options.left_out
    if not left_out or len({*left_out}) < len(left_out) or not {*left_out} < {*labels}:
        given = " ".join(map(str, left_out)) or "none"
        raise ValueError(f"--left-out must be different labels of {' '.join(map(str, labels))}, got {given}")
    if options.nll_samples < 1:
        raise ValueError(f"--nll-samples must be at least 1, got {options.nll_samples}")


def train_without(options: Options, images: Images, label: int) -> tuple[RunFolder, float]:
    """Trains, or continues, models on the images of all other labels; returns their folder, and the seconds it took."""
    kept = {name: getattr(images, name)[getattr(images, f"{name}_labels") != label] for name in ("train", "test")}
    np.savez(data := options.run_dir / f"without_{label}.npz", **kept)
    folder = RunFolder(options.run_dir / str(label))
    fields: dict[str, Any] = {"data": str(data), "run_dir": folder.path, "resume": folder.exists()}
    with exit_on_bad_input():
        prepared = prepare(VAE, Settings(epochs=options.epochs, seeds=options.seeds, **fields))
    summary = folder.summary() or run(prepared)
    folder.unlock()
    return folder, summary["wall_seconds"]


def areas(options: Options, folder: RunFolder, seed: int, label: int) -> dict[str, float]:
    """AUROC of each score on all test images, and the excess of the mean ELBO of the label's images, in nats."""
    images = every_example(options.run_dir / "test.npz")
    count = images.shape[0]
    loaded = load_run(folder.path, seed)
    part = Part(loaded, source_of_images(loaded, images), range(count), min(BATCH_SIZE, count))
    compute = lambda *batch: scored_at(*batch, ELBO_SAMPLES, options.nll_samples)
    batches: list[tuple[dict[str, Any], ScoredExamples]] = list(computed(part, compute, f"scoring, {label}, {seed}"))
    unusual = np.concatenate([about["label"] for about, _ in batches]) == label
    joined = {name: np.concatenate([score(scored) for _, scored in batches]) for name, score in SCORES.items()}
    excess = joined["ELBO"][~unusual].mean() - joined["ELBO"][unusual].mean()
    return {name: float(roc_auc_score(unusual, values)) for name, values in joined.items()} | {EXCESS: float(excess)}


def make_record(options: Options, images: Images, found: dict[int, list[dict[str, float]]], seconds: float) -> Record:
    claims = []
    for label, seeds in found.items():
        claims += [Claim(f"{label} left out: AUROC of {name}", "", [one[name] for one in seeds]) for name in SCORES]
        claims.append(Claim(f"{label} left out: {EXCESS}", "nats", [one[EXCESS] for one in seeds]))
    return Record(
        title=f"Digits left out of training, found by their scores, {options.data}",
        protocol=f"trained on the images of all other labels, one hidden layer of 400, 20 latent dimensions, binarized "
        f"pixels, at most {options.epochs} epochs, best epoch by the validation loss of images of the same labels; all "
        f"{len(images.test):,} test images, {ELBO_SAMPLES} draws of z for ELBO and reconstruction error, "
        f"{options.nll_samples} importance samples for log p(x). The spread is over seeds, not over images.",
        command=shlex.join(["python", "-m", "experiments.anomaly", *sys.argv[1:]]),
        claims=claims,
        seeds=list(range(options.seeds)),
        wall_seconds=[round(seconds, 1)],
        device=device_name(),
        versions=versions(),
    )


def main(options: Options) -> None:
    with exit_on_bad_input():
        images = load_images(options.data, options.data_dir)
        check(options, images)
    options.run_dir.mkdir(parents=True, exist_ok=True)
    np.savez(options.run_dir / "test.npz", images=images.test, labels=np.asarray(images.test_labels))
    found: dict[int, list[dict[str, float]]] = {}
    seconds = 0.0
    for label in options.left_out:
        (folder, training), started = train_without(options, images, label), time.monotonic()
        found[label] = [areas(options, folder, seed, label) for seed in range(options.seeds)]
        seconds += training + time.monotonic() - started
        if options.record:
            write_record(options.record, make_record(options, images, found, seconds))
    write_atomically(options.run_dir / "summary.json", json.dumps(found) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.anomaly"))
