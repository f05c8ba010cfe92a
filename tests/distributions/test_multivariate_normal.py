import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.test_util import check_grads

from distributions.monte_carlo import assert_kl_is_the_mean_log_ratio
from vae_jax.distributions import (
    Laplace,
    MultivariateNormal,
    Normal,
    UndefinedError,
    kl_divergence,
    kl_per_dimension,
    multivariate_normal_kl,
    multivariate_normal_log_prob,
    standard_normal,
)

RNG = np.random.default_rng(0)
MEAN, OTHER_MEAN = RNG.normal(size=(2, 3)).astype(np.float32)
# The entries above the diagonal are not zero, since they must be ignored.
SCALE, OTHER_SCALE = (RNG.normal(0.0, 0.4, (3, 3)).astype(np.float32) for _ in range(2))
for _scale in (SCALE, OTHER_SCALE):
    np.fill_diagonal(_scale, np.exp(RNG.normal(0.0, 0.3, 3)))
Q, P = MultivariateNormal(MEAN, SCALE), MultivariateNormal(OTHER_MEAN, OTHER_SCALE)
DIAGONAL = Normal(jnp.array([0.1, -0.5, 1.0]), jnp.array([0.2, 1.0, -1.5]))


def covariance(scale):
    lower = np.tril(np.asarray(scale, np.float64))
    return lower @ lower.T


def float64_kl(mean, cov, other_mean, other_cov):
    difference = np.asarray(other_mean, np.float64) - np.asarray(mean, np.float64)
    trace = np.trace(np.linalg.solve(other_cov, cov))
    log_ratio = np.linalg.slogdet(other_cov)[1] - np.linalg.slogdet(cov)[1]
    return 0.5 * (trace - len(mean) + difference @ np.linalg.solve(other_cov, difference) + log_ratio)


def test_log_prob_agrees_with_scipy_and_with_a_normal_if_the_covariance_is_diagonal():
    x = RNG.normal(size=3).astype(np.float32)
    expected = scipy.stats.multivariate_normal.logpdf(x, MEAN, covariance(SCALE))
    np.testing.assert_allclose(multivariate_normal_log_prob(x, MEAN, SCALE), expected, rtol=1e-5)
    np.testing.assert_allclose(Q.log_prob(x), expected, rtol=1e-5)
    same = MultivariateNormal(DIAGONAL.mean, jnp.diag(DIAGONAL.standard_deviation))
    np.testing.assert_allclose(same.log_prob(x), DIAGONAL.log_prob(x), rtol=1e-6)
    # Negating a column of the factor does not change the covariance.
    np.testing.assert_allclose(MultivariateNormal(MEAN, SCALE * [[-1, 1, -1]]).log_prob(x), expected, rtol=1e-5)


def test_draws_have_the_asked_covariance_and_their_own_log_prob():
    keys = jax.random.split(jax.random.key(0), 40_000)
    draws, log_probs = (np.asarray(a, np.float64) for a in jax.jit(jax.vmap(Q.sample_and_log_prob))(keys))
    cov = covariance(SCALE)
    expected = scipy.stats.multivariate_normal.logpdf(draws, MEAN, cov)
    np.testing.assert_allclose(log_probs, expected, rtol=1e-4, atol=1e-4)
    # Five standard errors of three means and six covariances: fails once in 190,000 seeds.
    variances = np.diag(cov)
    assert (np.abs(draws.mean(0) - MEAN) < 5 * np.sqrt(variances / len(draws))).all()
    error = np.sqrt((cov**2 + np.outer(variances, variances)) / len(draws))
    assert (np.abs(np.cov(draws.T) - cov) < 5 * error).all()
    np.testing.assert_allclose(Q.standard_deviation, np.sqrt(variances), rtol=1e-6)
    noise = np.array([0.5, -1.0, 2.0], np.float32)
    np.testing.assert_allclose(Q.from_standard_normal(noise), MEAN + np.tril(SCALE) @ noise, rtol=1e-6)


@pytest.mark.parametrize("log_scale", [-15.0, 0.0, 15.0])
def test_sample_and_log_prob_keeps_its_digits_where_the_value_has_lost_them(log_scale):
    # E log q = -D/2 (1 + 2 log scale + log 2 pi), and the standard deviation of log q is sqrt(D/2), as for the Normal.
    dim, count = 8, 4000
    dist = MultivariateNormal(jnp.full(dim, 5.0), jnp.exp(log_scale) * (jnp.eye(dim) + jnp.tril(jnp.ones((8, 8)), -1)))
    log_probs = jax.vmap(lambda key: dist.sample_and_log_prob(key)[1])(jax.random.split(jax.random.key(0), count))
    expected = -0.5 * dim * (1 + 2 * log_scale + np.log(2 * np.pi))
    # Five standard errors: fails once in 1.7 million seeds.
    assert abs(np.asarray(log_probs, np.float64).mean() - expected) < 5 * np.sqrt(dim / 2 / count)
    np.testing.assert_allclose(np.std(log_probs), np.sqrt(dim / 2), rtol=0.1)


@pytest.mark.slow
def test_kl_agrees_with_monte_carlo():
    for q, p in ((Q, P), (Q, DIAGONAL), (DIAGONAL, P)):
        assert_kl_is_the_mean_log_ratio(q, p)


def test_kl_agrees_with_float64_between_full_and_diagonal_covariances():
    variances = np.exp(np.asarray(DIAGONAL.log_variance, np.float64))
    cov, other_cov = covariance(SCALE), covariance(OTHER_SCALE)
    expected = float64_kl(MEAN, cov, OTHER_MEAN, other_cov)
    np.testing.assert_allclose(multivariate_normal_kl(MEAN, SCALE, OTHER_MEAN, OTHER_SCALE), expected, rtol=1e-5)
    np.testing.assert_allclose(kl_divergence(Q, P), expected, rtol=1e-5)
    expected = float64_kl(MEAN, cov, DIAGONAL.mean, np.diag(variances))
    np.testing.assert_allclose(kl_divergence(Q, DIAGONAL), expected, rtol=1e-5)
    expected = float64_kl(DIAGONAL.mean, np.diag(variances), MEAN, cov)
    np.testing.assert_allclose(kl_divergence(DIAGONAL, Q), expected, rtol=1e-5)
    same = MultivariateNormal(DIAGONAL.mean, jnp.diag(DIAGONAL.standard_deviation))
    np.testing.assert_allclose(kl_divergence(same, standard_normal(3)), DIAGONAL.kl(standard_normal(3)), rtol=1e-6)


@pytest.mark.parametrize("entry", [1e-4, 1e-2])
def test_kl_keeps_its_digits_at_a_collapsed_posterior(entry):
    # For L = I + e on and below the diagonal, KL to N(0, I) is 1/2 (D (expm1(r) - r) + e^2 D (D - 1) / 2).
    scale = jnp.eye(3) + entry * jnp.tril(jnp.ones((3, 3)))
    r = 2 * np.log(np.diag(np.asarray(scale, np.float64)))
    expected = 0.5 * (np.sum(np.expm1(r) - r) + 3 * np.float64(np.float32(entry)) ** 2)
    np.testing.assert_allclose(MultivariateNormal(jnp.zeros(3), scale).kl(standard_normal(3)), expected, rtol=0.02)
    assert MultivariateNormal(jnp.zeros(3), jnp.eye(3)).kl(standard_normal(3)) == 0


@pytest.mark.slow
def test_the_gradients_are_those_of_finite_differences():
    x = jnp.array([1.0, -1.0, 2.0])
    q, p = (jax.tree.map(jnp.asarray, distribution) for distribution in (Q, P))
    check_grads(jax.jit(lambda q, x: q.log_prob(x)), (q, x), 1, ["rev"], atol=1e-2, rtol=1e-2)
    check_grads(jax.jit(lambda q, p: q.kl(p)), (q, p), 1, ["rev"], atol=1e-2, rtol=1e-2)
    gradient = jax.grad(lambda q: q.log_prob(x) + q.kl(p) + q.sample(jax.random.key(0)).sum())(q)
    np.testing.assert_array_equal(np.triu(gradient.scale_tril, 1), np.zeros((3, 3)))


def test_bfloat16_parameters_give_float32_densities():
    dist = MultivariateNormal(jnp.asarray(MEAN, jnp.bfloat16), jnp.asarray(SCALE, jnp.bfloat16))
    exact = jax.tree.map(lambda a: a.astype(jnp.float32), dist)
    assert dist.log_prob(MEAN).dtype == jnp.float32
    assert dist.log_prob(MEAN) == exact.log_prob(MEAN)
    assert dist.kl(P) == exact.kl(P)
    np.testing.assert_array_equal(dist.sample(jax.random.key(0)), exact.sample(jax.random.key(0)))


def test_another_shape_is_refused_and_a_pair_without_a_closed_form_too():
    bad = (
        lambda: MultivariateNormal(jnp.zeros(3), jnp.eye(2)).log_prob(jnp.zeros(3)),
        lambda: MultivariateNormal(jnp.zeros(3), jnp.ones(3)).sample(jax.random.key(0)),
        lambda: Q.log_prob(jnp.zeros((1, 3))),
        lambda: Q.log_prob(jnp.zeros(1)),
        lambda: Q.kl(standard_normal(2)),
        lambda: MultivariateNormal(jnp.zeros((2, 3)), jnp.ones((2, 3, 3))).log_prob(jnp.zeros((2, 3))),
    )
    for call in bad:
        with pytest.raises(AssertionError, match=r"shape|rank"):
            call()
    with pytest.raises(UndefinedError, match="no closed-form KL divergence from MultivariateNormal to Laplace"):
        kl_divergence(Q, Laplace(jnp.zeros(3), jnp.zeros(3)))
    for q, p in ((Q, DIAGONAL), (DIAGONAL, Q)):
        with pytest.raises(UndefinedError, match="no KL divergence per dimension from"):
            kl_per_dimension(q, p)
