import jax.numpy as jnp
import numpy as np
from scipy import stats

from vae_jax.quantizers import code_counts, code_entropy, code_usage, perplexity

INDICES = np.random.default_rng(0).geometric(0.2, (40, 7, 7)) % 12


def test_counts_entropy_perplexity_and_usage_by_scipy():
    counts = code_counts(jnp.asarray(INDICES), 16)
    expected = np.bincount(INDICES.ravel(), minlength=16)
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_allclose(code_entropy(counts), stats.entropy(expected), rtol=1e-6)
    np.testing.assert_allclose(perplexity(counts), np.exp(stats.entropy(expected)), rtol=1e-5)
    np.testing.assert_allclose(code_usage(counts), 12 / 16)


def test_the_perplexity_of_an_epoch_is_that_of_the_summed_counts_not_the_mean_over_batches():
    batches = [code_counts(jnp.full(10, code), 4) for code in range(4)]
    assert np.mean([float(perplexity(counts)) for counts in batches]) == 1.0
    np.testing.assert_allclose(perplexity(sum(batches)), 4.0, rtol=1e-6)


def test_zero_counts_give_zero_entropy_and_usage():
    np.testing.assert_array_equal([code_entropy(jnp.zeros(4)), code_usage(jnp.zeros(4))], [0.0, 0.0])
