"""Rate-distortion curve of the VAE: one model for each beta, with its rate and its distortion.

    python -m experiments.rate_distortion
    python -m experiments.rate_distortion --betas 0.5 1 2 --epochs 20 --runs runs/short --record runs/short/record.json

Every model is a run of experiments.beta_vae in its own folder, RUNS/beta-B-seedS. The same command continues an
interrupted sweep and trains nothing twice. The record and the figure are rewritten after each seed. Expected: the rate
falls and the distortion rises with beta, and their sum, the negative ELBO, is lowest near beta = 1.

Source: Alemi et al. 2018, "Fixing a broken ELBO" (arXiv:1711.00464), section 2 and figure 2.
"""

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from experiments.lib.records import Claim, Record, write_record
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.runs import BETA_VAE, Settings, device_name, prepare, run, versions
from vae_jax.runs.folder import RunFolder
from vae_jax.visualization import rate_distortion, save_figure

TOLERANCE = 0.25  # nats: neighboring models may be out of order by this much


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the sweep."""

    betas: tuple[float, ...] = (0.1, 0.2, 0.5, 0.7, 1.0, 1.4, 2.0, 5.0, 10.0, 30.0, 100.0)
    """weights of the rate in the loss, with one model for each; 1 must be among them"""
    seeds: tuple[int, ...] = (0,)
    """random seeds; each trains a whole sweep"""
    data: str = "digits"
    """data set, as for experiments.vae"""
    data_dir: str | None = None
    """folder of TFDS datasets; default: the environment's TFDS_DATA_DIR, else TFDS's own"""
    latent_dim: int = 20
    """number of latent dimensions"""
    hidden: tuple[int, ...] = (400,)
    """widths of the hidden layers"""
    epochs: int = 100
    """maximum number of passes over the training images"""
    runs: Path = Path("runs/rate_distortion")
    """folder of the models' run folders"""
    record: Path = Path("docs/results/rate_distortion.json")
    """path of the JSON record to write"""
    figure: Path | None = None
    """path of the figure to write; default: rate_distortion.png in --runs"""


def settings_of(options: Options, beta: float, seed: int) -> Settings:
    path = options.runs / f"beta-{beta:g}-seed{seed}"
    return Settings(
        data=options.data,
        data_dir=options.data_dir,
        run_dir=path,
        resume=RunFolder(path).exists(),
        hidden=options.hidden,
        latent_dim=options.latent_dim,
        epochs=options.epochs,
        nll_samples=0,
        seed=seed,
        objective="beta",
        beta=beta,
    )


def train_model(settings: Settings) -> dict[str, Any]:
    """Begins or continues a run, unless it has finished; returns its summary."""
    with exit_on_bad_input():
        prepared = prepare(BETA_VAE, settings)
    return prepared.folder.summary() or run(prepared)


def out_of_order(values: np.ndarray) -> int:
    """Number of neighbors in increasing values that fall by more than the tolerance."""
    return int(np.sum(np.diff(values) < -TOLERANCE))


def make_record(options: Options, sweeps: list[list[dict[str, Any]]]) -> Record:
    """Record of the sweeps that have finished, each in the order of beta."""
    betas = sorted(options.betas)
    rate, distortion = (np.array([[s[name] for s in sweep] for sweep in sweeps]) for name in ("rate", "distortion"))
    total = rate + distortion
    one = betas.index(1.0)
    cost = total[:, one] - total.min(axis=1)
    claims = [
        Claim("beta of the lowest test negative ELBO", "", [betas[i] for i in total.argmin(axis=1)]),
        Claim("test negative ELBO at beta = 1", "nats", total[:, one].tolist()),
        Claim("test negative ELBO at beta = 1 minus that of the best beta", "nats", cost.tolist(), at_most=1.0),
        Claim("neighboring betas whose rates are out of order", "", [out_of_order(-row) for row in rate], at_most=0),
        Claim(
            "neighboring betas whose distortions are out of order",
            "",
            [out_of_order(row) for row in distortion],
            at_most=0,
        ),
    ]
    return Record(
        title="Rate-distortion curve of a VAE on " + options.data,
        protocol=f"{len(betas)} models of one kind, beta {', '.join(f'{b:g}' for b in betas)}; {options.data}, hidden "
        f"{' '.join(map(str, options.hidden))}, latent_dim {options.latent_dim}, at most {options.epochs} epochs, best "
        f"epoch by the validation loss; {sweeps[0][0]['test_images']:,} test images. Out of order: by more than "
        f"{TOLERANCE} nats.",
        command=shlex.join(["python", "-m", "experiments.rate_distortion", *sys.argv[1:]]),
        claims=claims,
        seeds=options.seeds[: len(sweeps)],
        wall_seconds=[round(sum(s["wall_seconds"] for s in sweep), 1) for sweep in sweeps],
        device=device_name(),
        versions=versions(),
        details={"beta": betas, "rate": rate.tolist(), "distortion": distortion.tolist()},
    )


def main(options: Options) -> None:
    with exit_on_bad_input():
        if 1.0 not in options.betas or len(set(options.betas)) < len(options.betas):
            given = " ".join(f"{beta:g}" for beta in options.betas)
            raise ValueError(f"--betas must be different numbers, 1 among them, got {given}")
        if not options.seeds or len(set(options.seeds)) < len(options.seeds):
            given = " ".join(map(str, options.seeds)) or "none"
            raise ValueError(f"--seeds must be one or more different numbers, got {given}")
    sweeps = []
    for seed in options.seeds:
        sweeps.append([train_model(settings_of(options, beta, seed)) for beta in sorted(options.betas)])
        record = make_record(options, sweeps)
        write_record(options.record, record)
        curve = (np.mean(record.details[name], axis=0) for name in ("rate", "distortion"))
        save_figure(
            rate_distortion(record.details["beta"], *curve), options.figure or options.runs / "rate_distortion.png"
        )
    print(json.dumps(dataclasses.asdict(record)))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.rate_distortion"))
