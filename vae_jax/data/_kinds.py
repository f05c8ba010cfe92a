"""Kind of source that a `--data` argument names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vae_jax.data._factor_sets import RENDERED

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
Kind = Literal["digits", "rendered", "array file", "folder", "table", "tfds"]


def kind_of(data: str | Path, size: Sequence[int] | None = None) -> Kind:
    """Kind of source that `data` names, by the rules of `load_images`.

    Raises:
      TypeError: If data is neither a string nor a path.
      ValueError: If a size is given and data is not a folder.
    """
    if not isinstance(data, (str, os.PathLike)):
        raise TypeError(f"data must be a name or a path, got {type(data).__name__}")
    kind = _kind_of(os.fspath(data), isinstance(data, os.PathLike))
    if size is not None and kind != "folder":
        raise ValueError(
            f"size (--size) resizes the pictures of a folder, but data {os.fspath(data)!r} is not a folder: leave it "
            "out"
        )
    return kind


def image_kind_of(data: str | Path, size: Sequence[int] | None = None) -> Kind:
    """Kind of source of images that `data` names; raises as `kind_of`, and ValueError if it names a table."""
    kind = kind_of(data, size)
    if kind == "table":
        raise ValueError(
            f"data must be images here, got the table {os.fspath(data)!r}: read it with vae_jax.data.load_table"
        )
    return kind


def _kind_of(data: str, is_path: bool) -> Kind:
    if data == "digits" and not is_path:
        return "digits"
    if data in RENDERED and not is_path:
        return "rendered"
    if data.lower().endswith((".npz", ".npy")):
        return "array file"
    if data.lower().endswith(TABLE_SUFFIXES) and not os.path.isdir(data):
        return "table"
    if is_path or data.endswith(("/", os.sep)) or os.path.isdir(data):
        return "folder"
    return "tfds"
