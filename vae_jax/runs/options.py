"""Options that commands share, and those of `vae-jax evaluate`. Nothing here imports JAX, so that help is quick."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclasses.dataclass(frozen=True)
class WithData:
    """Folder of the data that a run was trained on."""

    data_dir: str | None = dataclasses.field(default=None, kw_only=True)
    """folder of TFDS datasets (default: TFDS_DATA_DIR of the environment, else the folder that TFDS uses)"""


@dataclasses.dataclass(frozen=True)
class Processes:
    """Several processes that share one task."""

    distributed: bool = dataclasses.field(default=False, kw_only=True)
    """join the other processes that Slurm, Kubernetes or a TPU pod started with this one (docs/scale.md)"""
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = dataclasses.field(
        default=None, kw_only=True
    )
    """join other processes that were started by hand: address of process 0, with a port that is free there"""
    num_processes: int | None = dataclasses.field(default=None, kw_only=True)
    """number of processes (requires --coordinator)"""
    process_id: int | None = dataclasses.field(default=None, kw_only=True)
    """index of this process, from 0 (requires --coordinator)"""


@dataclasses.dataclass(frozen=True)
class Evaluate(WithData):
    """Measure a trained run further: the likelihood of its test images, and the information in its latent code.

    It measures active units and the KL of each dimension; the parts of the rate (mutual information, total correlation,
    dimension-wise KL); the negative log-likelihood by importance sampling, with its effective sample size and Pareto k;
    and last, on a few images, bounds by annealed importance sampling, which may be interrupted without losing the other
    numbers. With `--metrics disentanglement` it scores the code against the known factors of the data instead.

    It adds the numbers to RUN/summary.json and writes RUN/report.html again; for an unfinished run it only prints them.
    The last line on stdout is the summary as JSON. The run's data must still be there.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """folder of a run, such as runs/vae-digits-20250131-120000-seed0"""
    nll_samples: int = 5000
    """number of importance samples for each test image; more take longer, but no more memory; 0: no log-likelihood"""
    surgery_points: int | None = None
    """number of samples of z over which the parts of the rate are averaged (default: one for each test image)"""
    ais_images: int | None = None
    """number of test images for annealed importance sampling, each takes seconds (default: 10, for discrete codes 0)"""
    ais_chains: int = 16
    """number of chains of annealed importance sampling for each image"""
    ais_temperatures: int = 1000
    """number of temperatures of annealed importance sampling; more are slower, and make the bounds tighter"""
    ais_start: Literal["posterior", "prior"] = "posterior"
    """distribution that the chains start from; take the prior if the posterior is far too narrow"""
    metrics: Annotated[
        Literal["likelihood", "disentanglement"] | None,
        tyro.conf.arg(
            help="likelihood: all of the above; disentanglement: scores against the known factors of the data instead "
            "(default: likelihood, or disentanglement for a run with a grid of weights)"
        ),
    ] = None
    points: int = 10_000
    """with --metrics disentanglement: number of images (or votes) that each score is fitted to; half as many test it"""
    dci_points: int | None = None
    """like --points, for DCI alone, whose boosted trees take minutes with 10,000 (default: --points)"""
    seed: int | None = None
    """seed of the model to measure, if the run has several (default: the model that the report shows)"""
