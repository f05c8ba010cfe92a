"""HMC on known densities: it leaves them invariant, and chains from elsewhere converge to them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from vae_jax.evaluation._hmc import hmc_step, point_at

NUM_CHAINS = 20_000
SCALES = np.array([0.5, 2.0], np.float32)


def logistic(z):
    """Two independent logistic densities of scales 0.5 and 2, with heavier tails than a Normal."""
    return -jnp.sum(z / SCALES + 2.0 * jax.nn.softplus(-z / SCALES))


def normal(mean, variance):
    return lambda z: -0.5 * jnp.sum((z - mean) ** 2) / variance


NORMALS = (normal(0.0, 1.0), normal(2.0, 0.25))


@partial(jax.jit, static_argnames=("densities", "num_steps", "num_leapfrog"))
def chains(key, densities, mixture, positions, step_size, num_steps, num_leapfrog=5):
    """Positions of all chains after num_steps steps, and the mean acceptance probability."""

    def chain(key, position):
        def step(point, key):
            return hmc_step(key, densities, mixture, point, step_size, num_leapfrog)

        point, acceptance = jax.lax.scan(step, point_at(densities, position), jax.random.split(key, num_steps))
        return point, jnp.mean(acceptance)

    points, acceptance = jax.vmap(chain)(jax.random.split(key, positions.shape[0]), positions)
    return points, jnp.mean(acceptance)


def fits(values, distribution, level=1e-6):
    """Kolmogorov-Smirnov test that rejects the correct distribution once in a million seeds."""
    return scipy.stats.kstest(np.asarray(values, np.float64), distribution.cdf).pvalue > level


def test_exact_draws_stay_exact_draws_though_many_proposals_are_refused():
    draws = np.random.default_rng(0).logistic(size=(NUM_CHAINS, 2), scale=SCALES).astype(np.float32)
    step_size = 1.8 * SCALES
    points, acceptance = chains(jax.random.key(0), (logistic,), jnp.ones(1), draws, step_size, 6)
    # The step size is so large that leapfrog steps alone would be far off: wrong rejections would show in six steps.
    assert 0.5 < acceptance < 0.85
    for d in range(2):
        assert fits(points.position[:, d], scipy.stats.logistic(scale=SCALES[d]))
        assert abs(np.corrcoef(points.position[:, d], draws[:, d])[0, 1]) < 0.5  # the chains have moved
    np.testing.assert_allclose(points.log_probs[:5, 0], jax.vmap(logistic)(points.position[:5]), rtol=1e-5)


@pytest.mark.slow
def test_the_same_steps_with_every_proposal_accepted_do_not(monkeypatch):
    # The test above has the power to see an error in the acceptance.
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: jnp.array([0.5, 0.0]))
    draws = np.random.default_rng(0).logistic(size=(NUM_CHAINS, 2), scale=SCALES).astype(np.float32)
    points, _ = chains.__wrapped__(jax.random.key(0), (logistic,), jnp.ones(1), draws, 1.8 * SCALES, 6)
    assert not fits(points.position[:, 0], scipy.stats.logistic(scale=SCALES[0]))


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0])
def test_chains_from_elsewhere_come_to_the_geometric_mixture(temperature):
    # N(0, 1)^(1 - t) N(2, 1/4)^t is N(8t / (1 + 3t), 1 / (1 + 3t)).
    mixture = jnp.array([1.0 - temperature, temperature], jnp.float32)
    start = np.full((NUM_CHAINS, 1), -3.0, np.float32)
    points, acceptance = chains(jax.random.key(1), NORMALS, mixture, start, np.full(1, 0.25, np.float32), 40)
    precision = 1 + 3 * temperature
    assert fits(points.position[:, 0], scipy.stats.norm(8 * temperature / precision, precision**-0.5))
    assert acceptance > 0.9


def test_a_proposal_whose_energy_is_no_number_is_refused():
    broken = lambda z: jnp.where(jnp.abs(z[0]) < 0.5, 0.0, jnp.nan)
    points, acceptance = chains(
        jax.random.key(2), (broken,), jnp.ones(1), np.zeros((1000, 1), np.float32), np.ones(1, np.float32), 3
    )
    assert np.abs(points.position).max() < 0.5
    assert np.isfinite(points.log_probs).all()
    assert 0 <= acceptance < 0.5


def test_the_step_size_has_one_entry_for_each_dimension():
    point = point_at((logistic,), jnp.zeros(2))
    with pytest.raises(AssertionError, match="shape"):
        hmc_step(jax.random.key(0), (logistic,), jnp.ones(1), point, 0.1, 5)
