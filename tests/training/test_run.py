import numpy as np

from vae_jax.training._run import run_epochs


def run(log, epochs, due=(), stop_at=None, runs_ahead=True):
    """Epochs numbered from 1, each logging when it is handed to the device; the fitting is the number."""

    def program(fitting):
        log.append(f"start {fitting + 1}")
        return fitting + 1, np.int32(fitting + 1)

    def add(history, metrics):
        log.append(f"read {metrics}")
        return (*history, int(metrics))

    return run_epochs(
        program,
        0,
        (),
        add=add,
        runs_ahead=runs_ahead,
        last=lambda history: len(history) + 1 >= epochs,
        finished=lambda history: len(history) >= epochs or (stop_at is not None and len(history) >= stop_at),
        due=lambda: int(log[-1].split()[-1]) in due,
        save=lambda fitting, history: log.append(f"save {fitting} after {len(history)}"),
        on_epoch=lambda history: log.append(f"show {len(history)}"),
    )


def test_an_epoch_is_handed_over_before_the_metrics_of_the_one_before_are_read():
    log = []
    assert run(log, 3) == (3, (1, 2, 3))
    assert log == [
        "start 1", "start 2", "read 1", "show 1", "start 3", "read 2", "show 2", "read 3", "save 3 after 3", "show 3",
    ]  # fmt: skip


def test_where_a_save_is_due_nothing_is_handed_over_behind_it():
    log = []
    run(log, 3, due=(1, 2))
    assert log == [
        "start 1", "read 1", "save 1 after 1", "show 1", "start 2", "read 2", "save 2 after 2", "show 2",
        "start 3", "read 3", "save 3 after 3", "show 3",
    ]  # fmt: skip


def test_where_it_does_not_run_ahead_an_epoch_follows_the_metrics_of_the_one_before_and_saves_are_as_rare():
    log = []
    run(log, 4, due=(2,), runs_ahead=False)
    assert log == [
        "start 1", "read 1", "show 1", "start 2", "read 2", "save 2 after 2", "show 2", "start 3", "read 3", "show 3",
        "start 4", "read 4", "save 4 after 4", "show 4",
    ]  # fmt: skip
    log = []
    assert run(log, 9, stop_at=2, runs_ahead=False) == (2, (1, 2))
    assert log == ["start 1", "read 1", "show 1", "start 2", "read 2", "show 2", "save 2 after 2"]


def test_an_early_end_is_saved_with_what_was_handed_over_behind_it():
    # That epoch changes nothing on the device (tests/training/test_fit.py): here it counts on, to be seen.
    log = []
    assert run(log, 9, stop_at=1) == (2, (1,))
    assert log == ["start 1", "start 2", "read 1", "show 1", "save 2 after 1"]
