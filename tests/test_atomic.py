"""A file is there whole or as it was, whatever stops its writing."""

from pathlib import Path

import pytest

from vae_jax.atomic import write_atomically


@pytest.mark.parametrize("dies_in", ["write_bytes", "replace"])
def test_a_write_that_dies_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path, monkeypatch, dies_in):
    path = tmp_path / "config.json"
    write_atomically(path, "before")

    def die(self, content, *_):
        if isinstance(content, bytes):  # half of it has reached the disk
            with open(self, "wb") as file:
                file.write(content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(*((Path, "write_bytes") if dies_in == "write_bytes" else ("os.replace",)), die)
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
