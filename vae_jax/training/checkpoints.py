"""Progress on disk, by orbax: the best and the last parameters, the optimizer, the step, the history, the config."""

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

Upgrade = Callable[[Mapping[str, Any]], Mapping[str, Any]]  # config of an earlier version -> as it is written now
T = TypeVar("T")  # Progress, or EnsembleProgress
KEPT = 2  # the last one, and the one before it to go back to if the last is damaged
_PROGRESS = "progress/metadata"  # what orbax names the JSON of its item "progress"
_FORMAT = 3  # since which a checkpoint has checksums
_MOST_BYTES = 2**28  # of the JSON
_MOST_SHARE = 10  # a save is due at the earliest after so many times what the last one took
_LEFT_OVER = re.compile(r"\d+\.(unfinished|removed)")  # names while a save is written, and while it is removed


class OtherRun(ValueError):
    """Error for a checkpoint of another model, key or config than the run that restores it."""


@dataclasses.dataclass(eq=False, repr=False)
class OrbaxCheckpoints(Checkpoints):
    """Saves the progress of a fit, of one model or of many, in a folder.

    Each save makes one subfolder `<number>/` with the items `last`, `best` and `progress` and their checksums. It gets
    its name once it is whole and on the disk, so that a run that is killed while it saves restores from the save
    before. The last two are kept: if the last is damaged, a run goes on from the one before, and says so.

    The first save is due after the first epoch, then one every `every_seconds`, or less often if the state is so large
    that more than a tenth of the time went to saving; the epochs in between cost only their own time to repeat.
    """

    directory: Path  # made if it does not exist
    key: jax.Array  # the run's, saved with the rest and compared on restore
    config: Mapping[str, Any]  # JSON-like, saved likewise, so that a checkpoint says by itself what it is of
    every_seconds: float = 10.0  # 0 saves after every epoch
    _: dataclasses.KW_ONLY
    changeable: Collection[str] = ()  # fields of config that may differ from those of the save that is restored
    upgrade: Upgrade = dict  # of the config of the save that is restored
    notes: Callable[[Any], Mapping[str, Any]] = lambda progress: {}  # (progress) -> JSON-like, saved beside it
    stop: Callable[[], bool] = lambda: False  # returns True to end the fit: a save is then due
    say: Callable[[str], Any] = lambda text: None  # takes a line for the user
    stopping: bool = dataclasses.field(default=False, init=False)  # True once a save was made to end the fit
    restored_notes: Mapping[str, Any] = dataclasses.field(default_factory=dict, init=False)  # of the one restored

    def __post_init__(self) -> None:
        self.directory, self.config = self.directory.resolve(), dict(self.config)
        # On the host: of several processes each has it, and orbax takes no array that lies on one's devices alone.
        self._key = np.asarray(jax.random.key_data(self.key))
        self._interval, self._last_save = self.every_seconds, float("-inf")
        self._damaged: list[int] = []  # saves that `restore` found and passed over

    def due(self) -> bool:
        """Returns whether it is time to save, by the clock of the process that writes.

        Several processes agree on it through their devices, and so wait for the epoch that these are at.
        """
        late = time.monotonic() - self._last_save >= self._interval
        asked = from_all([late, self.stop()])
        late = asked[0][0]
        self.stopping = any(stop for _, stop in asked)  # a scheduler may end one process alone
        return late or self.stopping

    def save(self, progress: Progress | EnsembleProgress) -> None:
        """Saves, and removes what is damaged, or older than the one before.

        Raises:
          OSError: the folder cannot be written, for example because the disk is full; earlier saves stay.
        """
        began = time.monotonic()
        notes = {"history": list(progress.history), "config": self.config, "notes": self.notes(progress)}
        items = ocp.args.Composite(
            last=ocp.args.StandardSave({"state": progress.state._asdict(), "key": self._key}),
            best=ocp.args.StandardSave(progress.best_params),
            progress=ocp.args.JsonSave({"format": _FORMAT, **notes}),
        )
        # A number of its own, not the training step: the last step is saved again when something is fitted after it.
        number = from_writer(max(_numbers(self.directory), default=0) + 1)
        unfinished = self.directory / f"{number}.unfinished"
        with _writing(self.directory, unfinished.name):
            if is_writer():
                self.directory.mkdir(parents=True, exist_ok=True)
                for path in self.directory.iterdir():
                    if _LEFT_OVER.match(path.name):  # of a process that was killed
                        shutil.rmtree(path, ignore_errors=True)
                _check_room(self.directory, (progress.state, progress.best_params))
            from_writer(None)
            with _checkpointer() as checkpointer:
                checkpointer.save(unfinished, args=items)
            if is_writer():
                seal(unfinished)
                unfinished.rename(self.directory / str(number))
                sync_folder(self.directory)
                whole = [kept for kept in _numbers(self.directory) if kept not in self._damaged]
                for old in (*self._damaged, *whole[KEPT:]):
                    remove_folder(self.directory / str(old))
                self._damaged = []
            from_writer(None)
        self._last_save = time.monotonic()
        if self.every_seconds:
            self._interval = max(self.every_seconds, _MOST_SHARE * (self._last_save - began))

    def restore(self, like: T) -> T | None:
        """The saved progress, in the structure of `like` (`Progress` or `EnsembleProgress`); None if there is none.

        Raises:
          Damaged: no save is whole.
          OtherRun: what was saved is of another model, key or config.
        """
        assert isinstance(like, (Progress, EnsembleProgress))
        path, faults = newest_whole(self.directory) if is_writer() else (None, [])
        name = from_writer(None if path is None else path.name)
        if name is None:
            return None
        path = self.directory / name
        for fault in faults:
            self.say(f"{fault}: continuing from the one before it, {path}")
        self._damaged = [number for number in _numbers(self.directory) if number > int(name)]
        saved = _read_own(path, like.best_params, self.config, self.changeable, self.upgrade)
        last = {"state": like.state._asdict(), "key": self._key}
        restored = _restore(
            path,
            last=ocp.args.StandardRestore(_abstract(last)),
            best=ocp.args.StandardRestore(_abstract(like.best_params)),
        )
        if not (restored.last["key"] == self._key).all():
            raise OtherRun(f"the checkpoint in {self.directory} belongs to a run with another key (seed)")
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
    """The parameters of the epoch with the lowest validation loss, from the `checkpoints` folder of a run.

    Args:
      directory: the folder.
      like: parameters of the same model, `model.init(key)` for any key.
      config: what the checkpoint must have been made with; None: anything.
      changeable: fields of it that may differ.
      upgrade: config that an earlier version saved -> as this version writes it.

    Raises:
      Damaged: the last checkpoint is not what was written.
      ValueError: the folder holds no checkpoint, or (OtherRun) one of a model of another size or another config.
    """
    if not directory.is_dir():
        raise ValueError(f"no folder of checkpoints at {directory}")
    path = newest(directory)
    if path is None:
        raise ValueError(f"no checkpoint in {directory}")
    check_whole(path, ("best", "progress"))
    _read_own(path, like, config, changeable, upgrade)
    return _restore(path, best=ocp.args.StandardRestore(_abstract(like))).best


def newest(directory: Path) -> Path | None:
    """The newest save in a folder of checkpoints, whole or not; None if there is none."""
    return next((directory.resolve() / str(number) for number in _numbers(directory)), None)


def newest_whole(directory: Path) -> tuple[Path | None, list[str]]:
    """The newest save that is whole (None if there are none at all), and what is wrong with those after it.

    Raises:
      Damaged: there are saves, and none is whole.
    """
    faults: list[str] = []
    for number in _numbers(directory):
        path = directory.resolve() / str(number)
        try:
            check_whole(path, ("last", "best", "progress"))
            return path, faults
        except Damaged as error:
            faults.append(str(error))
    if faults:
        raise Damaged(f"{faults[0]}, and there is no whole one before it; begin a new run")
    return None, []


def read_progress(path: Path) -> dict[str, Any]:
    """JSON part of a checkpoint: "history", "config" and "notes".

    Raises:
      Damaged: it cannot be read.
    """
    try:
        saved = parse_object(read_text(path / _PROGRESS, _MOST_BYTES))
        if not (isinstance(saved["history"], list) and isinstance(saved["config"], dict)):
            raise ValueError("it holds no history and config")
    except (OSError, ValueError, KeyError) as error:
        raise Damaged(f"the checkpoint {path}: {_PROGRESS} cannot be read ({error})") from None
    return saved


def check_whole(path: Path, items: Collection[str]) -> None:
    """Raises Damaged if some items of a save are not what was written; one of an earlier version is not verified."""
    try:
        if not (path / CHECKSUMS).exists() and "format" not in read_progress(path):
            return
        check_sealed(path, items)
    except Damaged as error:
        raise Damaged(f"the checkpoint {path} is not whole: {error}") from None


def _numbers(directory: Path) -> list[int]:
    """The numbers of the saves, the newest first."""
    paths = directory.iterdir() if directory.is_dir() else ()
    return sorted((int(path.name) for path in paths if path.name.isdigit()), reverse=True)


def _checkpointer() -> ocp.Checkpointer:
    # Synchronous: the next epoch donates the arrays that a background thread would still be reading.
    return ocp.Checkpointer(ocp.CompositeCheckpointHandler())


@contextlib.contextmanager
def _writing(directory: Path, name: str) -> Iterator[None]:
    """Turns orbax's errors for a full disk or a missing folder into an OSError of one line."""
    try:
        with _one_voice():
            yield
    except OSError:
        raise
    except Exception as error:
        words = str(error)
        # A folder that is just being removed may still be there in part.
        gone = "does not exist" in words or not (directory.is_dir() and any(directory.glob(f"{name}*")))
        if not gone and not any(sign in words for sign in ("No space left", "File too large", "Read-only", "quota")):
            raise
        reason = "it is gone" if gone else words.strip().splitlines()[0]
        raise OSError(f"a checkpoint cannot be written to {directory}: {reason}") from error


@contextlib.contextmanager
def _one_voice() -> Iterator[None]:
    """Keeps orbax's threads from printing each error with its traceback: it is raised as well."""
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
    """Raises OSError if the disk has no room for the arrays: orbax would find out in the middle, thread by thread."""
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
    if shutil.disk_usage(directory).free < needed:
        raise OSError(errno.ENOSPC, f"No space left for a checkpoint of {needed:,} bytes", str(directory))


def _restore(path: Path, **items: Any) -> Any:
    try:
        with _checkpointer() as checkpointer:
            return checkpointer.restore(path, args=ocp.args.Composite(**items))
    except Exception as error:  # whatever orbax and tensorstore make of bytes that are not theirs
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Damaged(f"the checkpoint {path} cannot be read ({reason})") from error


def _read_own(
    path: Path, params: Params, config: Mapping[str, Any] | None, changeable: Collection[str], upgrade: Upgrade
) -> dict[str, Any]:
    """JSON part of a checkpoint; raises OtherRun if that is of another config, or of params of another size."""
    progress = read_progress(path)
    if config is not None and (differences := differing(upgrade(progress["config"]), config, changeable)):
        raise OtherRun(f"the checkpoint {path} was made with other settings: {differences}")
    # Before orbax begins to read: it abandons its reads, noisily, at the first array of another size.
    try:
        saved = ocp.StandardCheckpointHandler().metadata(path / "best")
    except Exception as error:  # as in `_restore`
        raise Damaged(f"the checkpoint {path} is not whole: {str(error).splitlines()[0]}") from error
    shapes = [sorted(leaf.shape for leaf in jax.tree.leaves(tree)) for tree in (saved.tree, params)]
    if shapes[0] != shapes[1]:
        raise OtherRun(
            f"the checkpoint in {path.parent} is of a model of another size: its arrays have the shapes {shapes[0]}, "
            f"the model's {shapes[1]}"
        )
    return progress


def _as_tuples(history: Any) -> Any:
    return tuple(map(_as_tuples, history)) if isinstance(history, list) else history


def _abstract(tree: Any) -> Any:
    """Shapes and places to restore to: those of arrays, and one device of this process for shapes without a place."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def abstract(leaf: Any) -> Any:
        struct = ocp.utils.to_shape_dtype_struct(leaf)
        # Else orbax takes the devices that the array was saved from, which need not be there.
        if isinstance(struct, jax.ShapeDtypeStruct) and struct.sharding is None:
            return jax.ShapeDtypeStruct(struct.shape, struct.dtype, sharding=here)
        return struct

    return jax.tree.map(abstract, tree)
