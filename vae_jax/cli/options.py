"""Options of the commands, except `evaluate` and the recipes. Nothing here imports JAX, so that help is quick."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from vae_jax.runs.options import Processes, WithData

Output = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]


@dataclasses.dataclass(frozen=True)
class Train:
    """Train a model by a recipe; it leaves a run folder for the other commands."""


@dataclasses.dataclass(frozen=True)
class List:
    """List the runs below a folder, the latest last."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")] = Path("runs")
    """folder to search, at any depth"""
    json: bool = False
    """print a line of JSON for each run instead of a table"""


@dataclasses.dataclass(frozen=True)
class Show:
    """Show the settings, numbers and files of a run."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """folder of a run, finished or not"""
    json: bool = False
    """print configuration and summary as one line of JSON"""


@dataclasses.dataclass(frozen=True)
class OfRun:
    """Choice of a model."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """folder of a finished run, such as runs/vae-digits-20250131-120000-seed0"""
    seed: int | None = dataclasses.field(default=None, kw_only=True)
    """seed of the model, if the run has several (default: the model in the figures of the report)"""
    weight: float | None = dataclasses.field(default=None, kw_only=True)
    """weight of the model, if the run has a grid of weights (default: the first)"""


@dataclasses.dataclass(frozen=True)
class WithImages(WithData, OfRun):
    """Choice of a model and of images."""

    label: int | None = dataclasses.field(default=None, kw_only=True)
    """label for a model of --condition labels (default: the label of each test image)"""
    resize: bool = dataclasses.field(default=False, kw_only=True)
    """resize picture files to the size that the model takes"""


@dataclasses.dataclass(frozen=True)
class Sample(OfRun):
    """Draw images from the prior of a trained model, as one picture or as a file each."""

    count: int = 64
    """number of images"""
    label: int | None = None
    """label of the images, for a model of --condition labels (default: all labels in turn)"""
    random_seed: int = 0
    """random seed of the samples"""
    output: Output = None
    """PNG to write (default: sample.png in the current folder, or the next free name)"""
    files: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """new folder for the images as PNG files of their own, 0000.png or 0000_label3.png, in place of one picture"""


@dataclasses.dataclass(frozen=True)
class Reconstruct(WithImages):
    """Encode images and decode them again: originals above, reconstructions below."""

    images_: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE")]
    """picture files, or numbers of test images"""
    output: Output = None
    """PNG to write (default: reconstruct.png in the current folder, or the next free name)"""


@dataclasses.dataclass(frozen=True)
class Interpolate(WithImages):
    """Decode paths between the codes of two images: a straight line above, a great circle below."""

    a: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="A")]
    """picture file, or number of a test image, at the start of the paths"""
    b: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="B")]
    """picture file, or number of a test image, at their end"""
    steps: int = 11
    """images on each path, both ends included"""
    output: Output = None
    """PNG to write (default: interpolate.png in the current folder, or the next free name)"""


@dataclasses.dataclass(frozen=True)
class Traverse(WithImages):
    """Vary one dimension of the code of an image at a time, in a row each: the 16 dimensions with the most KL.

    These are the first 16 if there is no KL (an autoencoder) or the data of the run is not here.
    """

    image: str = "0"
    """picture file, or number of a test image, whose code is varied"""
    span: float = 3.0
    """range to each side, in standard deviations of the prior"""
    steps: int = 11
    """images in each row"""
    output: Output = None
    """PNG to write (default: traverse.png in the current folder, or the next free name)"""


@dataclasses.dataclass(frozen=True)
class OfExamples(Processes, WithData, OfRun):
    """Choice of a model and of a data set, of which every example is taken."""

    data: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="DATA")] = None
    """digits, a TFDS image dataset, a .npz or .npy file, a folder or a picture file; all its splits are taken (default:
    the data of the run)"""
    resize: bool = dataclasses.field(default=False, kw_only=True)
    """resize images of another size to that of the model"""
    batch_size: int = dataclasses.field(default=100, kw_only=True)
    """images computed at once; the numbers do not depend on it beyond rounding"""


@dataclasses.dataclass(frozen=True)
class Encode(OfExamples):
    """Write the latent code of every example of a data set: embeddings for search, clustering or a classifier.

    A row for each example: its name (file or row), its label if there is one, mean and standard deviation of q(z | x),
    or the code indices of a quantized model, and the KL divergence to the prior in nats. Several processes write a file
    each.
    """

    output: Output = None
    """.csv, .npz or .parquet file; .npz holds all codes in memory (default: codes.npz, or the next free name)"""


@dataclasses.dataclass(frozen=True)
class Score(OfExamples):
    """Write how well the model explains every example of a data set: scores to find anomalies by.

    A row for each example: its name (file or row), its label if there is one, ELBO or estimated log p(x), and
    reconstruction error, in nats and as a mean squared error. Several processes write a file each.
    """

    output: Output = None
    """.csv, .npz or .parquet file to write (default: scores.csv, or the next free name)"""
    elbo_samples: int = 16
    """samples of z for each image, for the ELBO and the reconstruction error in nats"""
    nll_samples: int = 0
    """importance samples for each image, for log p(x) and its effective sample size; 0: the ELBO alone"""
    sort: bool = False
    """sort by log p(x), else the ELBO, else the reconstruction error, the worst first; holds all rows in memory"""


@dataclasses.dataclass(frozen=True)
class Compare:
    """Compare runs: a table of their numbers and of the settings that differ, and their curves in one picture."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN")]
    """folders of two or more runs, finished or not"""
    output: Output = None
    """PNG to write (default: compare.png in the current folder, or the next free name)"""


@dataclasses.dataclass(frozen=True)
class Report(WithData):
    """Draw the figures of a finished run again and write its report.html anew, from the numbers in summary.json."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """folder of a finished run"""
    open: bool = False
    """open the report in the browser"""


@dataclasses.dataclass(frozen=True)
class Export(OfRun):
    """Write a trained model as files for other programs, which take any number of images at a time.

    onnx and stablehlo give a file each for encoder, decoder and sampler; safetensors gives the parameters, in a folder
    that vae_jax.load opens. manifest.json describes inputs and outputs, MODEL.md the model.
    """

    format: Literal["onnx", "stablehlo", "safetensors"] = "onnx"
    """onnx: for ONNX Runtime and others; stablehlo: for jax.export; safetensors: the parameters alone"""
    output: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """folder to write, new or of an earlier export (default: RUN/export-FORMAT)"""


@dataclasses.dataclass(frozen=True)
class Explore(WithData, OfRun):
    """Walk through the latent space of a trained model in the browser.

    The page holds the model and runs it in the browser, without any network request.
    """

    export: Annotated[Path | None, tyro.conf.arg(metavar="PAGE.html")] = None
    """write the page as one file, which works offline, instead of serving it"""
    port: int = 8000
    """port of the loopback address, or the next free one if it is in use"""
    browser: bool = True
    """open the page in the browser"""


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Check this machine: devices, versions, data folders, and some seconds of training on the embedded digits."""

    seconds: float = 5.0
    """seconds of training, not counting compilation"""
