"""A trained model as files that other programs load."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax

from vae_jax.export import _manifest as manifest
from vae_jax.export._functions import Function, Functions, functions_of
from vae_jax.export._onnx_convert import to_onnx
from vae_jax.export._stablehlo import to_stablehlo
from vae_jax.models._model import Model
from vae_jax.params import Params
from vae_jax.params_file import save_params


class Exported(NamedTuple):
    """What there is of a model to be written."""

    functions: Functions  # with the parameters inside
    params: Params


# (what there is, folder) -> the names of the files by what they hold: a function, or "params"
Writer = Callable[[Exported, Path], dict[str, str]]


class Format(NamedTuple):
    """A kind of file."""

    write: Writer
    packages: tuple[str, ...]  # that write it


def function_files(suffix: str, to_bytes: Callable[[Function], bytes]) -> Writer:
    """A writer of one file for each function."""

    def write(exported: Exported, folder: Path) -> dict[str, str]:
        functions = exported.functions.written
        names = {function.name: f"{function.name}.{suffix}" for function in functions}
        for function in functions:
            (folder / names[function.name]).write_bytes(to_bytes(function))
        return names

    return write


def onnx_bytes(function: Function) -> bytes:
    """The file of an ONNX model that takes any number N of examples.

    Args:
      function: of `functions_of`, with the parameters inside.

    Raises:
      ValueError: as `to_onnx` does.
    """
    inputs = {tensor.name: jax.ShapeDtypeStruct(tensor.shape, tensor.dtype) for tensor in function.inputs}
    return to_onnx(function.call, inputs, function.name).SerializeToString()


def write_safetensors(exported: Exported, folder: Path) -> dict[str, str]:
    save_params(folder / "params.safetensors", exported.params, {"producer": manifest.PRODUCER})
    return {"params": "params.safetensors"}


# The formats by the names that `export` takes.
FORMATS = {
    "onnx": Format(function_files("onnx", onnx_bytes), ("vae_jax", "jax", "onnx")),
    "safetensors": Format(write_safetensors, ("vae_jax", "jax")),
    "stablehlo": Format(function_files("stablehlo", to_stablehlo), ("vae_jax", "jax", "jaxlib")),
}


def export(
    model: Model,
    params: Params,
    image_shape: Sequence[int],
    format: str,
    folder: str | Path,
    config: Mapping[str, Any],
    beside: Mapping[str, str] | None = None,
    num_classes: int | None = None,
) -> list[Path]:
    """Writes a model in a format to a folder, with a `manifest.json` that says what is in it.

    onnx and stablehlo: encoder, decoder and sampler, each a file that takes any number N of examples and holds the
    parameters. safetensors: the parameters alone, for `vae_jax.load_params`.

    Args:
      model: the model.
      params: its parameters.
      image_shape: `[H, W, C]` of one example.
      format: a name in `FORMATS`.
      folder: where to; it is made, or the export that it holds replaced, once all files are whole.
      config: of the run, kept in the manifest as JSON.
      beside: texts by file name, written to the folder too.
      num_classes: of the labels of a `Conditional`, which encoder, decoder and sampler take too; None for a VAE.

    Returns:
      The files, the manifest last.

    Raises:
      ValueError: if there is no such format, the folder cannot be made or holds anything but an export, or the model
        cannot be written.
    """
    folder, shape = Path(folder), tuple(image_shape)
    functions = check_can_write(model, params, shape, format, folder, num_classes=num_classes)
    with whole(folder) as partial:
        files = FORMATS[format].write(Exported(functions, params), partial)
        for name, text in (beside or {}).items():
            (partial / name).write_text(text)
            files[name] = name
        record = manifest.manifest_of(format, functions, files, shape, config, FORMATS[format].packages)
        record = manifest.with_checksums(record, partial, files.values())
        (partial / manifest.NAME).write_text(json.dumps(record, indent=2) + "\n")
    return [folder / name for name in (*files.values(), manifest.NAME)]


def check_can_write(
    model: Model,
    params: Params,
    image_shape: Sequence[int],
    format: str,
    folder: str | Path,
    argument: str = "folder",
    num_classes: int | None = None,
) -> Functions:
    """Stops where `export` would before it has begun to write.

    Args:
      model, params, image_shape, format, folder: as `export` takes them.
      argument: what the user named the folder by, for the message.
      num_classes: as `export` takes it.

    Returns:
      The functions that there are to write.

    Raises:
      ValueError: as `export` does.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    check_folder(Path(folder), argument)
    return functions_of(model, params, image_shape, num_classes)


def check_folder(folder: Path, argument: str) -> None:
    """Raises ValueError where the path is taken by anything but an export or an empty folder, or cannot be made."""
    try:
        taken = folder.exists() and not (
            folder.is_dir() and (not any(folder.iterdir()) or manifest.written_here(folder))
        )
        # A folder is made, and removed, as near to its place as can be: the rights alone do not say all (/proc).
        place = next((above for above in folder.absolute().parents if above.exists()), folder)
        with tempfile.TemporaryDirectory(dir=place):
            pass
    except OSError as error:
        raise ValueError(f"{argument} must be a folder that can be made, got {folder}: {error.strerror}") from error
    if taken:
        raise ValueError(
            f"{argument} must be new, empty or an earlier export, got {folder}, which holds something else: give "
            "another"
        )


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A new folder to write to, which takes the folder's place at the end of the block; nothing after an exception."""
    folder = folder.absolute()
    partial, former = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("partial", "former"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial.mkdir()
    try:
        yield partial
        if folder.exists():
            folder.rename(former)
        try:
            partial.rename(folder)
        except OSError:
            former.rename(folder)
            raise
        shutil.rmtree(former, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
