"""Tests of joint distributions: a tree of independent parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from vae_jax import distributions as d

ROW = d.Joint(
    {
        "height": d.Normal(jnp.array([1.0, -2.0]), jnp.array([0.5, -1.0])),
        "smoker": d.Bernoulli(jnp.array([0.3])),
        "city": d.Categorical(jnp.array([[0.1, 0.2, -0.4]])),
    }
)
EVENT = {"height": jnp.array([0.4, -1.5]), "smoker": jnp.array([1.0]), "city": jnp.array([2])}


def test_log_prob_is_the_sum_over_the_parts_of_a_tree():
    deviations = np.exp(0.5 * np.array([0.5, -1.0]))
    expected = {
        "height": scipy.stats.norm.logpdf([0.4, -1.5], [1.0, -2.0], deviations),
        "smoker": np.log([1 / (1 + np.exp(-0.3))]),
        "city": np.array([-0.4 - np.log(np.exp([0.1, 0.2, -0.4]).sum())]),
    }
    terms = ROW.log_prob_terms(EVENT)
    for name, values in expected.items():
        np.testing.assert_allclose(terms[name], values, rtol=1e-6)
    np.testing.assert_allclose(ROW.log_prob(EVENT), sum(values.sum() for values in expected.values()), rtol=1e-6)


def test_the_divergence_is_the_sum_over_the_parts():
    q = d.Joint(
        (d.Normal(jnp.array([1.0]), jnp.array([0.5])), d.Laplace(jnp.array([1.0, 2.0]), jnp.array([0.1, -0.3])))
    )
    p = jax.tree.map(jnp.zeros_like, q)
    per_part = [a.kl(b) for a, b in zip(q.parts, p.parts, strict=True)]
    np.testing.assert_allclose(d.kl_divergence(q, p), sum(per_part), rtol=1e-6)
    np.testing.assert_allclose([jnp.sum(kl) for kl in d.kl_per_dimension(q, p)], per_part, rtol=1e-6)
    assert q.kl(d.standard_normal(3)) is None


def test_means_are_a_tree_and_a_part_without_a_mean_leaves_none():
    continuous = d.Joint([ROW.parts["height"], ROW.parts["smoker"]])
    np.testing.assert_allclose(continuous.mean[0], [1.0, -2.0])
    np.testing.assert_allclose(continuous.standard_deviation[0], np.exp([0.25, -0.5]), rtol=1e-6)
    assert not hasattr(ROW, "mean") and not hasattr(d.Masked(ROW, EVENT), "mean")
    with pytest.raises(d.UndefinedError, match="Joint has no mean"):
        d.mean_of(ROW)


def test_an_event_outside_the_support_of_a_part_is_refused():
    with pytest.raises(ValueError, match="row holds values outside"):
        d.check_support(ROW, {**EVENT, "city": jnp.array([3])}, "row")
