"""Files of parameters: saved parameters are restored; damaged, foreign and other models' files are refused."""

import json
import struct
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import vae_jax
from fresh import some_params
from vae_jax import params_file
from vae_jax.models import likelihoods
from vae_jax.params_file import check_finite, check_params

MODEL = vae_jax.mlp_vae((3, 2), 2, (4,), likelihoods.bernoulli)


class Pair(NamedTuple):
    first: Any
    second: Any


class Init:
    """A model of one function."""

    def __init__(self, tree):
        self.init = lambda key: tree


def assert_same(found, tree):
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(tree), strict=True):
        assert isinstance(a, jax.Array) and a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, strict=True)


def test_a_model_has_the_same_parameters_and_numbers_after_it_is_loaded(tmp_path):
    params = MODEL.init(jax.random.key(3))
    vae_jax.save_params(tmp_path / "params", params)
    found = vae_jax.load_params(str(tmp_path / "params"), MODEL)
    assert_same(found, params)
    x = jnp.ones((3, 2))
    np.testing.assert_array_equal(MODEL.encode(found, x).mean, MODEL.encode(params, x).mean)
    assert [path.name for path in tmp_path.iterdir()] == ["params"]  # no temporary file is left


def test_every_type_rank_and_tree_is_kept_bit_for_bit(tmp_path):
    types = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "bfloat16", "float32")
    tree = {
        "types": {name: jnp.arange(6).reshape(2, 3).astype(name) for name in types},
        "parts": (jnp.float32(jnp.nan), [jnp.zeros((0, 4)), jnp.full((2, 1, 2), -0.0)], None),
        "buffers": {"counts": jnp.arange(3)},
        "pair": Pair(jnp.ones(2), jnp.zeros(3)),
    }
    vae_jax.save_params(tmp_path / "params", tree)
    assert_same(vae_jax.load_params(tmp_path / "params", Init(tree)), tree)
    vae_jax.save_params(tmp_path / "params", tree["types"]["int8"])  # replaced; a tree of one leaf
    assert_same(vae_jax.load_params(tmp_path / "params", Init(jnp.zeros((2, 3), "int8"))), tree["types"]["int8"])


TREE = {
    "network": {"kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3), "scale": np.float32(2.5)},
    "buffers": {"counts": np.array([1, 2], np.int32), "step": np.int32(7), "seen": np.array([True, False])},
    "layers": [jnp.asarray([1.5, -3.0, jnp.inf], jnp.bfloat16), np.arange(5, dtype=np.uint8), np.float16([-0.0])],
}
ARRAYS = {
    "network/kernel": TREE["network"]["kernel"],
    "network/scale": np.asarray(TREE["network"]["scale"]),
    "buffers/counts": TREE["buffers"]["counts"],
    "buffers/step": np.asarray(TREE["buffers"]["step"]),
    "buffers/seen": TREE["buffers"]["seen"],
    "layers/0": np.asarray(TREE["layers"][0]),
    "layers/1": TREE["layers"][1],
    "layers/2": TREE["layers"][2],
}


def test_the_package_safetensors_reads_what_is_written_here_and_the_other_way_round(tmp_path):
    path = tmp_path / "params"
    vae_jax.save_params(path, TREE, {"producer": "me"})
    found = load_file(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    with safe_open(path, "numpy") as file:
        assert file.metadata()["producer"] == "me" and file.metadata().keys() == {"format", "sha256", "producer"}
    as_jax = jax.tree.map(jnp.asarray, TREE)
    for metadata in (None, {"producer": "vae_jax export"}, {"format": "pt"}):  # earlier exports, and other programs
        save_file(ARRAYS, path, metadata)
        assert_same(vae_jax.load_params(path, Init(as_jax)), as_jax)
    with pytest.raises(ValueError, match="metadata must not use the reserved names format and sha256, got 'sha256'"):
        vae_jax.save_params(path, TREE, {"sha256": "0"})


def test_numbers_that_are_not_finite_are_told_by_their_place():
    check_finite({"a": jnp.ones(3), "b": jnp.arange(3), "c": jnp.array([True])})
    for wrong in (jnp.array([1, jnp.nan, -jnp.inf]), jnp.array([jnp.inf, jnp.nan, 0], jnp.bfloat16)):
        with pytest.raises(ValueError, match=r"^params\['b'\]\[0\] holds 2 numbers that are not finite$"):
            check_finite({"a": jnp.ones(3), "b": [wrong]})


OTHERS = {
    "a leaf of another shape": (
        vae_jax.mlp_vae((3, 2), 2, (5,), likelihoods.bernoulli),
        r"params\['decoder'\]\['hidden_0'\]\['bias'\] is float32\[4\] {where}, but float32\[5\] in the model",
    ),
    "a leaf of another type": (
        Init(jax.tree.map(lambda leaf: np.asarray(leaf).astype("bfloat16"), some_params(MODEL))),
        r"params\['decoder'\]\['hidden_0'\]\['bias'\] is float32\[4\] {where}, but bfloat16\[4\] in the model",
    ),
    "a layer more": (
        vae_jax.mlp_vae((3, 2), 2, (4, 4), likelihoods.bernoulli),
        r"params\['decoder'\]\['hidden_1'\]\['bias'\] of the model is missing {where}",
    ),
    "a part less": (
        Init({"decoder": some_params(MODEL)["decoder"]}),
        "'encoder/hidden_0/bias' {where} is missing in the model",
    ),
}


def test_another_model_is_refused_with_the_leaf_that_differs(tmp_path):
    params = MODEL.init(jax.random.key(0))
    vae_jax.save_params(tmp_path / "params", params)
    check_params(jax.tree.map(np.asarray, params), MODEL)
    for what, (model, words) in OTHERS.items():
        in_file, here = (words.replace("{where}", where) for where in ("in the file", "here"))
        with pytest.raises(ValueError, match=f"params does not belong to this model: {in_file}") as caught:
            vae_jax.load_params(tmp_path / "params", model)
        assert "\n" not in str(caught.value), what
        with pytest.raises(ValueError, match=f"^params do not belong to this model: {here}"):
            check_params(params, model)
    with pytest.raises(TypeError, match=r"model must have an init, such as a vae_jax.VAE, got dict"):
        vae_jax.load_params(tmp_path / "params", MODEL.init(jax.random.key(0)))


def test_a_damage_of_any_byte_or_a_cut_anywhere_is_found(tmp_path):
    tree = {"a": jnp.arange(3.0), "b": {"c": jnp.int8([1, 2])}}
    path = tmp_path / "params"
    vae_jax.save_params(path, tree)
    whole = path.read_bytes()
    damaged = [whole[:i] + bytes([whole[i] ^ flip]) + whole[i + 1 :] for i in range(len(whole)) for flip in (1, 128)]
    cut = [whole[:end] for end in range(len(whole))]
    for content in (*damaged, *cut, whole + b"\0", b"", whole * 2):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"^(path must be a safetensors file|.*params (is|does))") as it:
            vae_jax.load_params(path, Init(tree))
        assert "\n" not in str(it.value)


def header_of(fields, content=b""):
    text = json.dumps(fields).encode()
    return struct.pack("<Q", len(text)) + text + content


ENTRY = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
KNOWN = {"__metadata__": {"format": "vae_jax params 1", "sha256": "0"}}
STRANGERS = {
    "an .npz": (None, "its header claims a length of"),
    "a pickle": (b"\x80\x04\x95" + b"c" * 40, "its header claims a length of"),
    "a later format": (
        header_of({"__metadata__": {"format": "vae_jax params 2", "sha256": "0"}, "a": ENTRY}, bytes(12)),
        'the format must be "vae_jax params 1"',
    ),
    "metadata of numbers": (header_of({"__metadata__": {"format": 1}}), "its metadata must be texts by name"),
    "no metadata but a list": (header_of({"__metadata__": []}), "its metadata must be texts by name"),
    "another checksum": (header_of({**KNOWN, "a": ENTRY}, bytes(12)), "damaged or was changed: its checksum differs"),
    "no checksum": (
        header_of({"__metadata__": {"format": "vae_jax params 1"}, "a": ENTRY}, bytes(12)),
        "damaged or was changed: its checksum differs",
    ),
    "a size that is a lie": (
        header_of({**KNOWN, "a": {"dtype": "F32", "shape": [2**60], "data_offsets": [0, 2**62]}}),
        "bytes by its header, got",
    ),
    "a header that is a lie": (struct.pack("<Q", 2**60) + b"{}", "its header claims a length of"),
    "arrays over one another": (
        header_of({**KNOWN, "a": ENTRY, "b": ENTRY}, bytes(12)),
        "arrays that overlap",
    ),
    "a shape below 0": (
        header_of({**KNOWN, "a": {**ENTRY, "shape": [-3]}}, bytes(12)),
        "a supported type, a shape and offsets of 'a'",
    ),
    "a type that is not known": (
        header_of({**KNOWN, "a": {**ENTRY, "dtype": "F7"}}, bytes(12)),
        "a supported type, a shape and offsets of 'a'",
    ),
    "no JSON": (struct.pack("<Q", 10) + b"{" * 10, "is not valid JSON"),
    "no text": (struct.pack("<Q", 10) + b"\xff" * 10, "can't decode byte"),
    "lists within lists": (struct.pack("<Q", 20_000) + b"[" * 20_000, "nested at most"),
}


def test_strangers_are_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "params"
    np.savez(tmp_path / "other.npz", a=np.arange(3.0))
    for what, (content, words) in STRANGERS.items():
        path.write_bytes((tmp_path / "other.npz").read_bytes() if content is None else content)
        with pytest.raises(ValueError, match=words) as caught:
            vae_jax.load_params(path, Init({"a": jnp.arange(3.0)}))
        assert str(path) in str(caught.value) and "\n" not in str(caught.value), what
    for missing, words in ((tmp_path / "none", "there is no such file"), (tmp_path, "it must be a regular file")):
        with pytest.raises(ValueError, match=words):
            vae_jax.load_params(missing, MODEL)


def test_what_does_not_fit_in_memory_is_refused(tmp_path, monkeypatch):
    vae_jax.save_params(tmp_path / "params", {"a": jnp.zeros(1000)})
    monkeypatch.setattr(params_file, "memory_bytes", lambda: 4000)
    with pytest.raises(ValueError, match=r"params needs 4,\d\d\d bytes of memory, but there are only 4,000"):
        vae_jax.load_params(tmp_path / "params", Init({"a": jnp.zeros(1000)}))


REFUSED = {
    "a PRNG key": (
        lambda: {"a": jax.random.key(0)},
        r"params\['a'\] must be an array of numbers, got a PRNG key: save jax",
    ),
    "complex": (lambda: {"a": [jnp.zeros(2, complex)]}, r"params\['a'\]\[0\] has the type complex64, which a safetens"),
    "a text": (lambda: {"a": "words"}, r"params\['a'\] must be an array of numbers, got str"),
    "objects": (lambda: {"a": np.array([{}])}, r"params\['a'\] has the type object"),
    "one path": (
        lambda: {"a/b": jnp.zeros(1), "a": {"b": jnp.ones(1)}},
        r"has the name 'a/b' in a file, which is used",
    ),
    "a reserved name": (lambda: {"__metadata__": jnp.zeros(1)}, "rename it"),
}


def test_what_is_no_parameter_is_refused_by_its_place_and_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "params"
    vae_jax.save_params(path, {"a": jnp.zeros(1)})
    before = path.read_bytes()
    for what, (make, words) in REFUSED.items():
        with pytest.raises(ValueError, match=words):
            vae_jax.save_params(path, make())
        assert path.read_bytes() == before, what
    with pytest.raises(ValueError, match=r"params\['a'\] must be .*, got a PRNG key"):
        vae_jax.load_params(path, Init({"a": jax.random.key(0)}))
    with pytest.raises(FileNotFoundError):
        vae_jax.save_params(tmp_path / "none" / "params", {"a": jnp.zeros(1)})
