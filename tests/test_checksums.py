import json
import os

import pytest

from vae_jax import checksums
from vae_jax.checksums import (
    NAME,
    Damaged,
    check_content,
    check_sealed,
    recorded,
    remove_recorded,
    seal,
    write_recorded,
)


def flipped(content, bit=12):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_file_is_what_was_written_and_nothing_else_is(tmp_path):
    write_recorded(tmp_path, "a.json", "first")
    write_recorded(tmp_path, "b.json", b"other")
    check_content(tmp_path, "a.json", b"first")
    for content in (b"firs", b"", b"first\n", flipped(b"first"), b"other"):
        with pytest.raises(Damaged, match=r"^a.json is damaged or was changed by hand \(its checksum differs\)$"):
            check_content(tmp_path, "a.json", content)
    with pytest.raises(Damaged, match=r"c.json is damaged"):
        check_content(tmp_path, "c.json", b"unknown")
    remove_recorded(tmp_path, "b.json")
    assert sorted(os.listdir(tmp_path)) == ["a.json", NAME]
    assert set(recorded(tmp_path)) == {"a.json"}


@pytest.mark.parametrize("calls", [1, 2])
def test_a_process_killed_at_any_write_leaves_a_file_that_matches_its_record(tmp_path, monkeypatch, calls):
    write_recorded(tmp_path, "a.json", "first")
    write_recorded(tmp_path, "a.json", "second")
    done = []

    def killed(path, content, durable=True):
        done.append(path)
        if len(done) == calls:
            raise KeyboardInterrupt
        write(path, content, durable)

    write = checksums.write_atomically
    monkeypatch.setattr(checksums, "write_atomically", killed)
    for content in ("third", "fourth"):  # and so does the next, which is killed there too
        done.clear()
        with pytest.raises(KeyboardInterrupt):
            write_recorded(tmp_path, "a.json", content)
        check_content(tmp_path, "a.json", (tmp_path / "a.json").read_bytes())
        assert (tmp_path / "a.json").read_text() == "second"
    monkeypatch.setattr(checksums, "write_atomically", write)
    write_recorded(tmp_path, "a.json", "fifth")
    assert len(recorded(tmp_path)["a.json"]) == 2
    for content in (b"third", b"fourth"):
        with pytest.raises(Damaged):
            check_content(tmp_path, "a.json", content)


def test_a_record_that_cannot_be_read_is_damaged_and_a_folder_without_one_is_trusted(tmp_path):
    check_content(tmp_path, "a.json", b"anything")
    for content in ("", "{", "[]", '{"files": 3}', '{"files": {"a": "b"}}', "[" * 100_000):
        (tmp_path / NAME).write_text(content)
        with pytest.raises(Damaged, match=r"^checksums.json is damaged \(.*\)$"):
            recorded(tmp_path)
    (tmp_path / NAME).unlink()
    os.mkfifo(tmp_path / NAME)  # reading a pipe would block
    with pytest.raises(Damaged, match=r"must be a regular file"):
        recorded(tmp_path)


def test_every_damage_of_a_sealed_folder_is_found_when_the_item_is_checked(tmp_path):
    (tmp_path / "best/d").mkdir(parents=True)
    (tmp_path / "last").mkdir()
    files = {"best/d/0": b"0123456789", "best/meta": b"{}", "last/0": b"abc"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Damaged, match=r"checksums.json is missing"):
        check_sealed(tmp_path, ["best"])
    seal(tmp_path)
    check_sealed(tmp_path, ["best", "last"])
    for name, content in files.items():
        item = name.partition("/")[0]
        damages = {
            "cut": content[:-1], "zeroed": bytes(len(content)), "empty": b"", "flipped": flipped(content), "gone": None,
        }  # fmt: skip
        for damage in damages.values():
            (tmp_path / name).unlink() if damage is None else (tmp_path / name).write_bytes(damage)
            with pytest.raises(Damaged, match=f"^{name} is (missing|damaged)"):
                check_sealed(tmp_path, [item])
            check_sealed(tmp_path, {"best", "last"} - {item})
            (tmp_path / name).write_bytes(content)
    with pytest.raises(Damaged, match=r"other is not in checksums.json"):
        check_sealed(tmp_path, ["other"])


def test_names_in_a_record_that_are_not_files_below_the_folder_are_never_opened(tmp_path):
    (tmp_path / "best").mkdir()
    os.mkfifo(tmp_path / "best/pipe")
    for name in ("best/pipe", "best/../../../dev/zero"):
        (tmp_path / NAME).write_text(json.dumps({"files": {name: ["00"]}}))
        with pytest.raises(Damaged, match="is missing"):
            check_sealed(tmp_path, ["best"])
