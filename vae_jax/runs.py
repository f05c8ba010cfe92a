"""The run folder: `config.json`, `metrics.jsonl`, `checkpoints/`, `figures/`, `report.html`, `summary.json`."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vae_jax.atomic import write_atomically
from vae_jax.json_files import MAX_BYTES, parse_object, read_text

# Of config.json and what lies beside it. It rises when an older version could no longer read a run.
FORMAT = 2
_MOST_PIXELS = 2**26  # of one image: a model is built of its shape before its parameters are seen
_METRICS_BYTES = 2**30  # a row for each epoch of each model


class RunFolder:
    """A folder that belongs to one run. Nothing is written before `create`."""

    def __init__(self, path: Path, argument: str = "--run-dir"):
        self.path = path
        self.argument = argument  # what the user named it by, for messages
        self.checkpoints = path / "checkpoints"
        self.params = path / "params.safetensors"  # in the place of checkpoints, of one model that was exported
        self.figures = path / "figures"
        self.report = path / "report.html"

    def exists(self) -> bool:
        """Whether a run was begun here."""
        return os.path.exists(self._config_path)  # Path's own raises where a folder may not be entered

    def export_format(self) -> str | None:
        """As what a run was exported to here: onnx, stablehlo or safetensors; None where this is no export."""
        manifest = self.path / "manifest.json"
        if os.path.exists(manifest):
            return str(self._read(manifest).get("format"))
        return "safetensors" if os.path.exists(self.params) else None  # from the Hub there comes no manifest

    def check_no_export(self) -> None:
        """Raises ValueError where the folder holds what was exported of a run in the place of the run itself."""
        if format := self.export_format():
            raise ValueError(
                f"{self.argument} must be the folder of a run itself, got {self.path}: it holds one model of a run, "
                f"exported as {format}"
            )

    def check_new(self) -> None:
        """Raises ValueError where the path is taken, for no run is mixed with another, or cannot be written to."""
        if self.exists():
            held, way = ("an export", "") if self.export_format() else ("a run", ", or --resume to continue that run")
            raise ValueError(f"{self.argument} {self.path} already holds {held}: give another folder{way}")
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ValueError(
                f"{self.argument} {self.path} exists and is not an empty folder: give one that the run can make"
            )
        check_writable(self.path, self.argument)

    def config(self) -> dict[str, Any]:
        """The configuration of the run that the folder holds: its experiment and settings.

        Raises:
          ValueError: where it holds none, or one of a version of vae_jax that this one does not read.
        """
        return {name: value for name, value in self._checked().items() if name not in ("format", "image_shape")}

    def image_shape(self) -> tuple[int, ...]:
        """Of what the run's model encodes, (H, W, C).

        Raises:
          ValueError: as `config` does, or where the run is of no such model.
        """
        shape = self._checked().get("image_shape")
        if not (isinstance(shape, list) and shape and all(isinstance(n, int) and n > 0 for n in shape)):
            raise ValueError(
                f"{self.argument} {self.path}: config.json must hold the image_shape of its model, got {shape}"
            )
        if math.prod(shape) > _MOST_PIXELS:
            raise ValueError(
                f"{self.argument} {self.path}: config.json must hold an image_shape of at most {_MOST_PIXELS:,} "
                f"numbers, got {shape}"
            )
        return tuple(shape)

    def _checked(self) -> dict[str, Any]:
        if not self.exists():
            fault = "it has no config.json" if os.path.isdir(self.path) else "there is no such folder"
            raise ValueError(f"{self.argument} must be the folder of a run, got {self.path}: {fault}")
        config = self._read(self._config_path)
        if config.get("format") != FORMAT:
            made = "a newer" if isinstance(config.get("format"), int) and config["format"] > FORMAT else "another"
            raise ValueError(
                f"{self.argument} {self.path} was made by {made} version of vae_jax (format {config.get('format')} of "
                f"the run folder; this one reads {FORMAT}): use the version that made it"
            )
        return config

    def check_same(self, config: Mapping[str, Any]) -> None:
        """Raises ValueError where the folder holds no run, or one of another configuration, naming the fields."""
        self.check_no_export()
        existing, given = self.config(), _as_json(config)
        names = sorted(name for name in existing.keys() | given.keys() if existing.get(name) != given.get(name))
        if names:
            differences = ", ".join(f"{n} (the run: {existing.get(n)!r}, now: {given.get(n)!r})" for n in names)
            raise ValueError(
                f"{self.argument} {self.path} holds a run that keeps the settings it was begun with, but these differ: "
                f"{differences}"
            )

    def create(self, config: Mapping[str, Any], image_shape: Sequence[int] | None = None) -> None:
        """Makes the folder and writes `config.json`.

        Args:
          config: the experiment and its settings, JSON-like.
          image_shape: of what the run's model encodes, so that the model can be built again without the data.

        Raises:
          ValueError: where the path has been taken since `check_new`, by a run that was begun meanwhile.
        """
        self.figures.mkdir(parents=True, exist_ok=True)
        try:
            with self._config_path.open("x") as file:
                file.write(config_text(config, image_shape))
        except FileExistsError:
            self.check_new()

    def remove_unless_trained(self) -> None:
        """Removes the folder of a run that could not begin, so that another can be made in its place."""
        if not (self.has_checkpoint() or self.metrics()):
            shutil.rmtree(self.path)

    def has_checkpoint(self) -> bool:
        return self.checkpoints.is_dir() and any(path.name.isdigit() for path in self.checkpoints.iterdir())

    def metrics(self) -> list[dict[str, float]]:
        """The rows of `metrics.jsonl`; none where there is no such file yet."""
        path = self.path / "metrics.jsonl"
        return (
            [self._parse(path, line) for line in self._text(path, _METRICS_BYTES).splitlines()] if path.exists() else []
        )

    def write_metrics(self, rows: Iterable[Mapping[str, float]]) -> None:
        """Writes `metrics.jsonl` anew: after a resume it must not repeat the epochs since the last checkpoint."""
        write_atomically(self.path / "metrics.jsonl", "".join(json.dumps(dict(row)) + "\n" for row in rows))

    def summary(self) -> dict[str, Any] | None:
        """The numbers of a finished run; None where it has not finished."""
        return self._read(self._summary_path) if self._summary_path.exists() else None

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Replaces the numbers of the run; those that are not finite must be None (see `defined`)."""
        write_atomically(self._summary_path, json.dumps(summary, indent=2, allow_nan=False) + "\n")

    def add_to_summary(self, numbers: Mapping[str, Any]) -> dict[str, Any]:
        """The summary with these numbers, over those of their names, as it now stands on disk and was written there."""
        summary = {**(self.summary() or {}), **defined(numbers)}
        self.write_summary(summary)
        return summary

    @property
    def _config_path(self) -> Path:
        return self.path / "config.json"

    @property
    def _summary_path(self) -> Path:
        return self.path / "summary.json"

    def _read(self, path: Path) -> dict[str, Any]:
        return self._parse(path, self._text(path))

    def _text(self, path: Path, max_bytes: int = MAX_BYTES) -> str:
        try:
            return read_text(path, max_bytes)
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.argument} {self.path}: {path.name} cannot be read ({error})") from None

    def _parse(self, path: Path, text: str) -> dict[str, Any]:
        try:
            return parse_object(text)
        except ValueError as error:
            raise ValueError(f"{self.argument} {self.path}: {path.name} {error}") from None


def config_text(config: Mapping[str, Any], image_shape: Sequence[int] | None = None) -> str:
    """What `config.json` says: its format, and the shape of the images beside the settings."""
    about = {"format": FORMAT} | ({"image_shape": list(image_shape)} if image_shape else {})
    return json.dumps(about | _as_json(config), indent=2) + "\n"


def defined(numbers: Any) -> Any:
    """With None in the place of every number that is not finite, in lists and mappings too: JSON has no word for it."""
    if isinstance(numbers, Mapping):
        return {name: defined(value) for name, value in numbers.items()}
    if isinstance(numbers, list):
        return [defined(value) for value in numbers]
    return None if isinstance(numbers, float) and not math.isfinite(numbers) else numbers


def check_writable(path: Path, argument: str) -> None:
    """Raises ValueError, naming the argument, where no file or folder could be made at the path; its parents may lack.

    What can be written is tried rather than asked for: rights alone say little of root, or of such folders as /proc.
    """
    whole = path.absolute()
    place = next(place for place in (whole, *whole.parents) if os.path.exists(place))
    try:
        if place == whole and not place.is_dir():
            with place.open("r+b"):
                return
        with tempfile.TemporaryFile(dir=place):
            return
    except OSError as error:
        raise ValueError(f"{argument} {path} cannot be written ({place}: {error.strerror}): give another") from None


def _as_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """As it will be read back: tuples are lists, paths are strings."""
    return json.loads(json.dumps(dict(config), default=str))
