import jax
import numpy as np
import pytest
import scipy.special

from objectives.linear_gaussian import exact_params, examples, linear_gaussian, log_likelihood, wrong_params
from vae_jax.evaluation import importance_sampled_log_likelihood
from vae_jax.objectives import log_weight

MODEL = linear_gaussian()
SPLITS = [(1, 1), (7, 3), (6, 3), (3, 500), (500, 500), (501, 500)]


@pytest.mark.slow
@pytest.mark.parametrize(("num_samples", "chunk_size"), SPLITS)
def test_with_the_exact_posterior_it_is_log_p_whatever_the_samples_and_chunks(num_samples, chunk_size):
    xs = examples(5)
    params = exact_params()
    actual = importance_sampled_log_likelihood(MODEL, params, jax.random.key(0), xs, num_samples, chunk_size)
    np.testing.assert_allclose(actual, log_likelihood(params, xs), rtol=1e-5)


def weights_of(key, x, num_samples, chunk_size):
    """The log-weights of one example, by the keys that the docstring's program draws: full chunks, then the rest."""
    full_key, rest_key = jax.random.split(key)
    num_full, remainder = divmod(num_samples, chunk_size)
    keys = [k for chunk in jax.random.split(full_key, max(num_full, 1)) for k in jax.random.split(chunk, chunk_size)]
    keys = keys[: num_full * chunk_size] + list(jax.random.split(rest_key, remainder) if remainder else [])
    assert len(keys) == num_samples
    return np.array([log_weight(MODEL, wrong_params(), k, x) for k in keys], np.float64)


@pytest.mark.slow
@pytest.mark.parametrize(("num_samples", "chunk_size"), [(7, 3), (6, 3), (2, 3)])
def test_it_is_numpys_logsumexp_of_the_same_weights(num_samples, chunk_size):
    xs, key = examples(2), jax.random.key(1)
    actual = importance_sampled_log_likelihood(MODEL, wrong_params(), key, xs, num_samples, chunk_size)
    for i, x in enumerate(xs):
        weights = weights_of(jax.random.fold_in(key, i), x, num_samples, chunk_size)
        expected = scipy.special.logsumexp(weights) - np.log(num_samples)
        np.testing.assert_allclose(actual[i], expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("chunk_size", [128, 500, 5000])
def test_with_a_wrong_posterior_it_meets_log_p_within_its_own_error(chunk_size):
    params, num_samples = wrong_params(), 2000
    xs = examples(30)
    exact = log_likelihood(params, xs)
    actual = importance_sampled_log_likelihood(MODEL, params, jax.random.key(2), xs, num_samples, chunk_size)
    # The relative variance of a weight gives each estimate's error sqrt(v / K) and its bias -v / 2K (Burda, eq. 8).
    keys = jax.random.split(jax.random.key(3), 4000)
    one = lambda key, x: log_weight(MODEL, params, key, x)
    log_weights = jax.jit(jax.vmap(jax.vmap(one, in_axes=(0, None)), in_axes=(None, 0)))(keys, xs)
    variance = np.exp(np.asarray(log_weights, np.float64) - exact[:, None]).var(axis=1)
    error = np.sqrt(variance / num_samples)
    assert error.max() < 0.2  # the estimate is a good one, so that its expansion holds
    # Six of its own errors for the worst of 30 examples, and five for their mean.
    assert (np.abs(actual - exact + variance / (2 * num_samples)) < 6 * error + 1e-4).all()
    mean_error = np.sqrt(np.sum(error**2)) / len(xs)
    assert abs(np.mean(actual - exact + variance / (2 * num_samples))) < 5 * mean_error


def test_an_estimate_does_not_depend_on_the_other_examples():
    xs = examples(6)
    several = importance_sampled_log_likelihood(MODEL, wrong_params(), jax.random.key(4), xs, 7, 3)
    fewer = importance_sampled_log_likelihood(MODEL, wrong_params(), jax.random.key(4), xs[:2], 7, 3)
    np.testing.assert_allclose(several[:2], fewer, rtol=1e-6)
    assert np.std(several) > 0.1


@pytest.mark.parametrize(
    ("num_samples", "chunk_size", "message"),
    [(0, 500, "num_samples must be at least 1, got 0"), (10, 0, "chunk_size must be at least 1, got 0")],
)
def test_no_samples_and_empty_chunks_are_refused(num_samples, chunk_size, message):
    with pytest.raises(ValueError, match=message):
        importance_sampled_log_likelihood(
            MODEL, exact_params(), jax.random.key(0), examples(2), num_samples, chunk_size
        )
