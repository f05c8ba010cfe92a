"""Atomic writes: an interrupted write leaves the old file unchanged."""

import pytest

from vae_jax.atomic import write_atomically


@pytest.mark.parametrize("dies_in", ["os.fsync", "os.replace"])
def test_a_write_that_dies_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path, monkeypatch, dies_in):
    path = tmp_path / "config.json"
    write_atomically(path, "before")

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(dies_in, die)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "after, and longer")
    monkeypatch.undo()
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]
    write_atomically(path, b"after, \xc3\xa9")
    assert path.read_text(encoding="utf-8") == "after, \u00e9"
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "folder", "a folder is in its place")
    assert {file.name for file in tmp_path.iterdir()} == {"config.json", "folder"}
