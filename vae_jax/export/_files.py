"""Export of a trained model to a folder of files for other programs."""

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


class ModelContents(NamedTuple):
    """Functions and parameters of a model, for an export format to write."""

    functions: Functions  # they hold the parameters
    params: Params


# (contents of the model, folder) -> {name of a function, or "params": file name}
Writer = Callable[[ModelContents, Path], dict[str, str]]


class Format(NamedTuple):
    """An export format."""

    write: Writer
    packages: tuple[str, ...]  # packages that write it
    of_functions: bool  # whether it holds the functions of the model, and not only its parameters


def function_files(suffix: str, to_bytes: Callable[[Function], bytes]) -> Writer:
    """Writer of one file for each function."""

    def write(contents: ModelContents, folder: Path) -> dict[str, str]:
        functions = contents.functions.written
        names = {function.name: f"{function.name}.{suffix}" for function in functions}
        for function in functions:
            (folder / names[function.name]).write_bytes(to_bytes(function))
        return names

    return write


def onnx_bytes(function: Function) -> bytes:
    """Serialized ONNX model of a function of any number N of examples.

    Args:
      function: A function made by `functions_of`, which holds the parameters.

    Raises:
      ValueError: As `to_onnx`.
    """
    inputs = {tensor.name: jax.ShapeDtypeStruct(tensor.shape, tensor.dtype) for tensor in function.inputs}
    return to_onnx(function.call, inputs, function.name).SerializeToString()


def write_safetensors(contents: ModelContents, folder: Path) -> dict[str, str]:
    """Writes the parameters to `params.safetensors`."""
    save_params(folder / "params.safetensors", contents.params, {"producer": manifest.PRODUCER})
    return {"params": "params.safetensors"}


# Formats by the names that `export` accepts.
FORMATS = {
    "onnx": Format(function_files("onnx", onnx_bytes), ("vae_jax", "jax", "onnx"), True),
    "safetensors": Format(write_safetensors, ("vae_jax", "jax"), False),
    "stablehlo": Format(function_files("stablehlo", to_stablehlo), ("vae_jax", "jax", "jaxlib"), True),
}


def export(
    model: Model,
    params: Params,
    image_shape: Sequence[int],
    format: str,
    folder: str | Path,
    config: Mapping[str, Any],
    extra_files: Mapping[str, str] | None = None,
    num_classes: int | None = None,
) -> list[Path]:
    """Exports a model to a folder, with a `manifest.json` that describes the files.

    onnx and stablehlo: encoder, decoder and sampler, each a file for any number N of examples that holds the
    parameters. safetensors: only the parameters, for `vae_jax.load_params`.

    Args:
      model: The model.
      params: Its parameters.
      image_shape: `[H, W, C]` of one example; () if the examples are not images: only safetensors is then written.
      format: A name in `FORMATS`.
      folder: Target folder; it is created, or an earlier export in it replaced, when all files are complete.
      config: Configuration of the run, stored in the manifest as JSON.
      extra_files: Texts by file name, which are written to the folder too.
      num_classes: Number of labels of a `Conditional`, whose encoder, decoder and sampler take a label too; None for
        a VAE.

    Returns:
      Paths of the files, the manifest last.

    Raises:
      ValueError: If there is no such format, the folder cannot be created or holds anything but an export, or the model
        cannot be exported.
    """
    folder, shape = Path(folder), tuple(image_shape)
    functions = check_can_write(model, params, shape, format, folder, num_classes=num_classes)
    with replaced_folder(folder) as partial:
        files = FORMATS[format].write(ModelContents(functions, params), partial)
        for name, text in (extra_files or {}).items():
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
    """Raises the errors of `export` that can be found before anything is written.

    Args:
      model, params, image_shape, format, folder: As for `export`.
      argument: Name of the argument or flag that gave the folder, for the message.
      num_classes: As for `export`.

    Returns:
      The functions of the model that can be exported.

    Raises:
      ValueError: As `export`.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    check_folder(Path(folder), argument)
    if not image_shape:
        if FORMATS[format].of_functions:
            raise ValueError(f"format must be safetensors for a model whose examples are not images, got {format!r}")
        return Functions((), dict.fromkeys(("encoder", "decoder", "sampler"), "the examples are not images"))
    return functions_of(model, params, image_shape, num_classes)


def check_folder(folder: Path, argument: str) -> None:
    """Raises ValueError if the folder holds anything but an export, or cannot be created."""
    try:
        taken = folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or manifest.is_export(folder)))
        # Permissions alone do not tell (/proc): a temporary folder is created in the nearest existing parent.
        place = next((above for above in folder.absolute().parents if above.exists()), folder)
        with tempfile.TemporaryDirectory(dir=place):
            pass
    except OSError as error:
        raise ValueError(f"{argument} must be a folder that can be created, got {folder}: {error.strerror}") from error
    if taken:
        raise ValueError(
            f"{argument} must be new, empty or an earlier export, got {folder}, which holds other files: give another "
            "folder"
        )


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder, which replaces `folder` at the end of the block, or is removed after an exception."""
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
