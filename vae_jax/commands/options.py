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
    """where to look, at any depth"""
    json: bool = False
    """a line of JSON for each run in the place of the table"""


@dataclasses.dataclass(frozen=True)
class Show:
    """Say what a run is: its settings, its numbers, its files."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """folder of a run, finished or not"""
    json: bool = False
    """config and summary as one line of JSON"""


@dataclasses.dataclass(frozen=True)
class OfRun:
    """Choice of a model."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """folder of a finished run, such as runs/vae-digits-20250131-120000-seed0"""
    seed: int | None = dataclasses.field(default=None, kw_only=True)
    """of a run of several models, the one to take; None: the one that the report shows"""
    beta: float | None = dataclasses.field(default=None, kw_only=True)
    """of a disentanglement run, the weight of the model to take; None: the first"""


@dataclasses.dataclass(frozen=True)
class WithImages(OfRun):
    """Choice of a model and of images."""

    label: int | None = dataclasses.field(default=None, kw_only=True)
    """for a run with --condition labels, the label that the model is given; None: each test image's own"""
    resize: bool = dataclasses.field(default=False, kw_only=True)
    """bring image files of another size to the model's"""
    data_dir: str | None = dataclasses.field(default=None, kw_only=True)
    """folder of TFDS datasets, for test images; None: the environment's TFDS_DATA_DIR, else TFDS's own"""


@dataclasses.dataclass(frozen=True)
class Sample(OfRun):
    """Draw images from the prior of a trained model, as one picture."""

    count: int = 64
    """images"""
    label: int | None = None
    """for a run with --condition labels, the label of the images; None: all labels in turn"""
    random_seed: int = 0
    """of the draws"""
    output: Output = None
    """PNG to write; None: sample.png here, or the next free name"""


@dataclasses.dataclass(frozen=True)
class Reconstruct(WithImages):
    """Encode images and decode them again: originals above, reconstructions below."""

    images_: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE")]
    """picture files, or numbers of test images"""
    output: Output = None
    """PNG to write; None: reconstruct.png here, or the next free name"""


@dataclasses.dataclass(frozen=True)
class Interpolate(WithImages):
    """Decode along a path between the codes of two images: above a straight line, below a great circle."""

    a: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="A")]
    """picture file, or number of a test image, where the path starts"""
    b: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="B")]
    """the same, where it ends"""
    steps: int = 11
    """images on the path, both ends included"""
    output: Output = None
    """PNG to write; None: interpolate.png here, or the next free name"""


@dataclasses.dataclass(frozen=True)
class Traverse(WithImages):
    """Move one dimension of the code of an image at a time, a row each: the 16 with the most KL.

    The first 16 if there is no KL (an autoencoder) or the run's data is not here.
    """

    image: str = "0"
    """picture file, or number of a test image, whose code the other dimensions keep"""
    span: float = 3.0
    """how far to each side, in standard deviations of the prior"""
    steps: int = 11
    """images a row"""
    output: Output = None
    """PNG to write; None: traverse.png here, or the next free name"""


@dataclasses.dataclass(frozen=True)
class Compare:
    """Compare runs: a table of their numbers and of the settings that differ, and their curves in one picture."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN")]
    """folders of two runs or more; curves are drawn of unfinished ones too"""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """PNG to write; None: compare.png here, or the next free name"""


@dataclasses.dataclass(frozen=True)
class Report:
    """Draw the figures of a finished run again and write its report.html anew, from the numbers in summary.json."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """folder of a finished run"""
    open: bool = False
    """open the report in the browser"""
    data_dir: str | None = None
    """folder of TFDS datasets; None: the environment's TFDS_DATA_DIR, else TFDS's own"""


@dataclasses.dataclass(frozen=True)
class Export(OfRun):
    """Write a trained model as files that other programs load, with any number of images at a time.

    onnx and stablehlo: encoder, decoder and sampler, a file each. safetensors: the parameters, in a folder that
    vae_jax.load opens. manifest.json describes inputs and outputs, MODEL.md the model.
    """

    format: Literal["onnx", "stablehlo", "safetensors"] = "onnx"
    """onnx (ONNX Runtime and others), stablehlo (jax.export), safetensors (parameters alone)"""
    output: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """folder to write, new or of an earlier export; None: RUN/export-FORMAT"""


@dataclasses.dataclass(frozen=True)
class Explore(OfRun):
    """Walk through the latent space of a trained model in the browser.

    The page holds the model and runs it in the browser, without any network request.
    """

    export: Annotated[Path | None, tyro.conf.arg(metavar="PAGE.html")] = None
    """write the page as one file, which works from disk and offline, in the place of serving it"""
    port: int = 8000
    """of this machine's loopback address; where it is in use, the next free one"""
    browser: bool = True
    """open the page in the browser"""
    data_dir: str | None = None
    """folder of TFDS datasets, for the test images; None: the environment's TFDS_DATA_DIR, else TFDS's own"""


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Check this machine: devices, versions, data folders, and five seconds of training on the embedded digits."""

    seconds: float = 5.0
    """of the training check, compilation apart"""
