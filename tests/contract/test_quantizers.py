"""Contract tests of quantizers, which every row of the table passes."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from contract.checks import assert_all_finite
from contract.quantizers_table import QUANTIZERS
from vae_jax.params import split_buffers

quantizer_rows = pytest.mark.parametrize("name", QUANTIZERS)


# The flags of the tests compile a program as one module, which fuses a product and a sum across the barrier that keeps
# a value equal to its lookup. Users' programs are split, and so are these.
jit = functools.partial(jax.jit, compiler_options={"xla_cpu_parallel_codegen_split_count": 32})


@functools.cache
def programs(name):
    """Compiled functions of a quantizer, shared by its tests."""
    quantizer = QUANTIZERS[name]
    return SimpleNamespace(
        init=jax.jit(quantizer.init),
        quantize=jit(jax.vmap(quantizer.quantize, (None, 0))),
        lookup=jit(jax.vmap(quantizer.lookup, (None, 0))),
        batch_loss=jax.jit(quantizer.batch_loss),
        batch_update=jax.jit(quantizer.batch_update),
        fit=jax.jit(quantizer.fit),
    )


def params_and_vectors(name, count=40):
    init_key, z_key = jax.random.split(jax.random.key(0))
    return programs(name).init(init_key), jax.random.normal(z_key, (count, QUANTIZERS[name].dim))


@pytest.mark.slow
@quantizer_rows
def test_the_value_equals_the_lookup_of_the_indices_bit_for_bit(name):
    quantizer, (params, zs) = QUANTIZERS[name], params_and_vectors(name)
    batched = programs(name).quantize(params, zs)
    np.testing.assert_array_equal(programs(name).lookup(params, batched.indices), batched.value)
    # In eager mode, and in a program with the gradient.
    eager = quantizer.quantize(params, zs[0])
    np.testing.assert_array_equal(quantizer.lookup(params, eager.indices), eager.value)
    with_value = lambda z, params: (lambda value: (value.sum(), value))(quantizer.quantize(params, z).value)
    with_gradient = jit(jax.vmap(jax.grad(with_value, has_aux=True), (0, None)))
    np.testing.assert_array_equal(with_gradient(zs, params)[1], batched.value)


@quantizer_rows
def test_quantize_under_jit_and_vmap_agrees_with_a_python_loop(name):
    params, zs = params_and_vectors(name)
    batched = programs(name).quantize(params, zs)
    for i in range(3):
        single = QUANTIZERS[name].quantize(params, zs[i])
        np.testing.assert_array_equal(batched.indices[i], single.indices)
        np.testing.assert_allclose(batched.value[i], single.value, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(batched.loss[i], single.loss, rtol=1e-5, atol=1e-6)


@quantizer_rows
def test_shapes_dtypes_and_range_and_bfloat16_is_quantized_in_float32(name):
    quantizer, (params, zs) = QUANTIZERS[name], params_and_vectors(name)
    quantize = programs(name).quantize
    bfloat16, float32 = (
        quantize(params, zs.astype(jnp.bfloat16)),
        quantize(params, zs.astype(jnp.bfloat16).astype(jnp.float32)),
    )
    np.testing.assert_array_equal(bfloat16.indices, float32.indices)
    np.testing.assert_array_equal(bfloat16.value, float32.value)
    for out in (bfloat16, float32):
        assert out.value.shape == (40, quantizer.dim)
        assert out.indices.shape == (40, len(quantizer.num_codes))
        assert (out.value.dtype, out.indices.dtype, out.loss.dtype) == (jnp.float32, jnp.int32, jnp.float32)
        assert (out.indices >= 0).all()
        assert (out.indices < np.asarray(quantizer.num_codes)[None]).all()
        assert len(np.unique(out.indices, axis=0)) > 1


@quantizer_rows
def test_gradients_are_finite_and_nonzero_for_the_encoder_and_parameters_and_zero_for_buffers(name):
    quantizer, (params, _) = QUANTIZERS[name], params_and_vectors(name)

    def loss(params, z):
        out = quantizer.quantize(params, z)
        return out.value @ jnp.arange(1.0, quantizer.dim + 1) + out.loss + (out.value**2).sum()

    zs = jnp.stack([jnp.full(quantizer.dim, v) for v in (0.0, 0.3, -0.3, 1e-30, 1e4, -1e4)])
    to_params, to_zs = jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1)), (None, 0)))(params, zs)
    assert_all_finite((to_params, to_zs))
    assert np.abs(to_zs[1:3]).max() > 0.0
    trained, buffers = split_buffers(to_params)
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(buffers))
    assert all((np.asarray(leaf) != 0).any() for leaf in jax.tree.leaves(trained))


@quantizer_rows
def test_the_batch_loss_does_not_depend_on_the_batch_size(name):
    params, zs = params_and_vectors(name)
    batch_loss = programs(name).batch_loss
    np.testing.assert_allclose(batch_loss(params, jnp.concatenate([zs] * 3)), batch_loss(params, zs), rtol=1e-4)


@pytest.mark.slow
@quantizer_rows
def test_updates_and_fits_keep_structure_and_stay_finite(name):
    params, zs = params_and_vectors(name)
    row = programs(name)
    cases = {
        "ordinary": zs,
        "fewer vectors than codes": zs[:3],
        "all equal": jnp.tile(zs[:1], (40, 1)),
        "two points": jnp.tile(zs[:2], (20, 1)),
    }
    for case, vectors in cases.items():
        fitted = row.fit(params, jax.random.key(1), vectors)
        assert jax.tree.map(jnp.shape, fitted) == jax.tree.map(jnp.shape, params), case
        assert_all_finite(fitted)
        for start in (params, fitted):
            indices = row.quantize(start, vectors).indices
            buffers = row.batch_update(start, jax.random.key(2), vectors, indices)
            assert jax.tree.map(jnp.shape, buffers) == jax.tree.map(jnp.shape, split_buffers(params)[1]), case
            assert_all_finite(buffers)
            assert np.isfinite(row.batch_loss(start, vectors)), case


@quantizer_rows
def test_an_index_out_of_range_looks_up_nan(name):
    params, zs = params_and_vectors(name)
    inside = programs(name).quantize(params, zs).indices
    for wrong in (-1, max(QUANTIZERS[name].num_codes)):
        assert np.isnan(programs(name).lookup(params, inside.at[:, 0].set(wrong))).any(axis=1).all()


@quantizer_rows
def test_init_is_a_function_of_its_key(name):
    first, repeated, other = (ravel_pytree(programs(name).init(jax.random.key(seed)))[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, repeated)
    if first.size:
        assert np.mean(first != other) > 0.4  # counts are initially 1, and a linear map the identity
