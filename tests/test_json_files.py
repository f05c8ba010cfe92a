"""JSON of unknown origin is read within bounds, with clear errors."""

import os

import pytest

from vae_jax.json_files import MAX_DEPTH, parse_object, read_text


def test_a_file_is_read_if_it_is_a_regular_one_of_a_bounded_size_in_utf_8(tmp_path):
    (tmp_path / "a").write_bytes("ü1".encode())
    assert read_text(tmp_path / "a") == "ü1"
    assert read_text(tmp_path / "a", max_bytes=3) == "ü1"
    with pytest.raises(ValueError, match="it must be at most 2 bytes, got 3"):
        read_text(tmp_path / "a", max_bytes=2)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(ValueError, match="it must be at most 67,108,864 bytes, got 1,000,000,000,000"):
        read_text(tmp_path / "sparse")
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(ValueError, match="it must be a regular file"):
            read_text(tmp_path / name)
    (tmp_path / "latin").write_bytes(b"\xfc")
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "latin")


def test_an_object_is_parsed_if_it_is_one_of_a_bounded_depth():
    nested = lambda depth: '{"a": ' + "[" * (depth - 1) + "1" + "]" * (depth - 1) + "}"
    assert parse_object('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    assert list(parse_object(nested(MAX_DEPTH))) == ["a"]
    for text, message in {
        nested(MAX_DEPTH + 1): "must be nested at most 64 deep",
        nested(200_000): "must be nested at most 64 deep",
        '{"a": ' * 200_000: "must be nested at most 64 deep|is not valid JSON",
        '{"a": 1': "is not valid JSON",
        "": "is not valid JSON",
        "[1]": r"must hold a JSON object, got \[1\]",
        '"\\u001b\x7f"': "must hold a JSON object, got ",
        '{"a": ' + "1" * 5000 + "}": "limit",
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            parse_object(text)
        assert str(error.value).isprintable()
