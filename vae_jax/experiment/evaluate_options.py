"""Options of `vae-jax evaluate`. Nothing here imports JAX, so that help is quick."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measure a trained run further: how likely its test images are, and what its code carries.

    With `--metrics disentanglement` it scores the code against the known factors of the run's data instead.

    It measures the importance-sampled negative log-likelihood with its effective sample size and Pareto k; active units
    and the KL of each dimension; the parts of the rate (mutual information, total correlation, dimension-wise KL); and
    last, on a few images, bounds by annealed importance sampling, which may be interrupted without loss of the others.

    The numbers are added to RUN/summary.json, and RUN/report.html is written again; of an unfinished run they are only
    printed. The last line on stdout is the summary as JSON. The run's data must be found where they were.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """folder of a run, such as runs/vae-digits-20250131-120000-seed0"""
    nll_samples: int = 5000
    """importance samples per test image for the negative log-likelihood; more take time, not memory; 0: none"""
    surgery_points: int | None = None
    """draws of z over which the parts of the rate are averaged; None: one a test image"""
    ais_images: int | None = None
    """test images, the first so many, for annealed importance sampling, and as many that the model itself draws, for
    the gap between two bounds; slow (some seconds an image); None: 10, but none where z is not of real numbers; 0:
    leave it out"""
    ais_chains: int = 16
    """of annealed importance sampling, an image"""
    ais_temperatures: int = 1000
    """of annealed importance sampling, from its start to the true posterior; more are slower and closer"""
    ais_start: Literal["posterior", "prior"] = "posterior"
    """where the chains of annealed importance sampling start; the prior where the posterior is far too narrow"""
    metrics: Literal["likelihood", "disentanglement"] = "likelihood"
    """likelihood: the parts above; disentanglement: scores against the known factors of the run's data, instead"""
    points: int = 10_000
    """of disentanglement: images or votes that a score is fitted to, and half as many that it is tested on"""
    dci_points: int | None = None
    """the same for DCI alone, whose boosted trees take minutes a model with 10,000; None: as --points"""
    seed: int | None = None
    """of a run of several models (--seeds), the one to measure; None: the one that the report's figures show"""
    data_dir: str | None = None
    """folder of TFDS datasets; None: the environment's TFDS_DATA_DIR, else TFDS's own"""
