import jax
import numpy as np
import pytest

from objectives.linear_gaussian import elbo_parts, examples, linear_gaussian, wrong_params
from vae_jax.evaluation import mean_over_samples
from vae_jax.objectives import distortion, elbo_terms, sampled_elbo_terms

MODEL, PARAMS, XS = linear_gaussian(), wrong_params(), examples(7)


@pytest.mark.slow
@pytest.mark.parametrize("estimate", [elbo_terms, sampled_elbo_terms])
def test_means_over_samples_are_the_analytic_terms(estimate):
    num_samples = 20_000
    terms = mean_over_samples(estimate, MODEL, PARAMS, jax.random.key(0), XS, num_samples, 3)
    expected = np.array([elbo_parts(PARAMS, x.astype(np.float64)) for x in XS])
    # The spread of one sample is measured separately. Five standard errors in 14 numbers: fails once in 120,000 seeds.
    one = lambda key, x: estimate(MODEL, PARAMS, key, x)
    keys = jax.random.split(jax.random.key(1), 2000)
    spread = jax.vmap(jax.vmap(one, in_axes=(0, None)), in_axes=(None, 0))(keys, XS)
    for actual, column, values in zip(terms, expected.T, spread, strict=True):
        assert actual.shape == (7,)
        error = np.asarray(values, np.float64).std(axis=1) / np.sqrt(num_samples)
        assert (np.abs(actual - column) < 5 * error + 1e-5 * np.abs(column)).all()


@pytest.mark.slow
def test_it_is_the_mean_of_the_keys_own_values_whatever_the_batch_size():
    key = jax.random.key(2)
    expected = [
        np.mean([distortion(MODEL, PARAMS, k, x) for k in jax.random.split(jax.random.fold_in(key, i), 3)])
        for i, x in enumerate(XS)
    ]
    for batch_size in (1, 3, 100):
        actual = mean_over_samples(distortion, MODEL, PARAMS, key, XS, 3, batch_size)
        np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize("num_samples", [0, -3])
def test_no_samples_are_refused(num_samples):
    with pytest.raises(ValueError, match=f"num_samples must be at least 1, got {num_samples}"):
        mean_over_samples(elbo_terms, MODEL, PARAMS, jax.random.key(0), XS, num_samples)
