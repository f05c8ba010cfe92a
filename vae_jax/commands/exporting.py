"""`vae-jax export`: a trained model as files that other programs load."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro

from vae_jax.commands.of_run import OfRun
from vae_jax.experiment.progress import working
from vae_jax.experiment.share import export_run
from vae_jax.export import check_can_write


@dataclasses.dataclass(frozen=True)
class Export(OfRun):
    """Write a trained model as files that other programs load, with any number of images at a time.

    onnx and stablehlo: encoder, decoder and sampler, a file each. safetensors: the parameters, in a folder that
    vae_jax.load opens. manifest.json says what goes in and comes out; MODEL.md what the model is.
    """

    format: Literal["onnx", "stablehlo", "safetensors"] = "onnx"
    """onnx (ONNX Runtime and others), stablehlo (jax.export), safetensors (parameters alone)"""
    output: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """folder to write, new or of an earlier export; None: RUN/export-FORMAT"""


def prepare_export(options: Export) -> Callable[[], None]:
    loaded = options.load()
    folder = options.output or options.run / f"export-{options.format}"
    check_can_write(loaded.model, loaded.params, loaded.image_shape, options.format, folder, "--output")

    def work() -> None:
        with working(f"writing {options.format} to {folder}"):
            paths = export_run(loaded, options.format, folder)
        for path in paths:
            print(path)

    return work
