import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.evaluation import mean_over_examples, over_examples

XS = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)


def noisy(vae, params, key, x):
    return {"sum": jnp.sum(params * x), "noisy": x + jax.random.normal(key, x.shape)}


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 4, 5, 11, 1000])
def test_over_examples_is_a_python_loop_whatever_the_batch_size(batch_size):
    key, params = jax.random.key(0), jnp.asarray(2.0)
    actual = over_examples(noisy, None, params, key, XS, batch_size)
    loop = [noisy(None, params, jax.random.fold_in(key, i), x) for i, x in enumerate(XS)]
    for name in ("sum", "noisy"):
        np.testing.assert_allclose(actual[name], np.stack([one[name] for one in loop]), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_the_first_examples_do_not_depend_on_how_many_follow():
    few = over_examples(noisy, None, jnp.asarray(2.0), jax.random.key(0), XS[:4], 3)
    many = over_examples(noisy, None, jnp.asarray(2.0), jax.random.key(0), XS, 3)
    np.testing.assert_allclose(few["noisy"], many["noisy"][:4], rtol=1e-6, atol=1e-6)


def test_mean_and_standard_error_are_numpys():
    values = np.random.default_rng(1).normal(-90, 20, 57).astype(np.float32)
    estimate = mean_over_examples(values)
    np.testing.assert_allclose(estimate.mean, values.astype(np.float64).mean(), rtol=1e-6)
    np.testing.assert_allclose(estimate.standard_error, values.astype(np.float64).std(ddof=1) / np.sqrt(57), rtol=1e-5)
    assert (type(estimate.mean), type(estimate.standard_error)) == (float, float)
    np.testing.assert_allclose(mean_over_examples(np.array([1.0, 3.0], np.float32)), (2.0, 1.0), rtol=1e-6)
    assert mean_over_examples(np.array([3.0], np.float32)) == (3.0, None)  # one value has no spread


def test_the_standard_error_is_calibrated():
    # (mean - mu) / error is Student's t with 19 degrees of freedom: |t| < 2.093 in 95% of the repetitions, within five
    # standard errors of that fraction (fails once in 1.7 million seeds).
    samples = np.random.default_rng(2).normal(7, 3, (500, 20)).astype(np.float32)
    estimates = np.array([mean_over_examples(row) for row in samples])
    covered = np.abs(estimates[:, 0] - 7) < 2.093 * estimates[:, 1]
    assert abs(covered.mean() - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 500)


def test_raw_pixels_are_refused():
    with pytest.raises(TypeError, match="xs holds raw uint8 pixels"):
        over_examples(lambda vae, params, key, x: x, None, None, jax.random.key(0), np.zeros((2, 3), np.uint8), 2)
