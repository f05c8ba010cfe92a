import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.quantizers import factorized_quantizer, finite_scalar_quantizer, vector_quantizer

Z = jnp.asarray(np.random.default_rng(0).normal(size=6), jnp.float32)


def test_the_inner_quantizer_is_applied_between_two_products():
    inner = vector_quantizer(8, 3)
    quantizer = factorized_quantizer(inner, 6)
    params = quantizer.init(jax.random.key(0))
    down, up = (np.asarray(params[name], np.float64) for name in ("down", "up"))
    expected = inner.quantize(params["codes"], jnp.asarray(np.asarray(Z, np.float64) @ down, jnp.float32))
    out = quantizer.quantize(params, Z)
    np.testing.assert_array_equal(out.indices, expected.indices)
    np.testing.assert_allclose(out.value, np.asarray(expected.value, np.float64) @ up, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out.loss, expected.loss, rtol=1e-4)
    # The inner quantizer is straight-through, so the Jacobian is that of the two products.
    jacobian = jax.jacobian(lambda z: quantizer.quantize(params, z).value)(Z)
    np.testing.assert_allclose(jacobian, (down @ up).T, rtol=1e-4, atol=1e-5)


def test_both_maps_are_trained_through_the_value():
    quantizer = factorized_quantizer(finite_scalar_quantizer((5, 5, 5)), 6)
    params = quantizer.init(jax.random.key(0))
    grads = jax.grad(lambda params: (quantizer.quantize(params, 4 * Z).value ** 2).sum())(params)
    assert all((np.asarray(grads[name]) != 0).any() for name in ("down", "up"))


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"dim .* must be at least 1, got 0"):
        factorized_quantizer(vector_quantizer(8, 3), 0)
