"""Options of the commands, except those of the recipes. Nothing here imports JAX, so that help is quick."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

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
class WithImages(OfRun):
    """Choice of a model and of images."""

    label: int | None = dataclasses.field(default=None, kw_only=True)
    """label for a model of --condition labels (default: the label of each test image)"""
    resize: bool = dataclasses.field(default=False, kw_only=True)
    """resize picture files to the size that the model takes"""
    data_dir: str | None = dataclasses.field(default=None, kw_only=True)
    """folder of TFDS datasets (default: TFDS_DATA_DIR of the environment, else the folder that TFDS uses)"""


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
class Compare:
    """Compare runs: a table of their numbers and of the settings that differ, and their curves in one picture."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN")]
    """folders of two or more runs, finished or not"""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """PNG to write (default: compare.png in the current folder, or the next free name)"""


@dataclasses.dataclass(frozen=True)
class Report:
    """Draw the figures of a finished run again and write its report.html anew, from the numbers in summary.json."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """folder of a finished run"""
    open: bool = False
    """open the report in the browser"""
    data_dir: str | None = None
    """folder of TFDS datasets (default: TFDS_DATA_DIR of the environment, else the folder that TFDS uses)"""


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
class Explore(OfRun):
    """Walk through the latent space of a trained model in the browser.

    The page holds the model and runs it in the browser, without any network request.
    """

    export: Annotated[Path | None, tyro.conf.arg(metavar="PAGE.html")] = None
    """write the page as one file, which works offline, instead of serving it"""
    port: int = 8000
    """port of the loopback address, or the next free one if it is in use"""
    browser: bool = True
    """open the page in the browser"""
    data_dir: str | None = None
    """folder of TFDS datasets (default: TFDS_DATA_DIR of the environment, else the folder that TFDS uses)"""


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Check this machine: devices, versions, data folders, and some seconds of training on the embedded digits."""

    seconds: float = 5.0
    """seconds of training, not counting compilation"""
