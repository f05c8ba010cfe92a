"""Progress on disk, by orbax: the best and the last parameters, the optimizer, the step, the history, the config."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp

from vae_jax.models.vae import Params
from vae_jax.training.begun import Progress
from vae_jax.training.ensembles import EnsembleProgress
from vae_jax.training.processes import from_writer

T = TypeVar("T")  # Progress, or EnsembleProgress


class OrbaxCheckpoints:
    """Saves the progress of a fit, of one model or of many, under a folder.

    It makes one subfolder `<number>/` with the items `last`, `best` and `progress`.

    Writing is atomic: a run that is killed while saving restores from the save before. A save is due every
    `every_seconds`; the epochs in between cost only their own time to repeat.

    Args:
      directory: made where it does not exist.
      key: the run's key, saved with the rest and compared on restore.
      config: JSON-like; saved with the rest, so that a checkpoint says by itself what it is of.
      every_seconds: 0 saves after every epoch.
    """

    def __init__(self, directory: Path, key: jax.Array, config: Mapping[str, Any], every_seconds: float = 10.0):
        self._directory = directory
        # On the host: of several processes each has it, and orbax takes no array that lies on one's devices alone.
        self._key = np.asarray(jax.random.key_data(key))
        self._config = dict(config)
        self._every_seconds = every_seconds
        self._last_save = time.monotonic()
        # Synchronous: the next epoch donates the arrays that a background thread would still be reading.
        options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(directory.resolve(), options=options)

    def due(self) -> bool:
        """Whether so many seconds have passed since the last save, by the clock of the process that writes.

        Several processes agree on it through their devices, and so wait for the epoch that these are at.
        """
        return from_writer(time.monotonic() - self._last_save >= self._every_seconds)

    def save(self, progress: Progress | EnsembleProgress) -> None:
        # A number of its own, not the training step: the last step is saved again when something is fitted after it.
        number = (self._manager.latest_step() or 0) + 1
        items = ocp.args.Composite(
            last=ocp.args.StandardSave({"state": progress.state._asdict(), "key": self._key}),
            best=ocp.args.StandardSave(progress.best_params),
            progress=ocp.args.JsonSave({"history": list(progress.history), "config": self._config}),
        )
        self._manager.save(number, args=items)
        self._last_save = time.monotonic()

    def restore(self, like: T) -> T | None:
        """The saved progress, in the structure of `like` (`Progress` or `EnsembleProgress`); None where there is none.

        Raises:
          ValueError: where what was saved is of another model, optimizer or key.
        """
        assert isinstance(like, (Progress, EnsembleProgress))
        step = self._manager.latest_step()
        if step is None:
            return None
        _check_sizes(self._directory, step, like.best_params)
        last = {"state": like.state._asdict(), "key": self._key}
        items = ocp.args.Composite(
            last=ocp.args.StandardRestore(_abstract(last)),
            best=ocp.args.StandardRestore(_abstract(like.best_params)),
            progress=ocp.args.JsonRestore(),
        )
        restored = self._manager.restore(step, args=items)
        if not (restored.last["key"] == self._key).all():
            raise ValueError(f"the checkpoint in {self._directory} belongs to a run with another key (seed)")
        state = type(like.state)(**restored.last["state"])
        return type(like)(state, restored.best, _as_tuples(restored.progress["history"]))


def load_best(directory: Path, like: Params) -> Params:
    """The parameters of the epoch with the lowest validation loss, from the `checkpoints` folder of a run.

    Args:
      directory: the folder.
      like: parameters of the same model, `model.init(key)` for any key.

    Raises:
      ValueError: where the folder holds no checkpoint, or one of a model of another size.
    """
    if not directory.is_dir():
        raise ValueError(f"no folder of checkpoints at {directory}")
    with ocp.CheckpointManager(directory.resolve(), options=ocp.CheckpointManagerOptions(create=False)) as manager:
        step = manager.latest_step()
        if step is None:
            raise ValueError(f"no checkpoint in {directory}")
        _check_sizes(directory, step, like)
        return manager.restore(step, args=ocp.args.Composite(best=ocp.args.StandardRestore(_abstract(like)))).best


def _check_sizes(directory: Path, step: int, params: Params) -> None:
    # Before orbax begins to read: it abandons its reads, noisily, at the first array of another size.
    try:
        saved = ocp.StandardCheckpointHandler().metadata(directory.resolve() / str(step) / "best")
    except FileNotFoundError as error:
        raise ValueError(f"the checkpoint {directory / str(step)} is not whole: {error}") from error
    shapes = [sorted(leaf.shape for leaf in jax.tree.leaves(tree)) for tree in (saved.tree, params)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"the checkpoint in {directory} is of a model of another size: its arrays have the shapes {shapes[0]}, "
            f"the model's {shapes[1]}"
        )


def _as_tuples(history: Any) -> Any:
    return tuple(map(_as_tuples, history)) if isinstance(history, list) else history


def _abstract(tree: Any) -> Any:
    """What to restore, and where: as the arrays lie, and shapes that lie nowhere on one device of this process."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def abstract(leaf: Any) -> Any:
        struct = ocp.utils.to_shape_dtype_struct(leaf)
        # Else orbax takes the devices that the array was saved from, which need not be there.
        if isinstance(struct, jax.ShapeDtypeStruct) and struct.sharding is None:
            return jax.ShapeDtypeStruct(struct.shape, struct.dtype, sharding=here)
        return struct

    return jax.tree.map(abstract, tree)
