"""Sharding on one device; 8 devices are tested in `test_many_devices.py`, two processes in `test_two_processes.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from vae_jax.models import mlp_vae
from vae_jax.objectives import Aux
from vae_jax.training import init_train_state, make_evaluate, make_train_epoch
from vae_jax.training.sharding import (
    data_mesh,
    examples_per_device,
    place,
    replicate,
    replicated_sharding,
    shardings_of,
    split_batch,
)

# A mesh of six devices that do not exist: shardings are computed for it, but no array is placed.
MESH = AbstractMesh((3, 2), ("data", "model"), (AxisType.Auto, AxisType.Auto))
EIGHT = AbstractMesh((8, 1), ("data", "model"), (AxisType.Auto, AxisType.Auto))
STATE = jax.eval_shape(
    lambda key: init_train_state(mlp_vae((4, 4, 1), 3, (8,)), optax.adam(1e-3), key), jax.random.key(0)
)


def test_the_mesh_takes_all_devices_or_so_many():
    assert dict(data_mesh().shape) == dict(data_mesh(1, model=1).shape) == {"data": 1, "model": 1}


@pytest.mark.parametrize("count", [0, -1, 2])
def test_devices_that_are_not_there_are_refused(count):
    with pytest.raises(ValueError, match=f"num_devices must be between 1 and the 1 that JAX finds, got {count}"):
        data_mesh(count)


@pytest.mark.parametrize("model", [0, 2])
def test_a_model_axis_that_does_not_divide_the_devices_is_refused(model):
    with pytest.raises(ValueError, match=f"model must divide the 1 devices of the mesh, got {model}"):
        data_mesh(model=model)


def specs(rules):
    leaves = jax.tree.leaves_with_path(jax.tree.map(lambda s: s.spec, shardings_of(STATE, MESH, rules)))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): spec for path, spec in leaves}


def test_without_rules_everything_is_replicated():
    assert set(specs(()).values()) == {PartitionSpec()}


def test_the_first_rule_that_is_found_in_the_path_holds_for_parameters_and_moments():
    split, other = PartitionSpec(None, "model"), PartitionSpec("data")
    found = specs([("encoder/.*kernel", split), ("encoder", PartitionSpec()), ("hidden_0/kernel", other)])
    for prefix in ("params", "opt_state/0/mu", "opt_state/0/nu"):
        assert found[f"{prefix}/encoder/hidden_0/kernel"] == split
        assert found[f"{prefix}/encoder/output/kernel"] == split
        assert found[f"{prefix}/encoder/hidden_0/bias"] == PartitionSpec()
        assert found[f"{prefix}/decoder/hidden_0/kernel"] == other
        assert found[f"{prefix}/decoder/output/kernel"] == PartitionSpec()
    assert found["step"] == found["opt_state/0/count"] == PartitionSpec()


@pytest.mark.parametrize(
    ("pattern", "spec", "message"),
    [
        (
            "encoder/output/kernel",
            PartitionSpec("data"),
            r"0 of params/encoder/output/kernel into 3.*size 8",
        ),
        (
            "decoder/hidden_0/kernel",
            PartitionSpec("model"),
            r"0 of .* into 2 parts, which does not divide its size 3",
        ),
        ("decoder/hidden_0/kernel", PartitionSpec(None, ("data", "model")), r"dimension 1 .* into 6.* its size 8 "),
        ("encoder", PartitionSpec("width"), r"names the axis 'width'; the axes of the mesh are 'data', 'model'"),
        (
            "encoder",
            PartitionSpec(None, None),
            r"params/encoder/hidden_0/bias has the shape \(8,\), too few dimensions",
        ),
        ("encoder/hiden", PartitionSpec("model"), r"'encoder/hiden' matches no path; the paths are step, params/"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused_by_name(pattern, spec, message):
    with pytest.raises(ValueError, match=f"rules: .*{message}"):
        shardings_of(STATE, MESH, [(pattern, spec)])


def test_placed_arrays_and_keys_keep_their_values():
    tree = {"array": np.arange(6.0).reshape(2, 3), "key": jax.random.key(3), "scalar": jnp.int32(4)}
    placed = place(tree, replicated_sharding(data_mesh()))
    np.testing.assert_array_equal(placed["array"], tree["array"])
    assert (placed["key"] == tree["key"]).item()
    assert placed["scalar"].item() == 4
    assert {leaf.sharding for leaf in jax.tree.leaves(placed)} == {replicated_sharding(data_mesh())}


def test_the_part_of_each_device():
    assert [examples_per_device(size, EIGHT) for size in (8, 128)] == [1, 16]


@pytest.mark.parametrize(("size", "wanted"), [(100, "96 or 104"), (129, "128 or 136"), (5, "8")])
def test_a_batch_that_the_devices_do_not_divide_is_refused_with_what_would_be_right(size, wanted):
    message = (
        f"batch_size must be a multiple of 8, the number of devices on the mesh's axis data, got {size}: take {wanted}$"
    )
    with pytest.raises(ValueError, match=message):
        examples_per_device(size, EIGHT)
    with pytest.raises(ValueError, match=message):
        make_train_epoch(lambda *_: None, size, mesh=EIGHT)


def test_an_evaluation_takes_a_batch_that_the_devices_do_not_divide():
    mean = lambda model, params, key, batch: (jnp.mean(batch), Aux({}, None))
    assert make_evaluate(None, mean, 5, EIGHT)({}, jax.random.key(0), jnp.arange(5.0))["loss"] == 2.0
    # As in `fit` on eight devices: two leaves, of which each device gets two examples.
    split = jax.make_jaxpr(lambda batch: split_batch(batch, EIGHT))({"a": jnp.zeros(16), "b": jnp.zeros((16, 3))})
    assert [eqn.params["sharding"].spec for eqn in split.eqns] == [PartitionSpec("data")] * 2
    whole = jax.make_jaxpr(lambda batch: split_batch(batch, EIGHT))({"a": jnp.zeros(12), "b": jnp.zeros((12, 3))})
    assert not whole.eqns


def test_each_device_holds_a_copy_of_all_examples():
    examples = np.arange(21, dtype=np.uint8).reshape(7, 3)
    placed = replicate({"image": examples, "label": np.arange(7)}, data_mesh())
    np.testing.assert_array_equal(placed["image"], examples)
    np.testing.assert_array_equal(placed["label"], np.arange(7))
    assert placed["image"].dtype == jnp.uint8
    assert all(isinstance(leaf, jax.Array) and leaf.is_fully_replicated for leaf in jax.tree.leaves(placed))
