import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.quantizers import ema_vector_quantizer, residual_quantizer, rotation_trick, vector_quantizer

RNG = np.random.default_rng(0)
ZS = jnp.asarray(RNG.normal(size=(200, 4)), jnp.float32)


def test_each_stage_quantizes_the_residual_like_a_numpy_search():
    quantizer = residual_quantizer(vector_quantizer(8, 4), 3)
    params = quantizer.init(jax.random.key(0))
    out = jax.vmap(lambda z: quantizer.quantize(params, z))(ZS)
    residuals, loss = np.asarray(ZS, np.float64), 0.0
    for stage in range(3):
        codebook = np.asarray(params[f"stage_{stage}"]["codebook"], np.float64)
        distances = ((residuals[:, None] - codebook[None]) ** 2).sum(-1)
        np.testing.assert_array_equal(out.indices[:, stage], distances.argmin(1))
        loss = loss + 1.25 * distances.min(1)
        residuals = residuals - codebook[distances.argmin(1)]
    np.testing.assert_allclose(out.value, np.asarray(ZS) - residuals, atol=1e-5)
    np.testing.assert_allclose(out.loss, loss, rtol=1e-4)


@pytest.mark.parametrize("num_stages", [1, 2, 5])
def test_the_encoders_gradient_is_that_of_one_straight_through_however_many_stages(num_stages):
    quantizer = residual_quantizer(vector_quantizer(8, 4), num_stages)
    params = quantizer.init(jax.random.key(0))
    jacobian = jax.jacobian(lambda z: quantizer.quantize(params, z).value)(ZS[0])
    np.testing.assert_array_equal(jacobian, np.eye(4))


def test_the_given_estimator_is_applied_to_the_sum():
    quantizer = residual_quantizer(vector_quantizer(8, 4), 2, rotation_trick)
    params = quantizer.init(jax.random.key(0))
    value = quantizer.quantize(params, ZS[0]).value
    expected = jax.jacobian(rotation_trick)(ZS[0], value)
    np.testing.assert_allclose(jax.jacobian(lambda z: quantizer.quantize(params, z).value)(ZS[0]), expected, atol=1e-6)


def test_the_update_of_a_stage_is_that_of_its_residuals():
    stage = ema_vector_quantizer(8, 4)
    quantizer = residual_quantizer(stage, 2)
    params = quantizer.init(jax.random.key(0))
    indices = jax.vmap(lambda z: quantizer.quantize(params, z).indices)(ZS)
    after = quantizer.batch_update(params, jax.random.key(1), ZS, indices)
    stage_params = [{"buffers": params["buffers"][f"stage_{i}"]} for i in range(2)]
    residuals = ZS - stage_params[0]["buffers"]["codebook"][indices[:, 0]]
    for i, zs in enumerate((ZS, residuals)):
        expected = stage.batch_update(stage_params[i], jax.random.key(9), zs, indices[:, i : i + 1])
        for name in expected:
            np.testing.assert_allclose(after[f"stage_{i}"][name], expected[name], rtol=1e-6, atol=1e-6)


def test_the_error_falls_with_the_number_of_fitted_stages():
    errors = []
    for num_stages in (1, 2, 4):
        quantizer = residual_quantizer(ema_vector_quantizer(8, 4), num_stages)
        params = quantizer.fit(quantizer.init(jax.random.key(0)), jax.random.key(1), ZS)
        values = jax.vmap(lambda z, q=quantizer, p=params: q.quantize(p, z).value)(ZS)
        errors.append(float(((values - ZS) ** 2).sum(1).mean()))
    assert errors[0] > 1.5 * errors[1] > 2.0 * errors[2]


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_stages must be at least 1, got 0"):
        residual_quantizer(vector_quantizer(8, 4), 0)
