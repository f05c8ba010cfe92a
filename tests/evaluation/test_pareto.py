import jax
import numpy as np
import pytest
import scipy.stats

from vae_jax.evaluation import _pareto as pareto
from vae_jax.evaluation._pareto import pareto_k_limit, tail_length

generalized_pareto_shape, pareto_k = jax.jit(pareto.generalized_pareto_shape), jax.jit(pareto.pareto_k)


def reference_shape(x):
    """Reference of the paper's algorithm in numpy float64: the profile likelihood of b on Zhang & Stephens' grid."""
    n = len(x)
    m = 30 + int(np.sqrt(n))
    grid = [1 / x[-1] + (1 - np.sqrt(m / (j - 0.5))) / (3 * x[int(n / 4 + 0.5) - 1]) for j in range(1, m + 1)]
    shapes = [np.mean(np.log1p(-b * x)) for b in grid]
    profile = np.array([n * (np.log(-b / k) - k - 1) for b, k in zip(grid, shapes, strict=True)])
    weights = np.exp(profile - profile.max())
    b = np.sum(weights * grid) / np.sum(weights)
    return (n * np.mean(np.log1p(-b * x)) + 10 * 0.5) / (n + 10)


def largest(log_weights):
    ordered = np.sort(np.asarray(log_weights, np.float32))[::-1]
    return ordered[: tail_length(len(ordered)) + 1]


def test_the_tail_is_the_papers():
    # ceil(min(K / 5, 3 sqrt K)), which change places at K = 225.
    assert [tail_length(k) for k in (1, 20, 21, 225, 1000, 5000, 100_000)] == [1, 4, 5, 45, 95, 213, 949]


def test_the_limit_is_the_papers():
    # The release notes of the R package loo, 2.7.0, list these: 0.5, 0.6, 0.67, and 0.7 from about 2,200 on.
    limits = [pareto_k_limit(k) for k in (1, 10, 100, 320, 1000, 2200, 100_000)]
    np.testing.assert_allclose(limits, [0.0, 0.0, 0.5, 0.6, 0.67, 0.7, 0.7], atol=0.005)


@pytest.mark.parametrize("count", [5, 45, 213])
@pytest.mark.parametrize("k", [-0.5, 0.1, 0.7, 1.5])
def test_the_shape_is_the_reference_implementations(count, k):
    x = np.sort(scipy.stats.genpareto.rvs(k, scale=3.0, size=count, random_state=count))
    np.testing.assert_allclose(generalized_pareto_shape(x.astype(np.float32)), reference_shape(x), atol=2e-4)


def test_the_shape_is_arvizs():
    # The quantiles of a Pareto in place of 1000 draws. Values by arviz 0.23.4, psislw(log_weights, reff=1.0).
    quantiles = -np.log((np.arange(1000) + 0.5) / 1000)
    for k, expected in ((0.2, 0.236788), (0.7, 0.670658), (1.3, 1.191466)):
        np.testing.assert_allclose(pareto_k(largest(k * quantiles)), expected, atol=1e-5)


@pytest.mark.parametrize("k", [-0.3, 0.2, 0.7, 1.2])
def test_draws_of_a_known_shape_give_it(k):
    # 400 fits to 213 exceedances. Their mean is that of the shrunk estimate, up to the fit's bias of order 1 / 213;
    # their spread is (1 + k) / sqrt(213) in the limit of many exceedances (Smith 1987).
    draws = np.sort(scipy.stats.genpareto.rvs(k, size=(400, 213), random_state=1), axis=1).astype(np.float32)
    shapes = np.asarray(jax.jit(jax.vmap(generalized_pareto_shape))(draws))
    expected = (213 * k + 5) / 223
    assert abs(shapes.mean() - expected) < 0.03
    np.testing.assert_allclose(shapes.std(), (1 + k) / np.sqrt(213) * 213 / 223, rtol=0.4)


@pytest.mark.parametrize("k", [0.3, 0.7, 1.1])
def test_weights_with_a_tail_of_known_index_give_it(k):
    # U^-k has the tail P(w > t) = t^(-1/k): 200 sets of 5000 weights, whose fits spread by (1 + k) / sqrt(213) < 0.15.
    log_weights = -k * np.log(np.random.default_rng(2).uniform(size=(200, 5000)))
    ks = np.asarray(jax.jit(jax.vmap(pareto_k))(np.stack([largest(row) for row in log_weights])))
    assert abs(ks.mean() - (213 * k + 5) / 223) < 5 * 0.15 / np.sqrt(200)


def test_the_shape_does_not_change_with_the_weights_scale():
    log_weights = np.random.default_rng(3).normal(0, 3, 1000)
    expected = pareto_k(largest(log_weights))
    for shift in (-3000.0, 60.0, 200.0):
        np.testing.assert_allclose(pareto_k(largest(log_weights + shift)), expected, atol=2e-3)


def test_what_cannot_be_fitted_is_said_and_never_nan():
    flat = np.full(96, -90.0, np.float32)
    rounding = flat + np.float32(1e-5) * np.sort(np.random.default_rng(4).normal(size=96))[::-1].astype(np.float32)
    assert pareto_k(flat) == 0
    assert pareto_k(rounding) == 0
    too_few = [largest(np.arange(count)) for count in (1, 2, 20)]
    two_values = np.where(np.arange(96) < 5, 3.0, -90.0)  # most of the tail equals the threshold
    impossible = np.full(96, -np.inf)
    a_few_possible = np.where(np.arange(96) < 50, -np.arange(96.0), -np.inf)
    hopeless = -40.0 * np.arange(96.0)  # beyond the range of float32
    not_numbers = np.full(96, np.nan)
    for values in (*too_few, two_values, impossible, a_few_possible, hopeless, not_numbers):
        assert pareto_k(np.asarray(values, np.float32)) == np.inf
    assert np.isfinite(pareto_k(largest(np.arange(21))))
