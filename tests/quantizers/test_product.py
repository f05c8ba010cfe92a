import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.params import split_buffers
from vae_jax.quantizers import ema_vector_quantizer, head_dim, product_quantizer, residual_quantizer, vector_quantizer

ZS = jnp.asarray(np.random.default_rng(0).normal(size=(50, 6)), jnp.float32)


def head(params, i):
    trained, buffers = split_buffers(params)
    params_of_head = jax.tree.map(lambda leaf: leaf[i], trained["heads"])
    return params_of_head | (
        {} if buffers is None else {"buffers": jax.tree.map(lambda leaf: leaf[i], buffers["heads"])}
    )


@pytest.mark.slow
@pytest.mark.parametrize("inner", [vector_quantizer(8, 2), ema_vector_quantizer(8, 2)])
def test_heads_are_quantizers_of_their_parts(inner):
    quantizer = product_quantizer(inner, 3)
    params = quantizer.init(jax.random.key(0))
    out = jax.vmap(lambda z: quantizer.quantize(params, z))(ZS)
    after = quantizer.batch_update(params, jax.random.key(1), ZS, out.indices)
    for i in range(3):
        part = ZS[:, 2 * i : 2 * i + 2]
        quantized = jax.vmap(lambda z, i=i: inner.quantize(head(params, i), z))(part)
        np.testing.assert_array_equal(out.indices[:, i], quantized.indices[:, 0])
        np.testing.assert_array_equal(out.value[:, 2 * i : 2 * i + 2], quantized.value)
        expected = inner.batch_update(head(params, i), jax.random.key(1), part, quantized.indices)
        found = None if after is None else jax.tree.map(lambda leaf, i=i: leaf[i], after["heads"])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), found, expected)
    parts = [ZS[:, 2 * i : 2 * i + 2] for i in range(3)]
    losses = [jax.vmap(lambda z, i=i: inner.quantize(head(params, i), z).loss)(part) for i, part in enumerate(parts)]
    np.testing.assert_allclose(out.loss, sum(losses), rtol=1e-5)


def test_grouped_residual_codes_are_ordered_by_head():
    quantizer = product_quantizer(residual_quantizer(vector_quantizer(8, 3), 2), 2)
    assert quantizer.num_codes == (8, 8, 8, 8)
    params = quantizer.init(jax.random.key(0))
    indices = quantizer.quantize(params, ZS[0]).indices
    moved = quantizer.lookup(params, indices.at[3].set((indices[3] + 1) % 8)) - quantizer.lookup(params, indices)
    assert (moved[:3] == 0).all()
    assert (moved[3:] != 0).any()


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_heads must be at least 1, got 0"):
        product_quantizer(vector_quantizer(8, 3), 0)
    with pytest.raises(ValueError, match="num_heads must divide the length of a code, dim = 10, got 4"):
        head_dim(10, 4)
    assert head_dim(12, 4) == 3
