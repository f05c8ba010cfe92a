import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from models.code_priors.tiny_priors import call, call_each, random_params
from networks.influence import earlier, influence
from vae_jax.networks import gated_pixel_cnn
from vae_jax.networks._gated_pixel_cnn import GatedLayer

K = 4


def influence_on(grid, layers, kernel_size):
    network = gated_pixel_cnn(K, grid, 2, layers, channels=6, kernel_size=kernel_size)
    return influence(network, grid[0] * grid[1], K)


@pytest.mark.parametrize(
    ("grid", "layers", "kernel_size"), [((4, 5), 4, 3), ((5, 4), 2, 5), ((1, 4), 3, 3), ((4, 1), 2, 3)]
)
def test_each_place_reads_every_earlier_place_and_nothing_else(grid, layers, kernel_size):
    # No earlier place is missing: there is no blind spot.
    np.testing.assert_array_equal(influence_on(grid, layers, kernel_size), earlier(grid[0] * grid[1]))


@pytest.mark.parametrize(("layers", "kernel_size"), [(2, 3), (1, 5)])
def test_each_place_reads_the_range_in_the_docstring(layers, kernel_size):
    rows, columns, reach = 5, 8, layers * (kernel_size // 2)
    expected = np.zeros((rows, columns, rows, columns), bool)
    for i, j, a, b in np.ndindex(expected.shape):
        above = i - 1 - reach <= a <= i - 1 and abs(b - j) <= reach
        before = a == i and j - 1 - reach <= b <= j - 1
        expected[i, j, a, b] = above or before
    found = influence_on((rows, columns), layers, kernel_size)
    np.testing.assert_array_equal(found, expected.reshape(found.shape))


def test_a_layer_agrees_with_numpy_place_by_place():
    rows, columns, channels, radius = 3, 4, 2, 1
    module = GatedLayer(num_classes=1, radius=radius)
    rng = np.random.default_rng(0)
    v, h = (rng.normal(size=(rows, columns, channels)).astype(np.float32) for _ in range(2))
    params = random_params(lambda key: module.init(key, v, h, jnp.int32(0))["params"])
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    gate = lambda x: np.tanh(x[:channels]) * scipy.special.expit(x[channels:])
    for label in (0, 1):
        new_v, new_h = module.apply({"params": params}, v, h, jnp.int32(label))
        for i, j in np.ndindex(rows, columns):
            vertical = p["vertical"]["bias"] + p["vertical_label"][label]
            horizontal = p["horizontal"]["bias"] + p["horizontal_label"][label]
            for a in range(radius + 1):
                for b in range(2 * radius + 1):
                    row, column = i - radius + a, j - radius + b
                    if row >= 0 and 0 <= column < columns:
                        vertical += v[row, column] @ p["vertical"]["kernel"][a, b]
            for b in range(radius + 1):
                if j - radius + b >= 0:
                    horizontal += h[i, j - radius + b] @ p["horizontal"]["kernel"][0, b]
            horizontal += vertical @ p["across"]["kernel"] + p["across"]["bias"]
            np.testing.assert_allclose(new_v[i, j], gate(vertical), rtol=1e-4, atol=1e-5)
            added = gate(horizontal) @ p["horizontal_output"]["kernel"] + p["horizontal_output"]["bias"]
            np.testing.assert_allclose(new_h[i, j], h[i, j] + added, rtol=1e-4, atol=1e-5)


def test_every_place_reads_the_label_and_a_label_that_does_not_exist_is_nan():
    network = gated_pixel_cnn(K, (2, 3), 2, layers=2, channels=6)
    params, codes = random_params(network.init), jnp.zeros(6, jnp.int32)
    logits = np.asarray(call_each(network.logits, (None, None, 0), params, codes, jnp.arange(4)))
    for a, b in [(0, 1), (0, 2), (1, 2)]:
        assert np.all(np.abs(logits[a] - logits[b]).max(axis=-1) > 1e-3)
    assert np.isnan(logits[3]).all() and np.isfinite(logits[:3]).all()


def test_parameters_are_a_plain_dict_with_stable_names():
    network = gated_pixel_cnn(K, (2, 3), 2, layers=2, channels=6, kernel_size=5)
    params = jax.eval_shape(network.init, jax.random.key(0))
    assert type(params["layer_1"]) is dict
    shapes = jax.tree.map(jnp.shape, params)
    assert set(shapes) == {"code", "layer_0", "layer_1", "hidden", "output"}
    assert shapes["layer_0"]["vertical"]["kernel"] == (3, 5, 6, 12)
    assert shapes["layer_0"]["horizontal"]["kernel"] == (1, 3, 6, 12)
    assert shapes["layer_0"]["vertical_label"] == shapes["layer_0"]["horizontal_label"] == (3, 12)


@pytest.mark.slow
def test_a_new_network_predicts_almost_uniformly():
    network = gated_pixel_cnn(512, (4, 4), layers=1, channels=64)
    params = jax.jit(network.init)(jax.random.key(0))
    log_probs = jax.nn.log_softmax(jax.jit(network.logits)(params, jnp.arange(16), jnp.int32(0)))
    np.testing.assert_allclose(np.mean(log_probs), -np.log(512), atol=0.1)
    assert np.std(log_probs) < 0.5


@pytest.mark.slow
def test_bfloat16_parameters_give_float32_logits():
    network = gated_pixel_cnn(K, (2, 3), layers=2, channels=6)
    params, codes = random_params(network.init), jnp.arange(6) % K
    cast = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    full, half = (call(network.logits, p, codes, jnp.int32(0)) for p in (params, cast))
    assert half.dtype == jnp.float32
    assert 1e-4 < np.abs(half - full).max() < 0.1 < np.std(full)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_codes": 0}, "num_codes must be at least 1, got 0"),
        ({"grid": (0, 4)}, r"grid must be \(rows, columns\), both at least 1, got \(0, 4\)"),
        ({"grid": (4,)}, r"grid must be \(rows, columns\), both at least 1, got \(4,\)"),
        ({"num_classes": -1}, "num_classes must be at least 0, got -1"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"kernel_size": 4}, "kernel_size must be odd and at least 3, got 4"),
        ({"kernel_size": 1}, "kernel_size must be odd and at least 3, got 1"),
    ],
)
def test_bad_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        gated_pixel_cnn(**{"num_codes": 4, "grid": (2, 2), **arguments})
