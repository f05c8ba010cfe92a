"""Options that commands share, and those of `vae-jax evaluate`. Nothing here imports JAX, so that help is quick."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclasses.dataclass(frozen=True)
class WithData:
    """Place of data that a run names."""

    data_dir: str | None = dataclasses.field(default=None, kw_only=True)
    """folder of TFDS datasets (default: TFDS_DATA_DIR of the environment, else the folder that TFDS uses)"""


@dataclasses.dataclass(frozen=True)
class Processes:
    """Several processes that do one work."""

    distributed: bool = dataclasses.field(default=False, kw_only=True)
    """this is one of several processes that Slurm, Kubernetes or a TPU pod started (docs/scale.md)"""
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = dataclasses.field(
        default=None, kw_only=True
    )
    """this is one of several processes started by hand: address of process 0, with a free port there"""
    num_processes: int | None = dataclasses.field(default=None, kw_only=True)
    """number of processes (requires --coordinator)"""
    process_id: int | None = dataclasses.field(default=None, kw_only=True)
    """number of this process, from 0 (requires --coordinator)"""


@dataclasses.dataclass(frozen=True)
class Evaluate(WithData):
    """Measure a trained run further: the likelihood of its test images, and the information in its latent code.

    Measured are the negative log-likelihood by importance sampling, with its effective sample size and Pareto k; active
    units and the KL of each dimension; the parts of the rate (mutual information, total correlation, dimension-wise
    KL); and last, on a few images, bounds by annealed importance sampling, which may be interrupted: the other numbers
    are kept. With `--metrics disentanglement` the code is scored against the known factors of the data instead.

    The numbers are added to RUN/summary.json, and RUN/report.html is written again; those of an unfinished run are only
    printed. The last line on stdout is the summary as JSON. The data of the run must be where they were.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """folder of a run, such as runs/vae-digits-20250131-120000-seed0"""
    nll_samples: int = 5000
    """importance samples for each test image, for the negative log-likelihood; more take time, not memory; 0: none"""
    surgery_points: int | None = None
    """samples of z over which the parts of the rate are averaged (default: one for each test image)"""
    ais_images: int | None = None
    """test images for annealed importance sampling, seconds for each; 0: none (default: 10, or 0 for discrete codes)"""
    ais_chains: int = 16
    """chains of annealed importance sampling for each image"""
    ais_temperatures: int = 1000
    """temperatures of annealed importance sampling; more are slower, and the bounds are tighter"""
    ais_start: Literal["posterior", "prior"] = "posterior"
    """distribution that the chains start from; take the prior if the posterior is far too narrow"""
    metrics: Literal["likelihood", "disentanglement"] | None = None
    """likelihood: all of the above; disentanglement: scores against the known factors of the data, instead (default:
    likelihood, and for a run with a grid of weights disentanglement)"""
    points: int = 10_000
    """with --metrics disentanglement: images, or votes, to fit each score to; half as many more test it"""
    dci_points: int | None = None
    """like --points, for DCI alone: its boosted trees take minutes with 10,000 (default: --points)"""
    seed: int | None = None
    """seed of the model to measure, if the run has several (default: the model in the figures of the report)"""
