"""Functions as ONNX files."""

from __future__ import annotations

from pathlib import Path

import jax

from vae_jax.export.functions import Function
from vae_jax.export.onnx_convert import to_onnx


def write_onnx(functions: tuple[Function, ...], folder: Path) -> list[str]:
    """A file for each function; returns their names."""
    names = []
    for function in functions:
        inputs = {tensor.name: jax.ShapeDtypeStruct(tensor.shape, tensor.dtype) for tensor in function.inputs}
        model = to_onnx(function.call, inputs, function.name)
        names.append(f"{function.name}.onnx")
        (folder / names[-1]).write_bytes(model.SerializeToString())
    return names
