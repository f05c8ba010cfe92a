"""Checkpoints by orbax: best and last parameters, optimizer state, step, history and config of a run."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp

from vae_jax.atomic import remove_folder, sync_folder
from vae_jax.checksums import NAME as CHECKSUMS
from vae_jax.checksums import Damaged, check_sealed, seal
from vae_jax.differences import differing
from vae_jax.json_files import parse_object, read_text
from vae_jax.params import Params
from vae_jax.training._ensemble import EnsembleProgress
from vae_jax.training._history import Progress
from vae_jax.training._run import Checkpoints
from vae_jax.training.distributed import from_all, from_writer, is_writer

Upgrade = Callable[[Mapping[str, Any]], Mapping[str, Any]]  # config of an earlier version -> config of this version
T = TypeVar("T")  # Progress, or EnsembleProgress
NUM_KEPT = 2  # the last checkpoint, and the one before it in case the last is damaged
_PROGRESS = "progress/metadata"  # orbax's file name for the JSON of the item "progress"
_FORMAT = 3  # first format that has checksums
_MAX_JSON_BYTES = 2**28
_MIN_INTERVAL_IN_SAVES = 10  # shortest time between saves, as a multiple of the duration of the last save
_LEFT_OVER = re.compile(r"\d+\.(unfinished|removed)")  # names of a checkpoint while it is written or removed


class OtherRun(ValueError):
    """Error for a checkpoint of another model, key or config than the run that restores it."""


@dataclasses.dataclass(eq=False, repr=False)
class OrbaxCheckpoints(Checkpoints):
    """Saves the progress of a fit, of one model or of an ensemble, in a folder.

    Each checkpoint is a subfolder `<number>/` with the items `last`, `best` and `progress` and their checksums. It gets
    its name only when it is complete and on the disk: a run that is killed while it saves is restored from the previous
    checkpoint. The last two are kept: if the last is damaged, a run reports it and continues from the one before.

    The first checkpoint is due after the first epoch, the next ones every `every_seconds`, or less often if saving
    would take more than a tenth of the time. A killed run has to repeat only the epochs since its last checkpoint.
    """

    directory: Path  # made if it does not exist
    key: jax.Array  # the run's key, saved and compared when a checkpoint is restored
    config: Mapping[str, Any]  # JSON-like settings of the run, saved and compared when a checkpoint is restored
    every_seconds: float = 10.0  # 0 saves after every epoch
    _: dataclasses.KW_ONLY
    changeable: Collection[str] = ()  # fields of config that may differ from those of the restored checkpoint
    upgrade: Upgrade = dict  # applied to the config of the restored checkpoint
    notes: Callable[[Any], Mapping[str, Any]] = lambda progress: {}  # (progress) -> JSON-like, saved in the checkpoint
    stop: Callable[[], bool] = lambda: False  # returns True to end the fit: a checkpoint is then due
    say: Callable[[str], Any] = lambda text: None  # takes a message for the user, one line
    stopping: bool = dataclasses.field(default=False, init=False)  # True once a checkpoint was saved to end the fit
    restored_notes: Mapping[str, Any] = dataclasses.field(default_factory=dict, init=False)  # of that checkpoint

    def __post_init__(self) -> None:
        self.directory, self.config = self.directory.resolve(), dict(self.config)
        # On the host, and so in every process: orbax takes no array that is on the devices of one process alone.
        self._key = np.asarray(jax.random.key_data(self.key))
        self._interval, self._last_save = self.every_seconds, float("-inf")
        self._damaged: list[int] = []  # numbers of the damaged checkpoints that `restore` has skipped

    def due(self) -> bool:
        """Returns True if it is time to save, by the clock of the process that writes.

        Several processes agree on this through their devices, and therefore wait for the epoch that is running there.
        """
        late = time.monotonic() - self._last_save >= self._interval
        answers = from_all([late, self.stop()])
        late = answers[0][0]
        self.stopping = any(stop for _, stop in answers)  # a scheduler may end one process alone
        return late or self.stopping

    def save(self, progress: Progress | EnsembleProgress) -> None:
        """Saves a checkpoint, and removes all damaged and old ones: the last two are kept.

        Raises:
          OSError: if the folder cannot be written, for example because the disk is full; earlier checkpoints stay.
        """
        began = time.monotonic()
        notes = {"history": list(progress.history), "config": self.config, "notes": self.notes(progress)}
        items = ocp.args.Composite(
            last=ocp.args.StandardSave({"state": progress.state._asdict(), "key": self._key}),
            best=ocp.args.StandardSave(progress.best_params),
            progress=ocp.args.JsonSave({"format": _FORMAT, **notes}),
        )
        # Not the number of the training step: the last step is saved again when something is fitted after training.
        number = from_writer(max(_numbers(self.directory), default=0) + 1)
        unfinished = self.directory / f"{number}.unfinished"
        with _writing(self.directory, unfinished.name):
            if is_writer():
                self.directory.mkdir(parents=True, exist_ok=True)
                for path in self.directory.iterdir():
                    if _LEFT_OVER.match(path.name):  # left by a process that was killed
                        shutil.rmtree(path, ignore_errors=True)
                _check_room(self.directory, (progress.state, progress.best_params))
            from_writer(None)
            with _checkpointer() as checkpointer:
                checkpointer.save(unfinished, args=items)
            if is_writer():
                seal(unfinished)
                unfinished.rename(self.directory / str(number))
                sync_folder(self.directory)
                intact = [number for number in _numbers(self.directory) if number not in self._damaged]
                for old in (*self._damaged, *intact[NUM_KEPT:]):
                    remove_folder(self.directory / str(old))
                self._damaged = []
            from_writer(None)
        self._last_save = time.monotonic()
        if self.every_seconds:
            self._interval = max(self.every_seconds, _MIN_INTERVAL_IN_SAVES * (self._last_save - began))

    def restore(self, like: T) -> T | None:
        """Returns the saved progress in the structure of `like` (`Progress` or `EnsembleProgress`), or None.

        Raises:
          Damaged: if there are checkpoints, and all are damaged.
          OtherRun: if the checkpoint is of another model, key or config.
        """
        assert isinstance(like, (Progress, EnsembleProgress))
        path, faults = newest_intact(self.directory) if is_writer() else (None, [])
        name = from_writer(None if path is None else path.name)
        if name is None:
            return None
        path = self.directory / name
        for fault in faults:
            self.say(f"{fault}: continuing from the one before it, {path}")
        self._damaged = [number for number in _numbers(self.directory) if number > int(name)]
        saved = _read_matching_progress(path, like.best_params, self.config, self.changeable, self.upgrade)
        last = {"state": like.state._asdict(), "key": self._key}
        restored = _restore(
            path,
            last=ocp.args.StandardRestore(_abstract(last)),
            best=ocp.args.StandardRestore(_abstract(like.best_params)),
        )
        if not (restored.last["key"] == self._key).all():
            raise OtherRun(f"the checkpoint in {self.directory} belongs to a run with another key (random seed)")
        self.restored_notes = saved.get("notes", {})
        state = type(like.state)(**restored.last["state"])
        return type(like)(state, restored.best, _as_tuples(saved["history"]))


def load_best(
    directory: Path,
    like: Params,
    config: Mapping[str, Any] | None = None,
    changeable: Collection[str] = (),
    upgrade: Upgrade = dict,
) -> Params:
    """Loads the parameters of the epoch with the lowest validation loss, from the `checkpoints` folder of a run.

    Args:
      directory: the folder.
      like: parameters of the same model, `model.init(key)` for any key.
      config: the config that the checkpoint must have been made with; None: any config.
      changeable: fields of config that may differ.
      upgrade: config saved by an earlier version -> config of this version.

    Raises:
      Damaged: if the last checkpoint is damaged.
      ValueError: if the folder has no checkpoint; OtherRun if the checkpoint has another model size or config.
    """
    if not directory.is_dir():
        raise ValueError(f"there is no folder of checkpoints at {directory}")
    path = newest(directory)
    if path is None:
        raise ValueError(f"there is no checkpoint in {directory}")
    check_intact(path, ("best", "progress"))
    _read_matching_progress(path, like, config, changeable, upgrade)
    return _restore(path, best=ocp.args.StandardRestore(_abstract(like))).best


def newest(directory: Path) -> Path | None:
    """Path of the newest checkpoint in a folder, damaged or not; None if there is none."""
    return next((directory.resolve() / str(number) for number in _numbers(directory)), None)


def newest_intact(directory: Path) -> tuple[Path | None, list[str]]:
    """Path of the newest intact checkpoint (None in an empty folder), and the faults of the newer, damaged ones.

    Raises:
      Damaged: if there are checkpoints, and all are damaged.
    """
    faults: list[str] = []
    for number in _numbers(directory):
        path = directory.resolve() / str(number)
        try:
            check_intact(path, ("last", "best", "progress"))
            return path, faults
        except Damaged as error:
            faults.append(str(error))
    if faults:
        raise Damaged(f"{faults[0]}, and there is no intact checkpoint before it; begin a new run")
    return None, []


def read_progress(path: Path) -> dict[str, Any]:
    """Reads the JSON part of a checkpoint: "history", "config" and "notes".

    Raises:
      Damaged: if it cannot be read.
    """
    try:
        saved = parse_object(read_text(path / _PROGRESS, _MAX_JSON_BYTES))
        if not (isinstance(saved["history"], list) and isinstance(saved["config"], dict)):
            raise ValueError("the history or the config is missing")
    except (OSError, ValueError, KeyError) as error:
        raise Damaged(f"the checkpoint {path}: {_PROGRESS} cannot be read ({error})") from None
    return saved


def check_intact(path: Path, items: Collection[str]) -> None:
    """Raises Damaged if items of a checkpoint differ from their checksums; without checksums they are not verified."""
    try:
        if not (path / CHECKSUMS).exists() and "format" not in read_progress(path):
            return
        check_sealed(path, items)
    except Damaged as error:
        raise Damaged(f"the checkpoint {path} is damaged: {error}") from None


def _numbers(directory: Path) -> list[int]:
    """Numbers of the checkpoints, the newest first."""
    paths = directory.iterdir() if directory.is_dir() else ()
    return sorted((int(path.name) for path in paths if path.name.isdigit()), reverse=True)


def _checkpointer() -> ocp.Checkpointer:
    # Synchronous, because the arrays that a background thread would still read are donated to the next epoch.
    return ocp.Checkpointer(ocp.CompositeCheckpointHandler())


@contextlib.contextmanager
def _writing(directory: Path, name: str) -> Iterator[None]:
    """Turns orbax's errors for a full disk or a missing folder into an OSError of one line."""
    try:
        with _quiet_threads():
            yield
    except OSError:
        raise
    except Exception as error:
        text = str(error)
        # A folder that is just being removed may still be there in part.
        gone = "does not exist" in text or not (directory.is_dir() and any(directory.glob(f"{name}*")))
        if not gone and not any(sign in text for sign in ("No space left", "File too large", "Read-only", "quota")):
            raise
        reason = "the folder was removed" if gone else text.strip().splitlines()[0]
        raise OSError(f"a checkpoint cannot be written to {directory}: {reason}") from error


@contextlib.contextmanager
def _quiet_threads() -> Iterator[None]:
    """Keeps orbax's threads from printing the tracebacks of errors that are raised as well."""
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels, hooks = [logger.level for logger in loggers], (sys.unraisablehook, threading.excepthook)
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    sys.unraisablehook, threading.excepthook = lambda error: None, lambda error: None
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        sys.unraisablehook, threading.excepthook = hooks


def _check_room(directory: Path, arrays: Any) -> None:
    """Raises OSError if the disk has no room for the arrays; orbax would fail only after writing a part of them."""
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
    if shutil.disk_usage(directory).free < needed:
        raise OSError(errno.ENOSPC, f"No space left for a checkpoint of {needed:,} bytes", str(directory))


def _restore(path: Path, **items: Any) -> Any:
    try:
        with _checkpointer() as checkpointer:
            return checkpointer.restore(path, args=ocp.args.Composite(**items))
    except Exception as error:  # any type: orbax and tensorstore fail in many ways on damaged files
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Damaged(f"the checkpoint {path} cannot be read ({reason})") from error


def _read_matching_progress(
    path: Path, params: Params, config: Mapping[str, Any] | None, changeable: Collection[str], upgrade: Upgrade
) -> dict[str, Any]:
    """Reads the JSON part of a checkpoint; raises OtherRun if its config or the sizes of its parameters differ."""
    progress = read_progress(path)
    if config is not None and (differences := differing(upgrade(progress["config"]), config, changeable)):
        raise OtherRun(f"the checkpoint {path} was made with other settings: {differences}")
    # Sizes are compared first, because orbax stops with many messages at the first array of another size.
    try:
        saved = ocp.StandardCheckpointHandler().metadata(path / "best")
    except Exception as error:  # as in `_restore`
        raise Damaged(f"the checkpoint {path} is damaged: {str(error).splitlines()[0]}") from error
    shapes = [sorted(leaf.shape for leaf in jax.tree.leaves(tree)) for tree in (saved.tree, params)]
    if shapes[0] != shapes[1]:
        raise OtherRun(
            f"the checkpoint in {path.parent} belongs to a model of another size: its arrays have the shapes "
            f"{shapes[0]}, the model's arrays {shapes[1]}"
        )
    return progress


def _as_tuples(history: Any) -> Any:
    return tuple(map(_as_tuples, history)) if isinstance(history, list) else history


def _abstract(tree: Any) -> Any:
    """Shapes and shardings to restore to; a shape without a sharding is restored to one device of this process."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def abstract(leaf: Any) -> Any:
        struct = ocp.utils.to_shape_dtype_struct(leaf)
        # By default orbax restores to the devices that the array was saved from, which may not exist here.
        if isinstance(struct, jax.ShapeDtypeStruct) and struct.sharding is None:
            return jax.ShapeDtypeStruct(struct.shape, struct.dtype, sharding=here)
        return struct

    return jax.tree.map(abstract, tree)
