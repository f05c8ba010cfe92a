import itertools
import json
import re
import shutil
from types import SimpleNamespace

import chex
import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from fresh import some_params, some_state, soon_started
from vae_jax.checksums import Damaged
from vae_jax.models import mlp_vae
from vae_jax.objectives import negative_elbo
from vae_jax.training import Progress, fit
from vae_jax.training._run import IN_MEMORY
from vae_jax.training.checkpoints import OrbaxCheckpoints, load_best, newest_intact

EPOCHS, BATCH_SIZE = 5, 8
IMAGES = np.random.default_rng(0).integers(0, 2, (50, 3, 3, 1)).astype(np.float32)
TRAIN, VALIDATION = IMAGES[:40], IMAGES[40:]
MODEL = soon_started(mlp_vae((3, 3, 1), 2, hidden=(6,)))
# The rate is high enough for the validation loss to go up and down, so that best and last differ.
OPTIMIZER = optax.adam(optax.cosine_decay_schedule(0.1, EPOCHS * 5))
KEY = jax.random.key(3)


class Stopped(Exception):
    pass


def train(checkpoints=IN_MEMORY, stop_after=None, epochs=EPOCHS):
    def on_epoch(history):
        if len(history) == stop_after:
            raise Stopped

    return fit(
        MODEL, negative_elbo, OPTIMIZER, TRAIN, VALIDATION, KEY,
        epochs=epochs, batch_size=BATCH_SIZE, checkpoints=checkpoints, on_epoch=on_epoch,
    )  # fmt: skip


CONFIG = {"learning_rate": 0.1, "hidden": [6]}


def checkpoints_in(folder, key=KEY, config=CONFIG, every_seconds=0.0, **others):
    return OrbaxCheckpoints(folder, key, config, every_seconds, **others)


def like(seed=9):
    """Progress with the same structure but other numbers."""
    state = some_state(MODEL, OPTIMIZER, seed)
    return Progress(state, state.params, ())


@pytest.fixture(scope="module")
def uninterrupted():
    return train()


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_run_that_was_stopped_and_resumed_ends_in_the_same_bits(tmp_path, uninterrupted, stop_after):
    with pytest.raises(Stopped):
        train(checkpoints_in(tmp_path / "c"), stop_after)
    restored = checkpoints_in(tmp_path / "c").restore(like())
    assert len(restored.history) == stop_after
    assert int(restored.state.step) == 5 * stop_after
    resumed = train(checkpoints_in(tmp_path / "c"))
    assert resumed.history == uninterrupted.history
    assert resumed.best_epoch == uninterrupted.best_epoch
    chex.assert_trees_all_equal(resumed.state, uninterrupted.state)
    chex.assert_trees_all_equal(resumed.best_params, uninterrupted.best_params)
    # And a run that is finished is trained no further.
    again = train(checkpoints_in(tmp_path / "c"), stop_after=EPOCHS)
    chex.assert_trees_all_equal(again.state, uninterrupted.state)
    # The compared values do change during training.
    assert abs(restored.history[-1]["validation/loss"] - resumed.history[-1]["validation/loss"]) > 1e-3


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder with the checkpoint of a run of two epochs, and the progress that the run returned."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    return folder, train(checkpoints_in(folder), epochs=2)


def test_where_nothing_was_saved_nothing_is_restored(tmp_path):
    assert checkpoints_in(tmp_path / "c").restore(like()) is None


def test_a_run_with_another_key_is_refused(saved):
    with pytest.raises(ValueError, match="belongs to a run with another key"):
        checkpoints_in(saved[0], key=jax.random.key(4)).restore(like())


@pytest.mark.slow
def test_a_model_of_other_sizes_is_refused(saved):
    other = mlp_vae((3, 3, 1), 2, hidden=(7,))
    state = some_state(other, OPTIMIZER)
    with pytest.raises(ValueError, match=r"of another size.*\(6,\).*the model's.*\(7,\)"):
        checkpoints_in(saved[0]).restore(Progress(state, state.params, ()))
    with pytest.raises(ValueError, match=r"of another size.*\(6,\).*the model's.*\(7,\)"):
        load_best(saved[0], state.params)


def test_the_folder_says_by_itself_what_it_is_of(saved):
    folder, progress = saved
    with ocp.CheckpointManager(folder) as manager:
        items = ocp.args.Composite(last=ocp.args.StandardRestore(), progress=ocp.args.JsonRestore())
        found = manager.restore(manager.latest_step(), args=items)
    assert found.progress["config"] == CONFIG
    assert found.progress["history"] == list(progress.history)
    assert int(found.last["state"]["step"]) == 10
    np.testing.assert_array_equal(found.last["key"], jax.random.key_data(KEY))
    moments = progress.state.opt_state[0].mu["decoder"]["output"]["kernel"]
    assert np.abs(moments).max() > 0
    stored = [leaf for leaf in jax.tree.leaves(found.last["state"]["opt_state"]) if leaf.shape == moments.shape]
    assert any(np.array_equal(leaf, moments) for leaf in stored)


def test_load_best_gives_the_parameters_of_the_best_epoch(tmp_path, uninterrupted):
    # Best and last parameters are made to differ in any case.
    apart = uninterrupted._replace(best_params=jax.tree.map(lambda p: p + 1.0, uninterrupted.state.params))
    checkpoints_in(tmp_path / "c").save(apart)
    chex.assert_trees_all_equal(load_best(tmp_path / "c", some_params(MODEL, 8)), apart.best_params)


def test_reading_a_checkpoint_warns_of_nothing(saved, caplog):
    with caplog.at_level("WARNING"):
        checkpoints_in(saved[0]).restore(like())
        load_best(saved[0], like().best_params)
    assert caplog.messages == []


def test_load_best_of_a_folder_without_checkpoints_is_refused_by_name(tmp_path):
    (tmp_path / "c").mkdir()
    with pytest.raises(ValueError, match=r"no checkpoint in .*c$"):
        load_best(tmp_path / "c", some_params(MODEL))


def test_a_save_that_is_interrupted_leaves_the_one_before_usable(tmp_path, uninterrupted):
    checkpoints = checkpoints_in(tmp_path / "c")
    checkpoints.save(uninterrupted)
    unwritable = ({"epoch": object()},)  # makes the JSON writer fail after arrays were written
    changed = uninterrupted._replace(best_params=like().best_params, history=unwritable)
    with pytest.raises(TypeError, match="JSON serializable"):
        checkpoints.save(changed)
    restored = checkpoints_in(tmp_path / "c").restore(like())
    assert restored.history == uninterrupted.history
    chex.assert_trees_all_equal(restored.state, uninterrupted.state)
    chex.assert_trees_all_equal(restored.best_params, uninterrupted.best_params)
    # And the folder takes further saves.
    again = checkpoints_in(tmp_path / "c")
    again.save(uninterrupted._replace(history=uninterrupted.history[:1]))
    assert checkpoints_in(tmp_path / "c").restore(like()).history == uninterrupted.history[:1]


def test_a_save_is_due_at_once_and_then_when_the_time_has_passed_and_the_last_two_stay(
    tmp_path, uninterrupted, monkeypatch
):
    checkpoints = checkpoints_in(tmp_path / "c", every_seconds=3600.0)
    assert checkpoints.due()
    for kept in (["1"], ["1", "2"], ["2", "3"]):
        checkpoints.save(uninterrupted)
        assert sorted(path.name for path in (tmp_path / "c").iterdir()) == kept
        assert not checkpoints.due()
    assert checkpoints.restore(like()).history == uninterrupted.history
    # The clock advances by a second at each call, so a save takes one second.
    seconds = itertools.count()
    monkeypatch.setattr("vae_jax.training.checkpoints.time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    # At most a tenth of the time goes to saving: the next save is due after 10 s, or after every_seconds if later.
    for every_seconds, expected in ((0.5, 10), (25.0, 25)):
        checkpoints = checkpoints_in(tmp_path / f"every_{every_seconds:g}", every_seconds=every_seconds)
        checkpoints.save(uninterrupted)
        assert [checkpoints.due() for _ in range(expected)] == (expected - 1) * [False] + [True]


def test_a_fit_that_is_asked_to_stop_is_saved_first(tmp_path):
    asked = []
    checkpoints = checkpoints_in(tmp_path / "c", every_seconds=3600.0, stop=lambda: bool(asked))

    def on_epoch(history):
        if len(history) == 2:
            asked.append(True)
        if checkpoints.stopping:
            raise Stopped

    with pytest.raises(Stopped):
        fit(
            MODEL, negative_elbo, OPTIMIZER, TRAIN, VALIDATION, KEY,
            epochs=EPOCHS, batch_size=BATCH_SIZE, checkpoints=checkpoints, on_epoch=on_epoch,
        )  # fmt: skip
    # The epoch that the device was computing when the stop was requested.
    assert len(checkpoints_in(tmp_path / "c").restore(like()).history) == 3


def test_a_disk_without_room_is_said_before_anything_is_written(tmp_path, uninterrupted, monkeypatch):
    checkpoints = checkpoints_in(tmp_path / "c")
    checkpoints.save(uninterrupted)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000))
    with pytest.raises(OSError, match=r"No space left for a checkpoint of [\d,]{5,} bytes"):
        checkpoints.save(uninterrupted)
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["1"]
    assert checkpoints_in(tmp_path / "c").restore(like()).history == uninterrupted.history


DAMAGES = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-2]),
    "zeroed": lambda file: file.write_bytes(bytes(max(1, file.stat().st_size))),
    "emptied": lambda file: file.write_bytes(b"x" if not file.stat().st_size else b""),
    "flipped": lambda file: file.write_bytes(bytes([(file.read_bytes() or b"\0")[0] ^ 16]) + file.read_bytes()[1:]),
    "deleted": lambda file: file.unlink(),
}


@pytest.mark.slow
def test_any_damage_to_the_last_save_is_found_and_the_one_before_is_used(tmp_path, uninterrupted):
    folder = tmp_path / "c"
    checkpoints_in(folder).save(uninterrupted._replace(history=uninterrupted.history[:1]))
    checkpoints_in(folder).save(uninterrupted)
    files = [file for file in (folder / "2").rglob("*") if file.is_file()]
    assert len(files) > 15
    for file, damage in itertools.product(files, DAMAGES.values()):
        content = file.read_bytes()
        damage(file)
        if file.exists() and file.read_bytes() == content:  # an empty file cannot be cut
            continue
        said = []
        whole, faults = newest_intact(folder)
        assert (whole.name, len(faults)) == ("1", 1)
        if file.parent.name in ("2", "progress"):  # one of each kind is restored too
            assert len(checkpoints_in(folder, say=said.append).restore(like()).history) == 1
            assert re.match(r"the checkpoint .*c/2 is damaged: .*: continuing from the one before it.*c/1$", said[0])
        if file.relative_to(folder / "2").parts[0] in ("best", "progress", "checksums.json"):
            with pytest.raises(Damaged, match=r"the checkpoint .*c/2 (is damaged|cannot be read)"):
                load_best(folder, like().best_params)
        file.write_bytes(content)
    assert newest_intact(folder)[0].name == "2"


def test_a_damaged_save_goes_before_a_whole_one_does(tmp_path, uninterrupted):
    for _ in range(3):
        checkpoints_in(tmp_path / "c").save(uninterrupted)
    (tmp_path / "c/3/last/_METADATA").unlink()
    checkpoints = checkpoints_in(tmp_path / "c")
    checkpoints.restore(like())
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["2", "3"]
    for kept in (["2", "4"], ["4", "5"]):
        checkpoints.save(uninterrupted)
        assert sorted(path.name for path in (tmp_path / "c").iterdir()) == kept


def test_where_no_save_is_whole_nothing_begins_again_in_silence(tmp_path, uninterrupted):
    checkpoints_in(tmp_path / "c").save(uninterrupted)
    (tmp_path / "c/1/best/_METADATA").write_text("{}")
    with pytest.raises(Damaged, match=r"best/_METADATA is damaged .*and there is no intact checkpoint before it"):
        checkpoints_in(tmp_path / "c").restore(like())
    (tmp_path / "c/99").mkdir()  # and a stray folder is no save
    with pytest.raises(Damaged, match=r"c/99 is damaged: .*and there is no intact checkpoint"):
        checkpoints_in(tmp_path / "c").restore(like())


def test_a_save_of_other_settings_is_refused_unless_they_may_change(saved):
    folder, progress = saved
    other = CONFIG | {"learning_rate": 0.2}
    message = r"was made with other settings: learning_rate \(the run: 0.1, now: 0.2\)"
    with pytest.raises(ValueError, match=message):
        checkpoints_in(folder, config=other).restore(like())
    with pytest.raises(ValueError, match=message):
        load_best(folder, like().best_params, other)
    restored = checkpoints_in(folder, config=other, changeable=("learning_rate",)).restore(like())
    assert restored.history == progress.history


def test_a_save_of_an_earlier_version_is_read_without_checksums(tmp_path, uninterrupted):
    checkpoints_in(tmp_path / "c").save(uninterrupted)
    (tmp_path / "c/1/checksums.json").unlink()
    with pytest.raises(Damaged, match=r"checksums.json is missing"):
        load_best(tmp_path / "c", like().best_params)
    note = tmp_path / "c/1/progress/metadata"
    earlier = json.loads(note.read_text())
    del earlier["format"], earlier["notes"]
    note.write_text(json.dumps(earlier))
    chex.assert_trees_all_equal(load_best(tmp_path / "c", like().best_params), uninterrupted.best_params)
    assert checkpoints_in(tmp_path / "c").restore(like()).history == uninterrupted.history
