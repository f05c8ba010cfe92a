"""Estimates of the aggregate posterior against the exact aggregate posterior, in numpy float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from vae_jax import VAE, Normal, objectives

RNG = np.random.default_rng(0)
N, D = 6, 3
MEANS = RNG.normal(0, 1.5, (N, D)).astype(np.float32)
LOG_VARIANCES = RNG.normal(-0.5, 0.3, (N, D)).astype(np.float32)
MODEL = VAE(
    init=lambda key: {},
    encode=lambda params, x: Normal(*jnp.split(x, 2)),
    prior=lambda params: Normal(jnp.zeros(D), jnp.zeros(D)),
    decode=lambda params, z: Normal(z, jnp.zeros(D)),
)
EXAMPLES = np.concatenate([MEANS, LOG_VARIANCES], axis=1)  # x holds the parameters of its own posterior


def densities(z):
    """Densities q(z_d | x_n), `[N, D]`."""
    return scipy.stats.norm.pdf(np.float64(z), np.float64(MEANS), np.exp(0.5 * np.float64(LOG_VARIANCES)))


def posteriors(indices):
    return Normal(jnp.asarray(MEANS[list(indices)]), jnp.asarray(LOG_VARIANCES[list(indices)]))


def estimates(zs, indices, log_weights):
    return objectives.batch_log_aggregate(posteriors(indices), zs, log_weights)


def test_exact_is_the_mean_density_of_all_examples_and_of_each_dimension():
    zs = RNG.normal(size=(4, D)).astype(np.float32)
    joint, marginals = objectives.exact(EXAMPLES)(MODEL, {}, posteriors(range(4)), zs)
    np.testing.assert_allclose(joint, [np.log(densities(z).prod(1).mean()) for z in zs], rtol=1e-5)
    np.testing.assert_allclose(marginals, [np.log(densities(z).mean(0)) for z in zs], rtol=1e-4, atol=1e-5)


def test_stratified_of_the_whole_data_set_is_exact():
    zs = RNG.normal(size=(N, D)).astype(np.float32)
    found = objectives.stratified(N)(MODEL, {}, posteriors(range(N)), zs)
    exact = objectives.exact(EXAMPLES)(MODEL, {}, posteriors(range(N)), zs)
    np.testing.assert_allclose(found.joint, exact.joint, rtol=1e-5)
    np.testing.assert_allclose(found.marginals, exact.marginals, rtol=1e-4, atol=1e-5)


def published_log_weights(m, n):
    """Log-weights of the code published with the paper: 1 / N in column 0, the stratum's weight in column 1."""
    weights = np.full(m * m, 1 / (m - 1))
    weights[::m] = 1 / n
    weights[1::m] = (n - m + 1) / (n * (m - 1))
    weights = weights.reshape(m, m)
    weights[m - 2, 0] = (n - m + 1) / (n * (m - 1))
    return np.log(weights)


def mean_over_batches(log_weights_of, m, own):
    """Expectation of sum_j W_ij q(z_i | x_j) at one z, over batches of size m with example `own` at every position."""
    z = RNG.normal(size=D).astype(np.float32)
    others = [i for i in range(N) if i != own]
    values = []
    for rest in itertools.permutations(others, m - 1):
        for place in range(m):
            batch = [*rest[:place], own, *rest[place:]]
            weights = np.exp(np.float64(log_weights_of(m, N)))[place]
            values.append(weights @ densities(z)[batch].prod(1))
    return np.mean(values), densities(z).prod(1).mean()


@pytest.mark.parametrize("m", [2, 3, 4])
def test_stratified_weights_are_unbiased_over_all_batches_that_hold_an_example(m):
    for own in range(N):
        found, true = mean_over_batches(objectives.stratified_log_weights, m, own)
        np.testing.assert_allclose(found, true, rtol=1e-5)
    np.testing.assert_allclose(np.exp(objectives.stratified_log_weights(m, N)).sum(1), 1, rtol=1e-6)


def test_the_published_matrix_and_minibatch_weights_are_biased():
    ratios = np.array([np.divide(*mean_over_batches(published_log_weights, 3, own)) for own in range(N)])
    assert np.abs(ratios - 1).max() > 0.2
    ratios = np.array([np.divide(*mean_over_batches(objectives.minibatch_log_weights, 3, own)) for own in range(N)])
    assert (ratios < 0.9).all()  # each example's own posterior has 1 / (N M) in place of 1 / N, and all sum to 1 / N


def test_minibatch_weights_keep_their_constants():
    np.testing.assert_allclose(objectives.minibatch_log_weights(4, 50), np.full((4, 4), -np.log(200)), rtol=1e-6)


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="num_examples must be at least 2, got 1"):
        objectives.stratified(1)
    with pytest.raises(ValueError, match="examples for stratified weights, got 4"):
        objectives.stratified(3)(MODEL, {}, posteriors(range(4)), jnp.zeros((4, D)))
    with pytest.raises(TypeError, match="uint8"):
        objectives.exact(np.zeros((2, 4), np.uint8))
    assert jax.eval_shape(lambda: objectives.stratified_log_weights(5, 10)).shape == (5, 5)
