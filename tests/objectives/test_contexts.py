"""Objectives of a conditional model whose likelihood given each label is known, within their standard errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.linear_gaussian_family import (
    COMMON_PRIOR_FAMILY,
    FAMILY,
    elbo_value,
    exact_params,
    examples,
    log_likelihood,
    wrong_params,
)
from objectives.linear_gaussian import draws, standard_error
from vae_jax import objectives
from vae_jax.models import Example

BATCH = examples(6)


def test_with_the_exact_posterior_every_bound_is_log_p_of_x_given_its_label():
    expected = -log_likelihood(exact_params(), *BATCH).mean()
    for objective in (objectives.negative_sampled_elbo, objectives.negative_iwae(7), objectives.negative_stl):
        loss, _ = jax.jit(objective, static_argnums=0)(FAMILY, exact_params(), jax.random.key(0), BATCH)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_the_elbo_is_log_p_of_x_given_its_label_less_the_divergence_from_the_true_posterior():
    for family, common in ((FAMILY, False), (COMMON_PRIOR_FAMILY, True)):
        params, batch = wrong_params(common), examples(6, common=common)
        expected = -elbo_value(params, *batch).mean()
        assert expected > -log_likelihood(params, *batch).mean() + 0.3
        for objective in (objectives.negative_elbo, objectives.negative_sampled_elbo):
            values = draws(lambda key, f=objective, m=family, p=params, b=batch: f(m, p, key, b)[0], 20_000)
            assert abs(values.mean() - expected) < 5 * standard_error(values)  # fails once in 1.7 million seeds
            assert standard_error(values) < 0.02


@pytest.mark.slow
def test_the_mean_weight_is_p_of_x_given_its_label_and_iwae_closes_in_on_its_logarithm():
    params, (xs, labels) = wrong_params(), BATCH
    expected = log_likelihood(params, xs, labels)

    def bounds(key):
        keys = jax.random.split(key, len(xs))
        return jax.vmap(lambda k, x, y: objectives.iwae(FAMILY.given(y), params, k, x, 50))(keys, xs, labels)

    found = draws(bounds, 2_000)
    ratios = np.exp(found - expected)  # mean weights of 50 over p(x | y): unbiased
    assert (np.abs(ratios.mean(axis=0) - 1) < 5 * standard_error(ratios)).all()  # fails once in 290,000 seeds
    assert standard_error(ratios).max() < 0.01
    loss = draws(lambda key: objectives.negative_iwae(50)(FAMILY, params, key, BATCH)[0], 2_000)
    gap = loss.mean() + expected.mean()
    assert 5 * standard_error(loss) < gap < 0.1 * (expected - elbo_value(params, xs, labels)).mean()


def test_the_exact_aggregate_posterior_is_over_examples_with_their_own_contexts():
    params, (xs, labels) = wrong_params(), BATCH
    zs = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    of_each = [FAMILY.given(int(y)).encode(params, x) for x, y in zip(xs, labels, strict=True)]
    densities = np.exp([[float(q.log_prob(z)) for q in of_each] for z in zs])
    estimate = objectives.exact(Example(xs, labels))
    found = jax.jit(lambda zs: estimate(FAMILY, params, None, zs))(jnp.asarray(zs))
    np.testing.assert_allclose(found.joint, np.log(densities.mean(axis=1)), rtol=1e-4)
