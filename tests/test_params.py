"""`split_buffers` and `join_buffers`: leaves of params with and without gradients."""

import numpy as np

from vae_jax.params import join_buffers, split_buffers


def test_splitting_takes_the_top_level_key_off_and_joining_puts_it_back():
    params = {"net": {"buffers": 1, "w": 2}, "buffers": {"count": np.arange(3)}}
    trained, buffers = split_buffers(params)
    assert trained == {"net": {"buffers": 1, "w": 2}}  # a key of that name further down is trained
    assert buffers is params["buffers"]
    joined = join_buffers(trained, buffers)
    assert joined.keys() == params.keys()
    assert joined["net"] == params["net"]
    assert joined["buffers"] is params["buffers"]
    assert "buffers" in params  # the argument is unchanged
    assert "buffers" not in trained


def test_params_without_buffers_pass_unchanged():
    params = {"net": {"w": 2}}
    trained, buffers = split_buffers(params)
    assert trained is params
    assert buffers is None
    assert join_buffers(trained, buffers) is params


def test_params_that_are_no_dict_pass_unchanged():
    params = [1.0, 2.0]
    assert split_buffers(params) == (params, None)
    assert join_buffers(*split_buffers(params)) is params


def test_empty_buffers_are_kept_apart_from_none():
    trained, buffers = split_buffers({"w": 1, "buffers": {}})
    assert join_buffers(trained, buffers) == {"w": 1, "buffers": {}}
