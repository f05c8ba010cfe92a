"""The run folder: `config.json`, `metrics.jsonl`, `checkpoints/`, `figures/`, `report.html`, `summary.json`."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_jax.atomic import check_writable, is_left_over
from vae_jax.checksums import NAME as CHECKSUMS
from vae_jax.checksums import (
    Damaged,
    begin_record,
    check_content,
    check_listed,
    recorded,
    remove_recorded,
    write_recorded,
)
from vae_jax.differences import as_json, differing
from vae_jax.json_files import MAX_BYTES, parse_object, read_text
from vae_jax.json_files import defined as defined
from vae_jax.locks import exclusive_lock

if TYPE_CHECKING:
    from filelock import FileLock

# Format of a run folder. It is increased when older versions can no longer read a new run.
FORMAT = 5
# Formats that can be read: 2 had no checksums, so its content is not verified; 3 and 4 had fewer settings.
READABLE = (2, 3, 4, FORMAT)
Upgrade = Callable[[Mapping[str, Any]], Mapping[str, Any]]  # configuration of an earlier version -> of this version
# Fields of config.json beside the settings.
_ABOUT = ("format", "image_shape", "num_classes", "table", "data_fingerprint", "versions", "device")
_LOCK = ".lock"
_MOST_PIXELS = 2**26  # of one image: a model is built for its shape before its parameters are checked
_METRICS_BYTES = 2**30  # a row for each epoch of each model


class RunFolder:
    """A folder that belongs to one run. Nothing is written before `create`."""

    def __init__(self, path: Path, argument: str = "--run-dir"):
        self.path = path
        self.argument = argument  # argument or flag that gave the folder, for messages
        self.checkpoints = path / "checkpoints"
        self.params = path / "params.safetensors"  # instead of checkpoints, in an export of one model
        self.figures = path / "figures"
        self.report = path / "report.html"
        self.made_here = False  # whether this process made the folder
        self._config_path, self._summary_path = path / "config.json", path / "summary.json"
        self._lock: FileLock | None = None

    def __str__(self) -> str:
        return f"{self.argument} {self.path}"

    def exists(self) -> bool:
        """Returns whether a run was begun here; an empty config.json, left by a full disk, does not count."""
        return os.path.exists(self._config_path) and os.path.getsize(self._config_path) > 0  # Path.exists may raise

    def export_format(self) -> str | None:
        """Export format (onnx, stablehlo or safetensors), or None if the folder is not an export."""
        manifest = self.path / "manifest.json"
        if os.path.exists(manifest):
            return str(self._read(manifest).get("format"))
        return "safetensors" if os.path.exists(self.params) else None  # a download from the Hub has no manifest

    def check_no_export(self) -> None:
        """Raises ValueError if the folder holds an export of a run instead of the run itself."""
        if format := self.export_format():
            raise ValueError(
                f"{self.argument} must be the folder of a run itself, got {self.path}, which holds one model of a run, "
                f"exported as {format}"
            )

    def check_new(self) -> None:
        """Raises ValueError if the path is in use, because runs are not mixed, or cannot be written to."""
        if self.exists():
            held, way = ("an export", "") if self.export_format() else ("a run", ", or --resume to continue that run")
            raise ValueError(f"{self} already holds {held}: give another folder{way}")
        if self.path.exists() and not (self.path.is_dir() and self._holds_nothing_yet()):
            raise ValueError(f"{self} exists and is not an empty folder: give a new folder")
        place = self.path.absolute().as_posix()
        # Orbax reads a backslash as a separator, and :/ as the address of a remote store.
        if sign := next((sign for sign in ("\\", ":/") if sign in place), None):
            raise ValueError(f"{self.argument} must be a path without {sign}, got {place}: give another folder")
        if any("\ud800" <= character <= "\udfff" for character in place):  # tensorstore cannot open such a path
            raise ValueError(f"{self.argument} must be a path in UTF-8, got {place}: give another folder")
        check_writable(self.path, self.argument)

    def _holds_nothing_yet(self) -> bool:
        """Returns whether the folder is empty, except for the files of a run that was killed before it began."""
        begun = {self._config_path, self.figures, self.path / CHECKSUMS, self.path / _LOCK}
        return all(path in begun or is_left_over(path) for path in self.path.iterdir()) and not (
            self.figures.is_dir() and any(self.figures.iterdir())
        )

    def lock(self) -> None:
        """Keeps other processes from writing to the folder until `unlock`, or until this process ends.

        Raises:
          ValueError: another process has the lock.
          OSError: the folder cannot be written to.
        """
        if self._lock is not None:
            return
        if not self.path.is_dir():  # the lock would make it
            raise ValueError(f"{self.argument} must be the folder of a run, got {self.path}: there is no such folder")
        self.check_no_export()
        self._lock = exclusive_lock(self.path / _LOCK, str(self))

    def unlock(self) -> None:
        """Lets other processes write again."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def config(self) -> dict[str, Any]:
        """Configuration of the run in the folder: its recipe and settings.

        Raises:
          Damaged: config.json is damaged.
          ValueError: the folder holds no run, or a run of a version of vae_jax that this version cannot read.
        """
        return {name: value for name, value in self._checked().items() if name not in _ABOUT}

    def about(self) -> dict[str, Any]:
        """The run's image_shape, num_classes, data_fingerprint, versions and device, if config.json has them.

        Raises:
          ValueError: as `config`.
        """
        return {name: value for name, value in self._checked().items() if name in _ABOUT[1:]}

    def is_earlier(self) -> bool:
        """Returns whether an earlier version began the run, which had fewer settings."""
        return self._checked()["format"] != FORMAT

    def image_shape(self) -> tuple[int, ...]:
        """Shape (H, W, C) of the images that the run's model encodes.

        Raises:
          ValueError: as `config`, or config.json has no such shape.
        """
        shape = self._checked().get("image_shape")
        sizes = shape if isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape) else []
        if len(sizes) != 3 or sizes[-1] not in (1, 3) or math.prod(sizes) > _MOST_PIXELS:
            wanted = f"config.json must hold the image_shape [H, W, 1 or 3], at most {_MOST_PIXELS:,} numbers in all"
            raise ValueError(f"{self}: {wanted}, got {json.dumps(shape)}")
        return tuple(sizes)

    def check_data(self, fingerprint: str, data: str) -> None:
        """Raises ValueError if the run was made with other data; a run without a fingerprint is trusted.

        Args:
          fingerprint: fingerprint of the present data.
          data: name of the data, for the message.
        """
        expected = self.about().get("data_fingerprint")
        if expected not in (None, fingerprint):
            raise ValueError(
                f"{self} was made with other data: --data {data} has changed since (fingerprint "
                f"{expected} then, {fingerprint} now); give it the data that it was made with, or begin a new run"
            )

    def _checked(self) -> dict[str, Any]:
        if not os.path.exists(self._config_path):
            if self.has_checkpoint() or self.has_been_trained():
                raise self._damaged("config.json is missing")
            if os.path.exists(self.path / CHECKSUMS):
                raise Damaged(f"{self}: config.json is missing, and nothing is trained yet: begin without --resume")
            if self._lock is not None:  # it was there when this process locked the folder
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._config_path))
            fault = "it has no config.json" if os.path.isdir(self.path) else "there is no such folder"
            raise ValueError(f"{self.argument} must be the folder of a run, got {self.path}: {fault}")
        config = self._read(self._config_path)
        if (number := config.get("format")) not in READABLE:
            made = "a newer" if isinstance(number, int) and number > FORMAT else "another"
            fault = f"was made by {made} version of vae_jax (its folder has format {json.dumps(number)}, not {FORMAT})"
            raise ValueError(f"{self} {fault}: use the version that made it")
        if config["format"] > 2 and not self._has_checksums():
            raise self._damaged(f"{CHECKSUMS} is missing")
        return config

    def check_same(self, config: Mapping[str, Any], changeable: Collection[str] = (), upgrade: Upgrade = dict) -> None:
        """Raises ValueError if the folder holds no run, or a run whose configuration differs; the message says where.

        Args:
          config: configuration that the run is to be continued with.
          changeable: fields that may differ.
          upgrade: brings the folder's configuration to this version.
        """
        self.check_no_export()
        if differences := differing(upgrade(self.config()), config, changeable):
            raise ValueError(
                f"{self} holds a run, which must be continued with its own settings, but these differ: {differences}"
            )

    def create(self, config: Mapping[str, Any], **about: Any) -> None:
        """Makes the folder, locks it and writes `config.json`.

        Args:
          config: JSON-like recipe and settings.
          about: facts beside the settings: `image_shape` and `num_classes`, from which the model is built without the
            data; `data_fingerprint`; `versions`; `device`.

        Raises:
          ValueError: another run was begun in the folder since `check_new`.
        """
        self.figures.mkdir(parents=True, exist_ok=True)
        self.lock()
        if self.exists():
            self.check_new()
        self._write("config.json", config_text(config, **about))
        self.made_here = True

    def keep_config(self, config: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """Replaces `config.json` if its content differs, and keeps its modification time, when the run was begun."""
        text = config_text(config, **about)
        if self._config_path.read_text() != text:
            begun = os.stat(self._config_path)
            self._write("config.json", text)
            os.utime(self._config_path, ns=(begun.st_atime_ns, begun.st_mtime_ns))

    def restore_config(self, config: Mapping[str, Any], about: Mapping[str, Any]) -> str | None:
        """Writes a damaged `config.json` again; if the checksums are damaged too, metrics and summary are dropped.

        Returns:
          New name of a summary that can no longer be verified, or None if there is no such summary.
        """
        kept = None
        try:
            verified = recorded(self.path) is not None
        except Damaged:
            verified = False
        if not verified:
            # The record is written before config.json: a process that is killed in between leaves config.json damaged.
            (self.path / "metrics.jsonl").unlink(missing_ok=True)
            if self._summary_path.is_file():
                kept = self._summary_path.rename(self.path / "summary.unverified").name
            begin_record(self.path)
        self._write("config.json", config_text(config, **about))
        return kept

    def remove_unless_trained(self) -> None:
        """Removes the folder of a run that could not begin, so that the same folder can be used again."""
        if not (self.has_checkpoint() or self.has_been_trained()):
            self.unlock()
            shutil.rmtree(self.path)

    def has_been_trained(self) -> bool:
        """Returns whether metrics or a summary were written, according to the checksums and the files."""
        try:
            known = self._recorded() or {}
        except Damaged:
            return True
        return any(name in known or (self.path / name).exists() for name in ("metrics.jsonl", "summary.json"))

    def has_checkpoint(self) -> bool:
        return self.checkpoints.is_dir() and any(path.name.isdigit() for path in self.checkpoints.iterdir())

    def metrics(self) -> list[dict[str, float]]:
        """Rows of `metrics.jsonl`; an empty list if there is no such file yet.

        Raises:
          Damaged: the file is damaged or has been removed.
        """
        path = self.path / "metrics.jsonl"
        if path.exists():
            return [self._row(path, line) for line in self._text(path, _METRICS_BYTES).splitlines()]
        self._check_never_written("metrics.jsonl")
        return []

    def write_metrics(self, lines: Iterable[str]) -> None:
        """Replaces `metrics.jsonl` by these JSON rows, so that a resumed run repeats no epochs since its checkpoint."""
        # Not synced to the disk: checkpoints hold the same rows.
        self._write("metrics.jsonl", "".join(f"{line}\n" for line in lines), durable=False)

    def summary(self) -> dict[str, Any] | None:
        """Numbers of a finished run; None if the run has not finished.

        Raises:
          Damaged: the file is damaged or has been removed.
        """
        return self.read_part("summary.json")

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Replaces the numbers of the run; numbers that are not finite must be given as None (see `defined`)."""
        self._write("summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")

    def add_to_summary(self, numbers: Mapping[str, Any]) -> dict[str, Any]:
        """Adds numbers to the summary on disk, replacing those of the same name; returns the new summary."""
        summary = {**(self.summary() or {}), **defined(numbers)}
        self.write_summary(summary)
        return summary

    def remove_summary(self) -> None:
        """Removes the summary, so that the run counts as unfinished and can be trained for longer."""
        remove_recorded(self.path, "summary.json")

    def read_part(self, name: str) -> dict[str, Any] | None:
        """Reads a JSON object that `write_part` wrote; None if there is no such file.

        Raises:
          Damaged: the file is damaged or has been removed.
        """
        path = self.path / name
        if path.exists():
            return self._read(path)
        self._check_never_written(name)
        return None

    def write_part(self, name: str, content: Mapping[str, Any]) -> None:
        """Replaces a JSON file of the run, such as `scores/final-0.json`."""
        (self.path / name).parent.mkdir(exist_ok=True)
        self._write(name, json.dumps(content, allow_nan=False) + "\n")

    def _write(self, name: str, content: str, durable: bool = True) -> None:
        if not os.path.exists(self.path / CHECKSUMS):  # a run of an earlier version gets checksums now
            parts = (path.relative_to(self.path).as_posix() for path in self.path.glob("scores/*.json"))
            begin_record(self.path, ("config.json", "metrics.jsonl", "summary.json", *parts))
        write_recorded(self.path, name, content, durable)

    def _has_checksums(self) -> bool:
        # An export has the checksums in its manifest.
        return self._recorded() is not None or self.export_format() is not None

    def _recorded(self) -> dict[str, list[str]] | None:
        try:
            return recorded(self.path)
        except Damaged as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, fault: str) -> Damaged:
        return Damaged(
            f"{self}: {fault}; put back a copy of it, or resume the run (--run-dir {self.path} --resume), which "
            "restores it from the last checkpoint"
        )

    def _read(self, path: Path) -> dict[str, Any]:
        return self._parse(path, self._text(path))

    def _text(self, path: Path, max_bytes: int = MAX_BYTES) -> str:
        name = path.relative_to(self.path).as_posix()
        try:
            text = read_text(path, max_bytes)
        except (OSError, ValueError) as error:
            fault = f"{name} cannot be read ({error})"
            raise self._damaged(fault) if self._recorded() else ValueError(f"{self}: {fault}") from None
        if name != "manifest.json":
            self._check(name, text.encode())
        return text

    def _check_never_written(self, name: str) -> None:
        if name in (self._recorded() or {}):
            raise self._damaged(f"{name} is missing")

    def _check(self, name: str, content: bytes) -> None:
        try:
            check_content(self.path, name, content)
        except Damaged as error:
            raise self._damaged(str(error)) from None
        manifest = self.path / "manifest.json"
        if os.path.exists(manifest):
            try:
                check_listed(self._read(manifest), name, content)
            except Damaged as error:
                raise Damaged(f"{self}: {error}; export it again") from None

    def _parse(self, path: Path, text: str) -> dict[str, Any]:
        try:
            return parse_object(text)
        except ValueError as error:
            raise ValueError(f"{self}: {path.name} {error}") from None

    def _row(self, path: Path, line: str) -> dict[str, Any]:
        row = self._parse(path, line)
        seconds = row.get("seconds", 0.0)
        if type(row.get("epoch")) is not int or type(seconds) not in (int, float) or not math.isfinite(seconds):
            raise ValueError(f"{self}: {path.name} must have an epoch (int) and finite seconds in each row")
        return row


def config_text(config: Mapping[str, Any], **about: Any) -> str:
    """Text of `config.json`: format, settings, and further facts about the run."""
    known = {name: list(value) if isinstance(value, tuple) else value for name, value in about.items() if value}
    return json.dumps({"format": FORMAT} | known | as_json(config), indent=2) + "\n"
