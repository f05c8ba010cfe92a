import jax
import numpy as np
import pytest
import scipy.special

from distributions.count_references import negative_binomial
from vae_jax.distributions import ZeroInflatedNegativeBinomial, zero_inflated_negative_binomial_log_prob


@pytest.mark.parametrize("shape", [(), (2, 4)])
def test_log_prob_is_that_of_the_mixture_summed_over_the_event(shape):
    rng = np.random.default_rng(0)
    log_mean, log_dispersion, logits = rng.normal(size=(3, *shape)).astype(np.float32)
    x = rng.poisson(1, shape).astype(np.float32)
    p = scipy.special.expit(np.float64(logits))
    counted = (1 - p) * np.exp(negative_binomial(x, log_mean, log_dispersion))
    expected = np.log(counted + np.where(x == 0, p, 0)).sum()
    actual = zero_inflated_negative_binomial_log_prob(x, log_mean, log_dispersion, logits)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_extreme_logits_give_zero_or_the_negative_binomial_distribution():
    parameters = np.float32([1.0, 1.0]), np.float32([0.5, 0.5])
    never, always = np.full(2, -200, np.float32), np.full(2, 200, np.float32)
    log_prob = lambda x, logits: float(ZeroInflatedNegativeBinomial(*parameters, logits).log_prob(np.float32(x)))
    np.testing.assert_allclose(log_prob([0, 3], never), negative_binomial([0, 3], *parameters).sum(), rtol=1e-6)
    assert log_prob([0, 0], always) == 0
    np.testing.assert_allclose(log_prob([0, 3], always), negative_binomial(3, 1.0, 0.5) - 200, rtol=1e-6)


def test_gradients_agree_with_central_differences_in_float64():
    x = np.float32([0, 0, 3])
    parameters = np.float32([[0.5, -1, 1], [0.2, 1, -1], [0.3, -2, 1]])
    function = lambda parameters: zero_inflated_negative_binomial_log_prob(x, *parameters)

    def reference(parameters):
        log_mean, log_dispersion, logits = parameters
        p = scipy.special.expit(logits)
        return np.log((1 - p) * np.exp(negative_binomial(x, log_mean, log_dispersion)) + p * (x == 0)).sum()

    steps = 1e-5 * np.eye(9).reshape(9, 3, 3)
    exact = np.float64(parameters)
    expected = np.reshape([(reference(exact + s) - reference(exact - s)) / 2e-5 for s in steps], (3, 3))
    np.testing.assert_allclose(jax.jit(jax.grad(function))(parameters), expected, rtol=1e-4, atol=1e-5)


def test_numbers_that_are_not_counts_have_probability_0_and_nothing_broadcasts():
    for x in (-1.0, 0.5, np.inf, np.nan):
        assert zero_inflated_negative_binomial_log_prob(*np.float32([x, 0, 0, 0])) == -np.inf
    with pytest.raises(AssertionError, match="shape"):
        zero_inflated_negative_binomial_log_prob(*[np.zeros(3, np.float32)] * 3, np.zeros(1, np.float32))
