"""Sticking the landing on the linear-Gaussian VAE, where the posterior can be exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from objectives.linear_gaussian import (
    elbo_value,
    exact_params,
    examples,
    gradient_draws,
    linear_gaussian,
    separated,
    standard_error,
    wrong_params,
)
from vae_jax.objectives import negative_sampled_elbo, negative_stl

MODEL, XS = linear_gaussian(), examples(1)


@pytest.mark.slow
def test_with_the_exact_posterior_the_encoders_gradient_has_no_noise_and_the_usual_one_has():
    model, params = separated(MODEL), {"inference": exact_params(), "generation": exact_params()}
    size = sum(leaf.size for leaf in jax.tree.leaves(exact_params()))
    stl, usual = (gradient_draws(o, model, params, XS, 2000) for o in (negative_stl, negative_sampled_elbo))
    # The leaves are in the order of their names: "generation" first, then "inference".
    assert np.abs(stl[:, size:]).max() < 1e-4  # not only without noise: zero, to rounding
    assert usual[:, size:].std(axis=0).max() > 0.5
    assert stl[:, :size].std(axis=0).max() > 0.5  # the generative gradient is what it was
    np.testing.assert_allclose(stl[:, :size], usual[:, :size], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_noise_vanishes_as_the_posterior_becomes_exact():
    model = separated(MODEL)
    deviations = []
    for step in (1.0, 0.1, 0.01):
        inference = jax.tree.map(lambda a, b, s=step: a + s * (b - a), exact_params(), wrong_params())
        gradients = gradient_draws(
            negative_stl, model, {"inference": inference, "generation": exact_params()}, XS, 2000
        )
        deviations.append(np.linalg.norm(gradients[:, gradients.shape[1] // 2 :].std(axis=0)))
    # In proportion to the distance, where it is small; deviations of 2,000 draws are known to some 3 %.
    assert deviations[0] > 3 * deviations[1]
    np.testing.assert_allclose(deviations[1] / deviations[2], 10.0, rtol=0.3)


def test_the_gradient_has_the_elbos_analytic_mean():
    params, x = wrong_params(), XS[0]
    expected, _ = ravel_pytree(jax.grad(lambda p: -elbo_value(p, x, jnp))(params))
    gradients = gradient_draws(negative_stl, MODEL, params, XS, 20_000)
    # Five standard errors in each of 23 numbers: fails once in 75,000 seeds.
    assert (np.abs(gradients.mean(axis=0) - expected) < 5 * standard_error(gradients) + 1e-5).all()
    assert np.abs(expected).max() > 50 * standard_error(gradients).max()


def test_value_and_metrics_are_those_of_the_sampled_elbo_for_every_key():
    xs = examples(4)
    for seed in range(3):
        key = jax.random.key(seed)
        assert negative_stl(MODEL, wrong_params(), key, xs) == negative_sampled_elbo(MODEL, wrong_params(), key, xs)
