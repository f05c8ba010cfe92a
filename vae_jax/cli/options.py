"""Options of all commands except `evaluate` and the recipes. Nothing here imports JAX, so that help is quick."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from vae_jax.runs.options import Processes, WithData

Output = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]


@dataclasses.dataclass(frozen=True)
class Train:
    """Train a model by a recipe, in a new run folder that the other commands read."""


@dataclasses.dataclass(frozen=True)
class List:
    """List the runs below a folder, the newest last."""

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
    """Model of a run."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """folder of a finished run, such as runs/vae-digits-20250131-120000-seed0"""
    seed: int | None = dataclasses.field(default=None, kw_only=True)
    """seed of the model, if the run has several (default: the seed in the report; with a grid of weights, the first)"""
    weight: float | None = dataclasses.field(default=None, kw_only=True)
    """weight of the model, if the run has a grid of weights (default: the first)"""


@dataclasses.dataclass(frozen=True)
class WithImages(WithData, OfRun):
    """Model of a run, and images."""

    label: int | None = dataclasses.field(default=None, kw_only=True)
    """label of the images, for a model with --condition labels (default: the label of each test image)"""
    resize: bool = dataclasses.field(default=False, kw_only=True)
    """resize picture files to the size that the model takes"""


@dataclasses.dataclass(frozen=True)
class Sample(OfRun):
    """Draw images from the prior of a trained model, as one picture or as single files; or rows of a table."""

    count: int = 64
    """number of images or rows"""
    label: int | None = None
    """label of the images, for a model with --condition labels (default: all labels in turn)"""
    random_seed: int = 0
    """random seed of the samples"""
    output: Output = None
    """PNG to write, for rows a .csv or .parquet file (default: sample.png, sample.csv, or the next free name)"""
    files: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """new folder for single PNG files, such as 0000.png or 0000_label3.png, instead of one picture"""


@dataclasses.dataclass(frozen=True)
class Impute(OfRun):
    """Fill in the missing cells of a table with a model that was trained on a table with the same columns.

    The other cells stay as they are in the file, to the letter. A number is the mean under the model given the cells of
    its row that are known, a category the most probable one; both are averages over importance samples, whose effective
    number is printed. With --draws the file has several rows for each row of the table, each with a draw of its missing
    cells, for multiple imputation; the column `draw` counts them from 1.
    """

    table: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="TABLE")]
    """.csv, .tsv or .parquet file; missing are empty cells and NA, NaN, null and ?"""
    output: Output = None
    """.csv, .tsv or .parquet file to write, of the same type as TABLE (default: imputed.csv, or the next free name)"""
    draws: int = 0
    """number of draws of the missing cells of each row; 0: one table with means and most probable categories"""
    samples: int = 1000
    """number of importance samples for each row"""
    random_seed: int = 0
    """random seed of the samples"""


@dataclasses.dataclass(frozen=True)
class Reconstruct(WithImages):
    """Reconstruct images: a picture with the originals above and their reconstructions below."""

    images_: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE")]
    """picture files, or numbers of test images"""
    output: Output = None
    """PNG to write (default: reconstruct.png in the current folder, or the next free name)"""


@dataclasses.dataclass(frozen=True)
class Interpolate(WithImages):
    """Interpolate between the codes of two images: along a straight line above, along a great circle below."""

    a: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="A")]
    """picture file, or number of a test image, at the start of the paths"""
    b: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="B")]
    """picture file, or number of a test image, at the end of the paths"""
    steps: int = 11
    """number of images on each path, both ends included"""
    output: Output = None
    """PNG to write (default: interpolate.png in the current folder, or the next free name)"""


@dataclasses.dataclass(frozen=True)
class Traverse(WithImages):
    """Vary one dimension of the code of an image in each row: the 16 dimensions with the largest KL.

    If there is no KL (an autoencoder), or the data of the run is missing, the rows are the first 16 dimensions.
    """

    image: str = "0"
    """picture file, or number of a test image, whose code is varied"""
    span: float = 3.0
    """range to each side, in standard deviations of the prior"""
    steps: int = 11
    """number of images in each row"""
    output: Output = None
    """PNG to write (default: traverse.png in the current folder, or the next free name)"""


@dataclasses.dataclass(frozen=True)
class OfExamples(Processes, WithData, OfRun):
    """Model of a run, and a data set whose examples are all used."""

    data: Annotated[
        tyro.conf.Positional[str | None],
        tyro.conf.arg(
            metavar="DATA",
            help="digits, a TFDS image dataset, a .npz or .npy file, a folder or a picture file, with all its splits; "
            "for a model of a table, a table (default: the data of the run)",
        ),
    ] = None
    resize: bool = dataclasses.field(default=False, kw_only=True)
    """resize images to the size that the model takes"""
    batch_size: int = dataclasses.field(default=100, kw_only=True)
    """number of images computed at once; the results do not depend on it beyond rounding"""


@dataclasses.dataclass(frozen=True)
class Encode(OfExamples):
    """Write the latent code of every example of a data set, as embeddings for search, clustering or a classifier.

    Each example has a row: its name (file or row), its label if there is one, mean and standard deviation of q(z | x)
    or the code indices of a quantized model, and the KL divergence to the prior in nats. Each of several
    processes writes its own file.
    """

    output: Output = None
    """.csv, .npz or .parquet file; .npz needs memory for all codes (default: codes.npz, or the next free name)"""


@dataclasses.dataclass(frozen=True)
class Score(OfExamples):
    """Write how well the model explains every example of a data set, as scores that show anomalies.

    Each example has a row: its name (file or row), its label if there is one, ELBO or estimated log p(x), and
    reconstruction error in nats and as a mean squared error. Each of several processes writes its own file.
    """

    output: Output = None
    """.csv, .npz or .parquet file to write (default: scores.csv, or the next free name)"""
    elbo_samples: int = 16
    """number of samples of z for each image, for the ELBO and the reconstruction error in nats"""
    nll_samples: int = 0
    """number of importance samples for each image, for log p(x) and its effective sample size; 0: the ELBO alone"""
    sort: bool = False
    """sort by log p(x) (else by the ELBO, else by the reconstruction error), worst first; needs memory for all rows"""


@dataclasses.dataclass(frozen=True)
class Compare:
    """Compare runs: a table of their numbers and of the settings that differ, and their curves in one picture."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN")]
    """folders of two or more runs, finished or not"""
    output: Output = None
    """PNG to write (default: compare.png in the current folder, or the next free name)"""


@dataclasses.dataclass(frozen=True)
class Report(WithData):
    """Draw the figures of a finished run again and rewrite its report.html, from the numbers in summary.json."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """folder of a finished run"""
    open: bool = False
    """open the report in the browser"""
    color_by: str | None = None
    """for a run on a table: column that colors the codes (default: the first column of categories)"""


@dataclasses.dataclass(frozen=True)
class Export(OfRun):
    """Write a trained model as files for other programs, which can then run it on any number of images.

    onnx and stablehlo write a file for the encoder, the decoder and the sampler; safetensors writes the parameters, in
    a folder that vae_jax.load opens. manifest.json describes inputs and outputs, MODEL.md the model.
    """

    format: Literal["onnx", "stablehlo", "safetensors"] = "onnx"
    """onnx: for ONNX Runtime and others; stablehlo: for jax.export; safetensors: the parameters alone"""
    output: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """folder to write: a new folder, or the folder of an earlier export (default: RUN/export-FORMAT)"""


@dataclasses.dataclass(frozen=True)
class Explore(WithData, OfRun):
    """Explore the latent space of a trained model in the browser.

    The page holds the model and runs it in the browser, without any network request.
    """

    export: Annotated[Path | None, tyro.conf.arg(metavar="PAGE.html")] = None
    """write the page as one file, which works offline, instead of serving it"""
    port: int = 8000
    """port on this machine (127.0.0.1); if it is in use, the next free port is taken"""
    browser: bool = True
    """open the page in the browser"""


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Check this machine: devices, versions, data folders, and a few seconds of training on the embedded digits."""

    seconds: float = 5.0
    """seconds of training, not counting compilation"""
