"""The contract of quantisers: every row of the table passes the same tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from contract.checks import assert_all_finite
from contract.table import QUANTIZERS
from vae_jax.quantizers import split_buffers

quantizer_rows = pytest.mark.parametrize("quantizer", QUANTIZERS.values(), ids=QUANTIZERS.keys())


def params_and_vectors(quantizer, count=40, scale=1.0):
    init_key, z_key = jax.random.split(jax.random.key(0))
    return quantizer.init(init_key), scale * jax.random.normal(z_key, (count, quantizer.dim))


@quantizer_rows
def test_the_value_is_what_the_indices_look_up_bit_for_bit(quantizer):
    params, zs = params_and_vectors(quantizer)
    eager = quantizer.quantize(params, zs[0])
    np.testing.assert_array_equal(quantizer.lookup(params, eager.indices), eager.value)
    # In one program with its gradient, and in another that only decodes.
    with_value = lambda z: (lambda value: (value.sum(), value))(quantizer.quantize(params, z).value)
    forward = jax.jit(jax.vmap(jax.grad(with_value, has_aux=True)))
    together = jax.jit(jax.vmap(lambda z: quantizer.quantize(params, z)))(zs)
    again = jax.jit(jax.vmap(lambda i: quantizer.lookup(params, i)))(together.indices)
    np.testing.assert_array_equal(again, together.value)
    np.testing.assert_array_equal(forward(zs)[1], together.value)


@quantizer_rows
def test_quantize_under_jit_and_vmap_is_a_python_loop(quantizer):
    params, zs = params_and_vectors(quantizer, 5)
    loop = jax.tree.map(lambda *rows: jnp.stack(rows), *(quantizer.quantize(params, z) for z in zs))
    batched = jax.jit(jax.vmap(lambda z: quantizer.quantize(params, z)))(zs)
    np.testing.assert_array_equal(batched.indices, loop.indices)
    np.testing.assert_allclose(batched.value, loop.value, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(batched.loss, loop.loss, rtol=1e-5, atol=1e-6)


@quantizer_rows
def test_shapes_types_and_range(quantizer):
    params, zs = params_and_vectors(quantizer)
    for dtype in (jnp.float32, jnp.bfloat16):
        out = jax.vmap(lambda z: quantizer.quantize(params, z))(zs.astype(dtype))
        assert out.value.shape == (40, quantizer.dim)
        assert out.indices.shape == (40, len(quantizer.num_codes))
        assert (out.value.dtype, out.indices.dtype, out.loss.dtype) == (jnp.float32, jnp.int32, jnp.float32)
        assert (out.indices >= 0).all()
        assert (out.indices < np.asarray(quantizer.num_codes)[None]).all()
        assert len(np.unique(out.indices, axis=0)) > 1


@quantizer_rows
def test_a_vector_of_bfloat16_is_quantised_as_its_float32(quantizer):
    params, zs = params_and_vectors(quantizer)
    short = zs.astype(jnp.bfloat16)
    of_short, of_long = (
        jax.vmap(lambda z: quantizer.quantize(params, z))(z) for z in (short, short.astype(jnp.float32))
    )
    np.testing.assert_array_equal(of_short.indices, of_long.indices)
    np.testing.assert_array_equal(of_short.value, of_long.value)


@quantizer_rows
def test_the_encoder_gets_a_finite_gradient_anywhere(quantizer):
    params, _ = params_and_vectors(quantizer)

    def of(z):
        out = quantizer.quantize(params, z)
        return out.value @ jnp.arange(1.0, quantizer.dim + 1) + out.loss

    grads = jax.jit(jax.vmap(jax.grad(of)))
    zs = jnp.stack([jnp.full(quantizer.dim, v) for v in (0.0, 0.3, -0.3, 1e-30, 1e4, -1e4)])
    assert_all_finite(grads(zs))
    assert np.abs(grads(zs)[1:3]).max() > 0.0


@quantizer_rows
def test_no_gradient_reaches_a_buffer_and_the_rest_is_trained(quantizer):
    params, zs = params_and_vectors(quantizer)

    def of(params):
        out = jax.vmap(lambda z: quantizer.quantize(params, z))(zs)
        return out.loss.mean() + (out.value**2).sum(1).mean()

    grads = jax.grad(of)(params)
    trained, buffers = split_buffers(grads)
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(buffers))
    assert all((np.asarray(leaf) != 0).any() for leaf in jax.tree.leaves(trained))


@quantizer_rows
def test_the_batchs_functions_do_not_scale_with_the_batch(quantizer):
    params, zs = params_and_vectors(quantizer)
    tiled = jnp.concatenate([zs] * 3)
    np.testing.assert_allclose(quantizer.batch_loss(params, tiled), quantizer.batch_loss(params, zs), rtol=1e-4)


@quantizer_rows
@pytest.mark.parametrize("case", ["ordinary", "fewer than codes", "all equal", "two points"])
def test_updates_and_fits_keep_structure_and_stay_finite(quantizer, case):
    params, zs = params_and_vectors(quantizer)
    zs = {
        "ordinary": zs,
        "fewer than codes": zs[:3],
        "all equal": jnp.tile(zs[:1], (40, 1)),
        "two points": jnp.tile(zs[:2], (20, 1)),
    }[case]
    fitted = quantizer.fit(params, jax.random.key(1), zs)
    assert jax.tree.map(jnp.shape, fitted) == jax.tree.map(jnp.shape, params)
    assert_all_finite(fitted)
    for start in (params, fitted):
        indices = jax.vmap(lambda z, p=start: quantizer.quantize(p, z).indices)(zs)
        buffers = quantizer.batch_update(start, jax.random.key(2), zs, indices)
        assert jax.tree.map(jnp.shape, buffers) == jax.tree.map(jnp.shape, split_buffers(params)[1])
        assert_all_finite(buffers)
        assert np.isfinite(quantizer.batch_loss(start, zs))


@quantizer_rows
def test_an_index_outside_is_not_a_number_and_no_other_code(quantizer):
    params, zs = params_and_vectors(quantizer)
    inside = quantizer.quantize(params, zs[0]).indices
    for wrong in (-1, max(quantizer.num_codes)):
        assert np.isnan(quantizer.lookup(params, inside.at[0].set(wrong))).any()


@quantizer_rows
def test_init_is_a_function_of_its_key(quantizer):
    first, again, other = (ravel_pytree(quantizer.init(jax.random.key(seed)))[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    if first.size:
        assert np.mean(first != other) > 0.4  # counts start at 1, and a map at the identity
