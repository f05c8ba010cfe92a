"""Checks before a run is continued: same settings, data and versions, and an undamaged folder."""

from __future__ import annotations

from typing import NamedTuple

from vae_jax.atomic import remove_folder
from vae_jax.checksums import NAME as CHECKSUMS
from vae_jax.checksums import Damaged
from vae_jax.runs.folder import RunFolder, Upgrade
from vae_jax.runs.machine import versions
from vae_jax.runs.progress import say
from vae_jax.training._history import is_finished
from vae_jax.training.checkpoints import newest, newest_intact, read_progress

# Packages on which the exact results of a run depend.
_DECIDING = ("vae_jax", "jax", "jaxlib", "flax", "optax", "numpy")


def restore_if_damaged(folder: RunFolder, upgrade: Upgrade = dict) -> None:
    """Restores a damaged config.json from the last whole checkpoint.

    Args:
      upgrade: configuration of an earlier version -> configuration of this version.

    Raises:
      Damaged: config.json is damaged, and no checkpoint holds its settings.
      ValueError: the folder holds no run, or another process is working in it.
    """
    try:
        folder.config()
    except Damaged as error:
        folder.lock()
        try:
            path, _ = newest_intact(folder.checkpoints)
            saved = {} if path is None else read_progress(path)
            if "about" not in saved.get("notes", {}):
                raise error
            fault = str(error).removeprefix(f"{folder}: ").partition(";")[0]
            say(f"{fault}: restored from the checkpoint {path}")
            if kept := folder.restore_config(upgrade(saved["config"]), saved["notes"]["about"]):
                say(
                    f"without {CHECKSUMS} summary.json cannot be verified: it is renamed to {kept}, and its numbers "
                    "are measured again, without those that `vae-jax evaluate` had added"
                )
        finally:
            folder.unlock()


def check_versions(folder: RunFolder, accept: bool) -> None:
    """Checks that a run is continued with the versions of the packages that it was begun with.

    Args:
      accept: whether other versions are accepted.

    Raises:
      ValueError: the versions differ, and are not accepted.
    """
    begun, now = folder.about().get("versions") or {}, versions()
    others = {name: begun[name] for name in _DECIDING if name in begun and begun[name] != now.get(name)}
    if others and not accept:
        names = ", ".join(f"{name} {version} (now {now.get(name)})" for name, version in others.items())
        raise ValueError(
            f"{folder} was begun with {names}, and other versions may give other results: install the earlier ones, "
            "or give --accept-versions to continue with the present ones"
        )


def check_not_lost(folder: RunFolder) -> None:
    """Raises Damaged if a trained run holds no checkpoint, because it would start again at its first epoch."""
    # The first epoch is saved before its row is written.
    if newest(folder.checkpoints) is None and folder.has_been_trained():
        raise Damaged(
            f"{folder} has lost its checkpoints ({folder.checkpoints} holds none) and cannot continue; put them back, "
            "or begin a new run in another folder with the settings in config.json"
        )


def check_can_continue(folder: RunFolder) -> None:
    """Raises Damaged, before anything is written, if a trained run holds no undamaged checkpoint."""
    check_not_lost(folder)
    newest_intact(folder.checkpoints)


def say_if_elsewhere(folder: RunFolder, device: str) -> None:
    """Prints a line if a run is continued on another device than it was begun on."""
    begun = folder.about().get("device", device)
    if begun != device:
        say(f"begun on {begun}, continued on {device}: the results may differ from those of an uninterrupted run")


class Epochs(NamedTuple):
    """End of a continued run."""

    number: int
    trains_on: bool  # whether the run trains past its former end, whose measurements are then outdated


def epochs_to_train(folder: RunFolder, asked: int, patience: int | None, changeable: bool) -> Epochs:
    """Number of epochs at which a continued run ends.

    Args:
      asked: number of epochs that the user gives now.
      patience: patience of the run.
      changeable: whether only the end of the run depends on the number of epochs.

    Raises:
      ValueError: the number of epochs differs from that of the run, and must not.
    """
    saved = folder.config()["epochs"]
    if asked == saved:
        return Epochs(saved, False)
    if not changeable:
        raise ValueError(
            f"--epochs must be {saved}, with which {folder.path} was begun, because its --schedule or --objective "
            f"depends on the number of epochs, got {asked}"
        )
    path, _ = newest_intact(folder.checkpoints)
    history = [] if path is None else read_progress(path)["history"]
    models = history if history and isinstance(history[0], list) else [history]
    done = max(map(len, models))
    epochs = max(asked, done)
    if epochs > asked:
        say(f"{folder.path} has already been trained for {done} epochs: it ends there, not at {asked}")
    return Epochs(epochs, not all(is_finished(rows, epochs, patience) for rows in models))


def forget_the_end(folder: RunFolder) -> None:
    """Removes the results of a finished run (summary, prior over codes) before it is trained for longer."""
    folder.remove_summary()
    for prior in folder.path.glob("prior_*[0-9]"):
        say(f"{prior} is removed: it is trained again on the codes of the longer run")
        remove_folder(prior)
