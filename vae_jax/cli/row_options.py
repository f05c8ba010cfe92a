"""Options of the commands that write a row for each example. Nothing here imports JAX, so that help is quick."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from vae_jax.cli.options import OfRun

Rows = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]


@dataclasses.dataclass(frozen=True)
class OfExamples(OfRun):
    """Choice of a model and of a data set, of which every example is taken."""

    data: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="DATA")] = None
    """digits, a TFDS image dataset, a .npz or .npy file, a folder or a picture file; all its splits are taken (default:
    the data of the run)"""
    resize: bool = dataclasses.field(default=False, kw_only=True)
    """resize images of another size to that of the model"""
    batch_size: int = dataclasses.field(default=100, kw_only=True)
    """images computed at once; the numbers do not depend on it beyond rounding"""
    data_dir: str | None = dataclasses.field(default=None, kw_only=True)
    """folder of TFDS datasets (default: TFDS_DATA_DIR of the environment, else the folder that TFDS uses)"""
    distributed: bool = dataclasses.field(default=False, kw_only=True)
    """this is one of several processes that Slurm, Kubernetes or a TPU pod started; each writes its part to a file"""
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = dataclasses.field(
        default=None, kw_only=True
    )
    """this is one of several processes started by hand: address of process 0, with a free port there"""
    num_processes: int | None = dataclasses.field(default=None, kw_only=True)
    """number of processes (requires --coordinator)"""
    process_id: int | None = dataclasses.field(default=None, kw_only=True)
    """number of this process, from 0 (requires --coordinator)"""


@dataclasses.dataclass(frozen=True)
class Encode(OfExamples):
    """Write the latent code of every example of a data set: embeddings for search, clustering or a classifier.

    A row for each example: its name (file or row), its label if there is one, mean and standard deviation of q(z | x),
    or the code indices of a quantized model, and the KL divergence to the prior in nats.
    """

    output: Rows = None
    """.csv, .npz or .parquet file; .npz holds all codes in memory (default: codes.npz, or the next free name)"""


@dataclasses.dataclass(frozen=True)
class Score(OfExamples):
    """Write how well the model explains every example of a data set: scores to find anomalies by.

    A row for each example: its name (file or row), its label if there is one, ELBO or estimated log p(x), and
    reconstruction error, in nats and as a mean squared error.
    """

    output: Rows = None
    """.csv, .npz or .parquet file to write (default: scores.csv, or the next free name)"""
    elbo_samples: int = 16
    """samples of z for each image, for the ELBO and the reconstruction error in nats"""
    nll_samples: int = 0
    """importance samples for each image, for log p(x) and its effective sample size; 0: the ELBO alone"""
    sort: bool = False
    """sort by log p(x), else the ELBO, else the reconstruction error, the worst first; holds all rows in memory"""
