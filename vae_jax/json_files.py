"""Reading of JSON from files of unknown origin, with bounded size and depth."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vae_jax.text import printable

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 64  # nested lists and objects, so that recursive functions stay far from the recursion limit


def read_text(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> str:
    """Reads a text file in UTF-8.

    Args:
      path: Path of the file.
      max_bytes: Largest accepted size.

    Raises:
      OSError: If the file cannot be read.
      ValueError: If it is not a regular file (reading a pipe would block), is too large, or is not UTF-8.
    """
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("it must be a regular file")
    with Path(path).open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"it must be at most {max_bytes:,} bytes, got {max(about.st_size, len(content)):,}")
    return content.decode("utf-8")


def parse_object(text: str) -> dict[str, Any]:
    """Parses a JSON object.

    Raises:
      ValueError: If the text is not valid JSON, is nested too deeply, or is not an object.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON ({error})") from None
    except RecursionError:
        raise ValueError(f"must be nested at most {MAX_DEPTH} deep") from None
    if not isinstance(value, dict):
        raise ValueError(f"must hold a JSON object, got {printable(text.strip()[:40])}")
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [part for item in level for part in _parts(item)]
        if not level:
            return value
    raise ValueError(f"must be nested at most {MAX_DEPTH} deep")


def _parts(value: Any) -> list[Any]:
    """Lists and objects directly inside a list or an object."""
    parts = value.values() if isinstance(value, dict) else value
    return [part for part in parts if isinstance(part, (dict, list))]


def defined(numbers: Any) -> Any:
    """Replaces every number that is not finite by None, in lists and mappings too: JSON cannot represent it."""
    if isinstance(numbers, Mapping):
        return {name: defined(value) for name, value in numbers.items()}
    if isinstance(numbers, list):
        return [defined(value) for value in numbers]
    return None if isinstance(numbers, float) and not math.isfinite(numbers) else numbers
