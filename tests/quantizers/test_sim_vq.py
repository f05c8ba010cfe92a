import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.quantizers import sim_vector_quantizer, vector_quantizer

Z = jnp.asarray([0.4, -0.2, 0.7])


def test_sim_vq_is_a_vector_quantizer_with_the_mapped_codes():
    quantizer = sim_vector_quantizer(9, 3)
    params = quantizer.init(jax.random.key(0))
    params["map"] = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)), jnp.float32)
    codes = np.asarray(params["buffers"]["fixed"], np.float64) @ np.asarray(params["map"], np.float64)
    expected = vector_quantizer(9, 3).quantize({"codebook": jnp.asarray(codes, jnp.float32)}, Z)
    out = quantizer.quantize(params, Z)
    np.testing.assert_array_equal(out.indices, expected.indices)
    np.testing.assert_allclose(out.value, expected.value, rtol=1e-5)
    np.testing.assert_allclose(out.loss, expected.loss, rtol=1e-5)


def test_one_vector_moves_every_code():
    quantizer = sim_vector_quantizer(9, 3)
    params = quantizer.init(jax.random.key(0))
    gradient = jax.grad(lambda params: quantizer.quantize(params, Z).loss)(params)["map"]
    moved = np.asarray(params["buffers"]["fixed"]) @ np.asarray(gradient)
    assert (np.abs(moved).max(1) > 1e-4).all()
