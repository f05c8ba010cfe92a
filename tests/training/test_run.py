import jax
import numpy as np

from vae_jax.training._history import Progress
from vae_jax.training._run import Checkpoints, Loop, run_epochs


def run(monkeypatch, epochs, due=(), stop_at=None, runs_ahead=True):
    """Log, state and length of the history of a run whose epochs log when they are dispatched.

    The state is the epoch's number; the validation loss rises, or is not finite after stop_at.
    """
    log, device_get = [], jax.device_get

    def program(fit_state):
        log.append(f"start {fit_state + 1}")
        loss = np.float32(np.inf if fit_state + 1 == stop_at else fit_state)
        return fit_state + 1, {"epoch": np.int32(fit_state + 1), "train/loss": loss, "validation/loss": loss}

    def reading(metrics):
        log.append(f"read {metrics['epoch']}")
        return device_get(metrics)

    monkeypatch.setattr(jax, "device_get", reading)

    class Logged(Checkpoints):
        def due(self):
            return int(log[-1].split()[-1]) in due

        def save(self, progress):
            log.append(f"save {progress.state} after {len(progress.history)}")

    progress = lambda fit_state, histories: Progress(fit_state, None, histories[0])
    loop = Loop(epochs, None, Logged(), lambda history: log.append(f"show {len(history)}"), runs_ahead)
    fit_state, (history,) = run_epochs(program, 0, ((),), loop, progress)
    return log, fit_state, [row["epoch"] for row in history]


def test_an_epoch_is_handed_over_before_the_metrics_of_the_one_before_are_read(monkeypatch):
    log, *end = run(monkeypatch, 3)
    assert end == [3, [1, 2, 3]]
    assert log == [
        "start 1", "start 2", "read 1", "show 1", "start 3", "read 2", "show 2", "read 3", "save 3 after 3", "show 3",
    ]  # fmt: skip


def test_where_a_save_is_due_nothing_is_handed_over_behind_it(monkeypatch):
    log, *_ = run(monkeypatch, 3, due=(1, 2))
    assert log == [
        "start 1", "read 1", "save 1 after 1", "show 1", "start 2", "read 2", "save 2 after 2", "show 2",
        "start 3", "read 3", "save 3 after 3", "show 3",
    ]  # fmt: skip


def test_where_it_does_not_run_ahead_an_epoch_follows_the_metrics_of_the_one_before_and_saves_are_as_rare(monkeypatch):
    log, *_ = run(monkeypatch, 4, due=(2,), runs_ahead=False)
    assert log == [
        "start 1", "read 1", "show 1", "start 2", "read 2", "save 2 after 2", "show 2", "start 3", "read 3", "show 3",
        "start 4", "read 4", "save 4 after 4", "show 4",
    ]  # fmt: skip


def test_an_early_end_is_saved_and_without_running_ahead_nothing_more_was_handed_over(monkeypatch):
    log, *end = run(monkeypatch, 9, stop_at=2, runs_ahead=False)
    assert end == [2, [1, 2]]
    assert log == ["start 1", "read 1", "show 1", "start 2", "read 2", "show 2", "save 2 after 2"]


def test_an_early_end_is_saved_with_what_was_handed_over_behind_it(monkeypatch):
    # In `fit` that epoch changes nothing (tests/training/test_fit.py); here it increments the state, to be visible.
    log, *end = run(monkeypatch, 9, stop_at=1)
    assert end == [2, [1]]
    assert log == ["start 1", "start 2", "read 1", "show 1", "save 2 after 1"]
