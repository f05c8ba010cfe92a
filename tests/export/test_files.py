"""The folder of an export: its manifest, what may be replaced, and that nothing is left half written."""

import hashlib
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from export.small_models import IMAGE_SHAPE, made
from vae_jax.export import FORMATS, check_can_write, export, read_params, to_stablehlo, verify, write_params
from vae_jax.models import VAE

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
    with pytest.raises(ValueError, match="which holds something else: give another"):
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
        with pytest.raises(ValueError, match=f"--output must be a folder that can be made, got .*: {reason}"):
            check_can_write(None, None, IMAGE_SHAPE, format, tmp_path / place, "--output")
    with pytest.raises(ValueError, match="folder must be a folder that can be made, got"):
        exported(tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_only_the_package_that_may_be_missing_is_asked_for(tmp_path, monkeypatch):
    model, params, _ = made(NAME)
    check = lambda format: check_can_write(model, params, IMAGE_SHAPE, format, tmp_path / "model")
    assert [f.name for f in check("safetensors").written] == ["encoder", "decoder", "sampler"]
    monkeypatch.setitem(sys.modules, "safetensors", None)
    check("onnx"), check("stablehlo")
    with pytest.raises(ValueError, match=r"pip install .vae_jax\[safetensors\]."):
        check("safetensors")
    with pytest.raises(ValueError, match="format must be one of onnx, safetensors, stablehlo, got 'pickle'"):
        check("pickle")
    assert list(tmp_path.iterdir()) == []


def test_a_convolution_is_lowered_for_each_platform():
    decoder = made("conv")[2].written[1]
    module = jax.export.deserialize(bytearray(to_stablehlo(decoder))).mlir_module()
    assert "stablehlo.convolution" in module and "stablehlo.dot_general" in module  # GPUs' and TPUs' form, and a CPU's


TREE = {
    "network": {"kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3), "scale": np.float32(2.5)},
    "buffers": {"counts": np.array([1, 2], np.int32), "step": np.int32(7), "seen": np.array([True, False])},
    "layers": [jnp.asarray([1.5, -3.0], jnp.bfloat16)],
}
MODEL = VAE(lambda key: jax.tree.map(jnp.asarray, TREE), None, None, None)


def test_every_kind_of_leaf_comes_back(tmp_path):
    path = tmp_path / "params.safetensors"
    write_params(TREE, path, {"note": "mine"})
    found = read_params(MODEL, path)
    assert jax.tree.structure(found) == jax.tree.structure(TREE)
    for leaf, original in zip(jax.tree.leaves(found), jax.tree.leaves(TREE), strict=True):
        assert leaf.dtype == original.dtype and leaf.shape == original.shape
        np.testing.assert_array_equal(np.asarray(leaf, np.float32), np.asarray(original, np.float32))
    names = {"buffers/counts", "buffers/seen", "buffers/step", "layers/0", "network/kernel", "network/scale"}
    assert load_file(path).keys() == names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network/scale": None}, "does not belong to this model: it lacks network/scale, which the model has"),
        ({"more": np.ones(2)}, "does not belong to this model: it has more, which the model lacks"),
        (
            {"network/kernel": np.ones((3, 2), np.float32)},
            r"network/kernel is float32\[3, 2\] in the file, the model has float32\[2, 3\]",
        ),
        (
            {"buffers/step": np.array(7, np.float32)},
            r"buffers/step is float32\[\] in the file, the model has int32\[\]",
        ),
    ],
)
def test_parameters_of_another_model_are_refused(tmp_path, change, message):
    path = tmp_path / "params.safetensors"
    write_params(TREE, path)
    arrays = {name: array for name, array in (load_file(path) | change).items() if array is not None}
    save_file(arrays, path)
    with pytest.raises(ValueError, match=message):
        read_params(MODEL, path)


def saved(tmp_path, header=None, data=b"", **arrays):
    """A file with this header, or of these arrays."""
    path = tmp_path / "params.safetensors"
    if header is None:
        save_file(arrays, path)
    else:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_a_file_that_lies_about_its_size_is_refused_before_memory_is_taken(tmp_path, monkeypatch):
    one = VAE(lambda key: {"a": jnp.zeros(3)}, None, None, None)
    entry = lambda shape, offsets, dtype="F32": {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}
    np.testing.assert_array_equal(read_params(one, saved(tmp_path, entry([3], [0, 12]), bytes(12)))["a"], np.zeros(3))
    monkeypatch.setattr("safetensors.numpy.load_file", None)  # called by none of these
    huge, whole = 10**12, 2**63 - 1
    for message, header, data in (
        ("places arrays over one another, with gaps, or in another size", entry([huge], [0, 12]), bytes(12)),
        ("bytes long, but its header says 4,000,000,000,0", entry([huge], [0, 4 * huge]), b""),
        (r"a is float32\[4\] in the file, the model has float32\[3\]", entry([4], [0, 16]), bytes(16)),
        ("no type, shape and place of 'a' that this version reads", entry([-1], [0, 4]), bytes(4)),
        ("no type, shape and place of 'a'", entry([3], [0, 12], "F7"), bytes(12)),
        ("no type, shape and place of 'a'", entry([whole + 1], [0, 12]), bytes(12)),
        ("no type, shape and place of 'a'", {"a": [1]}, b""),
        ("must be nested at most 64 deep", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b""),
        ("is no valid JSON", b"{" * 10, b""),
        ("can't decode byte", b"\xff" * 10, b""),
    ):
        with pytest.raises(ValueError, match=message):
            read_params(one, saved(tmp_path, header, data))
    path = saved(tmp_path, entry([3], [0, 12]), bytes(12))
    path.write_bytes((10**15).to_bytes(8, "little") + path.read_bytes()[8:])
    with pytest.raises(ValueError, match="its header says that it is 1,000,000,000,000,000 bytes long, of a file of"):
        read_params(one, path)
    monkeypatch.setattr("vae_jax.export._safetensors_files.memory_bytes", lambda: 50)
    with pytest.raises(ValueError, match="bytes of memory, but there are 50"):
        read_params(one, saved(tmp_path, entry([3], [0, 12]), bytes(12)))


def test_numbers_that_are_not_finite_are_refused_by_the_name_of_their_array(tmp_path):
    path = saved(tmp_path, a=np.array([1, np.nan, -np.inf], np.float32))
    with pytest.raises(ValueError, match=r"params.safetensors: a holds 2 numbers that are not finite"):
        read_params(VAE(lambda key: {"a": jnp.zeros(3)}, None, None, None), path)


def test_an_export_is_compared_with_the_checksums_of_its_manifest(tmp_path):
    folder = tmp_path / "model"
    beside = {"config.json": "{}", "summary.json": '{"a": 1}', "MODEL.md": "# A"}
    exported(folder, beside=beside)
    said = json.loads((folder / "manifest.json").read_text())
    assert set(said["checksums"]) == set(said["files"]) == {*beside, "params.safetensors"}
    digest = hashlib.sha256(b"{}").hexdigest()
    assert said["checksums"]["config.json"] == {"size": 2, "sha256": digest}
    assert verify(folder)
    (folder / "MODEL.md").write_text("my own words")  # it is for people
    assert verify(folder)
    for name in ("params.safetensors", "config.json", "summary.json"):
        whole = (folder / name).read_bytes()
        changed = bytes([whole[0] ^ 1]) + whole[1:]
        for damage in (whole[:-1], whole + b" ", b"", changed):
            (folder / name).write_bytes(damage)
            with pytest.raises(ValueError, match=f"{name} is not the file that manifest.json describes"):
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
    assert not verify(folder)  # of an earlier version
    (folder / "manifest.json").unlink()
    assert not verify(folder)


def test_what_is_no_file_of_parameters_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        read_params(MODEL, tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not a header at all")
    with pytest.raises(ValueError, match="path must be a safetensors file, got"):
        read_params(MODEL, tmp_path / "broken.safetensors")
    with pytest.raises(ValueError, match="two have the same: a name in it has a slash"):
        write_params({"a/b": jnp.zeros(1), "a": {"b": jnp.zeros(1)}}, tmp_path / "params.safetensors")
