import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from models.code_priors.tiny_priors import call, call_each, random_params
from networks.influence import earlier, influence
from networks.programs import products_of
from vae_jax.networks import bidirectional_transformer, causal_transformer
from vae_jax.networks._transformer import attention

K, T, CLASSES = 5, 7, 3
SIZES = {"layers": 2, "width": 12, "heads": 3}
CAUSAL = causal_transformer(K, T, CLASSES, **SIZES)
BIDIRECTIONAL = bidirectional_transformer(K, T, CLASSES, **SIZES)
CODES = jnp.asarray(np.random.default_rng(0).integers(0, K, T), jnp.int32)
builders = pytest.mark.parametrize("build", [causal_transformer, bidirectional_transformer])


def step_by_step(network, params, codes, label):
    """Logits `[T, K]`, computed one position at a time with the cache."""

    def step(cache, inputs):
        position, previous = inputs
        logits, cache = network.step(params, cache, position, previous, label)
        return cache, logits

    inputs = (jnp.arange(len(codes)), jnp.concatenate([jnp.zeros(1, codes.dtype), codes[:-1]]))
    return jax.lax.scan(step, network.start(params), inputs)[1]


STEPPED = functools.partial(step_by_step, CAUSAL)


# --------------------------------------------------------------------------------------------------------- attention


def test_attention_agrees_with_numpy_head_by_head():
    rng = np.random.default_rng(0)
    queries, keys, values = (rng.normal(size=(n, 2, 3)).astype(np.float32) for n in (4, 6, 6))
    visible = rng.random((4, 6)) < 0.5
    visible[:, 2] = True
    expected = np.zeros((4, 2, 3))
    for q in range(4):
        for h in range(2):
            logits = keys[visible[q], h].astype(np.float64) @ queries[q, h] / np.sqrt(3)
            expected[q, h] = scipy.special.softmax(logits) @ values[visible[q], h]
    np.testing.assert_allclose(attention(queries, keys, values, visible), expected, rtol=1e-5, atol=1e-6)


def test_attention_in_bfloat16_has_float32_logits():
    # Logits 200.5 and 200: bfloat16 has only whole numbers near 200, and would give both keys a weight of 1/2.
    queries = jnp.asarray([[[2.0, 2.0, 0.0, 0.0]]], jnp.bfloat16)
    keys = jnp.asarray([[[200.0, 0.5, 0.0, 0.0]], [[200.0, 0.0, 0.0, 0.0]]], jnp.bfloat16)
    values = jnp.asarray([[[1.0] * 4], [[0.0] * 4]], jnp.bfloat16)
    mixed = attention(queries, keys, values, jnp.ones((1, 2), bool))
    assert mixed.dtype == jnp.bfloat16
    np.testing.assert_allclose(mixed.astype(jnp.float32), np.full((1, 1, 4), scipy.special.expit(0.5)), rtol=2**-8)


def test_extreme_logits_of_attention_have_finite_gradients():
    visible = jnp.asarray([[True, False], [True, True]])
    mean = lambda q, k, v: jnp.sum(attention(q, k, v, visible))
    queries, values = jnp.full((2, 1, 1), 20.0), jnp.ones((2, 1, 1))
    for keys in (jnp.full((2, 1, 1), 10.0), jnp.asarray([-10.0, 10.0]).reshape(2, 1, 1)):
        assert all(np.all(np.isfinite(g)) for g in jax.grad(mean, argnums=(0, 1, 2))(queries, keys, values))


# --------------------------------------------------------------------------------------------------------- causality


def test_each_row_of_the_causal_logits_reads_exactly_the_codes_before_it():
    np.testing.assert_array_equal(influence(CAUSAL, T, K), earlier(T))


def test_no_gradient_flows_from_a_row_to_the_key_or_value_of_a_later_code():
    # The gradient in the embedding of a code that occurs only at places 4 and later.
    params, codes = random_params(CAUSAL.init), jnp.asarray([0, 1, 2, 0, 4, 1, 4], jnp.int32)
    row_sums = lambda params: jnp.sum(CAUSAL.logits(params, codes, jnp.int32(0)) ** 2, axis=1)
    gradient = np.asarray(jax.jit(jax.jacrev(row_sums))(params)["token"])[:, 4]
    assert np.all(gradient[:5] == 0)
    assert np.all(np.abs(gradient[5:]).max(axis=1) > 1e-3)


def test_each_row_of_the_bidirectional_logits_reads_all_tokens():
    assert influence(BIDIRECTIONAL, T, K + 1).all()


@pytest.mark.parametrize("network", [CAUSAL, BIDIRECTIONAL])
def test_every_row_reads_the_label_and_a_label_that_does_not_exist_is_nan(network):
    params = random_params(network.init)
    logits = np.asarray(call_each(network.logits, (None, None, 0), params, CODES, jnp.arange(CLASSES + 2)))
    for a in range(CLASSES + 1):
        for b in range(a):
            assert np.all(np.abs(logits[a] - logits[b]).max(axis=-1) > 1e-3)
    assert np.isnan(logits[-1]).all() and np.isfinite(logits[:-1]).all()


# ------------------------------------------------------------------------------------------------------------- cache


def test_the_cache_gives_the_logits_of_all_positions_at_once():
    params = random_params(CAUSAL.init)
    inputs = (None, None, 0), params, CODES, jnp.arange(CLASSES + 1)
    once = call_each(CAUSAL.logits, *inputs)
    assert np.std(once) > 0.3  # nearly constant logits would make the comparison meaningless
    stepped = call_each(STEPPED, *inputs)
    np.testing.assert_allclose(stepped, once, rtol=1e-5, atol=1e-5)


def test_the_cache_works_for_a_sequence_of_one_code():
    network = causal_transformer(K, 1, 0, **SIZES)
    params = random_params(network.init)
    codes = jnp.zeros(1, jnp.int32)
    once = call(network.logits, params, codes, jnp.int32(0))
    np.testing.assert_allclose(
        call(functools.partial(step_by_step, network), params, codes, jnp.int32(0)), once, rtol=1e-5, atol=1e-5
    )


# ---------------------------------------------------------------------------------------------- parameters, precision


@builders
def test_parameters_are_a_plain_dict_with_stable_names(build):
    network = build(K, T, CLASSES, **SIZES)
    shapes = jax.tree.map(jnp.shape, jax.eval_shape(network.init, jax.random.key(0)))
    bidirectional = build is bidirectional_transformer
    assert set(shapes) == {"token", "label", "position", "blocks_0", "blocks_1", "norm", "output"}
    assert shapes["token"] == (K + bidirectional, 12)
    assert shapes["label"] == (CLASSES + 1, 12)
    assert shapes["position"] == (T + bidirectional, 12)
    assert shapes["output"] == {"kernel": (12, K), "bias": (K,)}
    assert {name: shape["kernel"] for name, shape in shapes["blocks_1"].items() if "kernel" in shape} == {
        "query_key_value": (12, 36),
        "attention_output": (12, 12),
        "mlp_hidden": (12, 48),
        "mlp_output": (48, 12),
    }
    assert type(jax.eval_shape(network.init, jax.random.key(0))["blocks_0"]) is dict


@pytest.mark.slow
def test_a_new_network_predicts_almost_uniformly():
    network = causal_transformer(512, 16, layers=1, width=64)
    params = jax.jit(network.init)(jax.random.key(0))
    log_probs = jax.nn.log_softmax(jax.jit(network.logits)(params, jnp.arange(16), jnp.int32(0)))
    np.testing.assert_allclose(np.mean(log_probs), -np.log(512), atol=0.1)
    assert np.std(log_probs) < 0.5


@pytest.mark.slow
def test_bfloat16_parameters_compute_in_bfloat16_with_float32_softmax_and_logits():
    params = random_params(CAUSAL.init, deviation=0.3)
    cast = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    full = call(CAUSAL.logits, params, CODES, jnp.int32(0))
    half = call(CAUSAL.logits, cast, CODES, jnp.int32(0))
    assert half.dtype == jnp.float32
    assert 1e-4 < np.abs(half - full).max() < 0.1 < np.std(full)
    products = products_of(CAUSAL.logits, cast, CODES, jnp.int32(0))
    assert len(products) == 2 * 6 + 1
    assert all(v.aval.dtype == jnp.bfloat16 for product in products for v in product.invars)
    stepped = call(STEPPED, cast, CODES, jnp.int32(0))
    assert stepped.dtype == jnp.float32
    np.testing.assert_allclose(stepped, half, atol=0.1)


# ---------------------------------------------------------------------------------------------------------- bad input


@builders
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_codes": 0}, "num_codes must be at least 1, got 0"),
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"num_classes": -1}, "num_classes must be at least 0, got -1"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"heads": 0}, "heads must be at least 1, got 0"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"width": 10, "heads": 4}, "width must be a multiple of heads = 4, got 10"),
    ],
)
def test_bad_sizes_are_refused(build, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**{"num_codes": 4, "length": 4, **arguments})
