"""Folder of an export: its manifest, and replacement of earlier exports."""

import hashlib
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors import safe_open

import vae_jax
from export.small_models import IMAGE_SHAPE, made
from vae_jax.export import FORMATS, check_can_write, export, to_stablehlo, verify

NAME = "mlp-bernoulli"


def exported(folder, format="safetensors", **changed):
    model, params, _ = made(NAME)
    arguments = {"model": model, "params": params, "image_shape": IMAGE_SHAPE, "config": {"seed": 3}} | changed
    return export(format=format, folder=folder, **arguments)


def test_the_manifest_describes_the_files(tmp_path):
    paths = exported(tmp_path / "deep/model", "onnx")
    names = ["encoder.onnx", "decoder.onnx", "sampler.onnx", "manifest.json"]
    assert [path.name for path in paths] == names and all(path.is_file() for path in paths)
    assert sorted(p.name for p in (tmp_path / "deep").rglob("*") if p.is_file()) == sorted(names)
    manifest = json.loads(paths[-1].read_text())
    assert (manifest["producer"], manifest["format_version"], manifest["format"]) == ("vae_jax export", 1, "onnx")
    assert manifest["config"] == {"seed": 3} and manifest["image_shape"] == [8, 8, 1] and manifest["left_out"] == {}
    assert manifest["versions"].keys() == {"vae_jax", "jax", "onnx"} and manifest["files"] == sorted(names[:3])
    encoder = manifest["functions"]["encoder"]
    assert encoder["file"] == "encoder.onnx"
    assert {k: v for k, v in encoder["inputs"][0].items() if k != "meaning"} == {
        "name": "x",
        "shape": ["N", 8, 8, 1],
        "dtype": "float32",
    }
    assert [output["name"] for output in encoder["outputs"]] == ["mean", "standard_deviation"]


def test_an_export_is_replaced_and_nothing_else_is(tmp_path):
    folder = tmp_path / "model"
    exported(folder, config={"seed": 1})
    exported(folder, config={"seed": 2})
    assert json.loads((folder / "manifest.json").read_text())["config"] == {"seed": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]  # what was written beside it is gone
    (folder / "notes.txt").write_text("mine")
    for taken in (folder, folder / "notes.txt"):
        with pytest.raises(ValueError, match="folder must be new, empty or an earlier export, got"):
            exported(taken)
    assert (folder / "notes.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    exported(tmp_path / "empty")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/manifest.json").write_text('{"name": "an app"}')
    with pytest.raises(ValueError, match="which holds other files: give another"):
        exported(tmp_path / "other")


def test_an_export_that_fails_leaves_the_former_one(tmp_path):
    folder = tmp_path / "model"
    exported(folder)
    model, params, _ = made(NAME)
    broken = model._replace(decode=lambda params, z: model.decode(params, jax.scipy.special.gammainc(2.0, z)))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match="the function 'decoder' cannot be written as ONNX"):
        export(broken, params, IMAGE_SHAPE, "onnx", folder, {})
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_format_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="format must be one of onnx, safetensors, stablehlo, got 'pickle'"):
        exported(tmp_path / "model", "pickle")
    assert set(FORMATS) == {"onnx", "safetensors", "stablehlo"} and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("notes.txt/model", "Not a directory"),
        ("notes.txt/deep/model", "Not a directory"),
        ("x" * 300, "File name too long"),
        pytest.param(
            "/proc/model", "", marks=pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
        ),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_computed(tmp_path, place, reason):
    (tmp_path / "notes.txt").write_text("mine")
    for format in FORMATS:
        with pytest.raises(ValueError, match=f"--output must be a folder that can be created, got .*: {reason}"):
            check_can_write(None, None, IMAGE_SHAPE, format, tmp_path / place, "--output")
    with pytest.raises(ValueError, match="folder must be a folder that can be created, got"):
        exported(tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_convolution_is_lowered_for_each_platform():
    decoder = made("conv")[2].written[1]
    module = jax.export.deserialize(bytearray(to_stablehlo(decoder))).mlir_module()
    assert "stablehlo.convolution" in module and "stablehlo.dot_general" in module  # GPUs' and TPUs' form, and a CPU's


def test_the_parameters_are_a_file_that_is_loaded_and_says_who_wrote_it(tmp_path):
    exported(tmp_path / "model")
    model, params, _ = made(NAME)
    found = vae_jax.load_params(tmp_path / "model/params.safetensors", model)
    jax.tree.map(np.testing.assert_array_equal, found, params)
    with safe_open(tmp_path / "model/params.safetensors", "numpy") as file:
        assert file.metadata()["producer"] == "vae_jax export"


def test_an_export_is_compared_with_the_checksums_of_its_manifest(tmp_path):
    folder = tmp_path / "model"
    extra_files = {"config.json": "{}", "summary.json": '{"a": 1}', "MODEL.md": "# A"}
    exported(folder, extra_files=extra_files)
    said = json.loads((folder / "manifest.json").read_text())
    assert set(said["checksums"]) == set(said["files"]) == {*extra_files, "params.safetensors"}
    digest = hashlib.sha256(b"{}").hexdigest()
    assert said["checksums"]["config.json"] == {"size": 2, "sha256": digest}
    assert verify(folder)
    (folder / "MODEL.md").write_text("my own words")  # not verified: no program reads it
    assert verify(folder)
    for name in ("params.safetensors", "config.json", "summary.json"):
        whole = (folder / name).read_bytes()
        changed = bytes([whole[0] ^ 1]) + whole[1:]
        for damage in (whole[:-1], whole + b" ", b"", changed):
            (folder / name).write_bytes(damage)
            with pytest.raises(ValueError, match=f"{name} does not match its checksum in manifest.json"):
                verify(folder)
        (folder / name).unlink()
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            verify(folder)
        (folder / name).write_bytes(whole)
    for manifest in ("", "[]", '{"files": 3}', '{"files": ["a/b"]}', '{"files": [3]}', '{"checksums": {"/etc": {}}}'):
        (folder / "manifest.json").write_text(manifest)
        with pytest.raises(ValueError, match=r"manifest\.json"):
            verify(folder)
    del said["checksums"]
    (folder / "manifest.json").write_text(json.dumps(said))
    assert not verify(folder)  # an export of an earlier version
    (folder / "manifest.json").unlink()
    assert not verify(folder)
