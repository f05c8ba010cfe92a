"""Parameters that a run keeps on its way."""

from vae_jax.runs.fitting.snapshots import is_whole


def test_a_snapshot_that_was_not_saved_to_its_end_is_not_taken_for_whole(tmp_path):
    path = tmp_path / "step-4"
    (path / "1.unfinished").mkdir(parents=True)
    assert not is_whole(path)
    (path / "1").mkdir()
    assert not is_whole(path)
