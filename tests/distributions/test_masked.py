"""Tests of masked distributions: densities of the observed parts of an event."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax import distributions as d

MASK = jnp.array([True, False, True])
NORMAL = d.Normal(jnp.array([0.5, -2.0, 3.0]), jnp.array([-1.0, 0.5, 1.0]))
PLACE_BY_PLACE = {
    "Normal": (NORMAL, jnp.array([0.0, 1.0, 4.0])),
    "Laplace": (d.Laplace(NORMAL.mean, NORMAL.log_variance), jnp.array([0.0, 1.0, 4.0])),
    "Bernoulli": (d.Bernoulli(NORMAL.mean), jnp.array([0.0, 1.0, 1.0])),
    "ContinuousBernoulli": (d.ContinuousBernoulli(NORMAL.mean), jnp.array([0.1, 0.9, 0.4])),
    "DiscretizedLogistic": (d.DiscretizedLogistic(NORMAL.mean, NORMAL.log_variance), jnp.array([0.0, 1.0, 1.0])),
}


@pytest.mark.parametrize("name", PLACE_BY_PLACE)
def test_neither_value_nor_gradients_see_a_missing_entry(name):
    distribution, value = PLACE_BY_PLACE[name]
    with_nan = value.at[1].set(jnp.nan)
    terms = distribution.log_prob_terms(value)
    log_prob, (to_params, to_value) = jax.value_and_grad(lambda q, v: d.Masked(q, MASK).log_prob(v), argnums=(0, 1))(
        distribution, with_nan
    )
    np.testing.assert_allclose(log_prob, terms[0] + terms[2], rtol=1e-6)
    complete = jax.grad(lambda q: jnp.sum(q.log_prob_terms(value)[jnp.array([0, 2])]))(distribution)
    for given, expected in zip(jax.tree.leaves(to_params), jax.tree.leaves(complete), strict=True):
        np.testing.assert_allclose(given, expected, rtol=1e-6)
        assert given[1] == 0
    assert to_value[1] == 0 and np.isfinite(to_value).all()
    assert d.Masked(distribution, MASK).supports(with_nan)


def test_categories_and_one_hot_vectors_are_masked_by_place():
    logits = jnp.array([[0.1, 0.2, -0.4], [1.0, 0.0, 2.0]])
    mask = jnp.array([False, True])
    one = d.Categorical(logits)
    np.testing.assert_allclose(
        d.Masked(one, mask).log_prob(jnp.array([-1, 2])), one.log_prob_terms(jnp.array([0, 2]))[1], rtol=1e-6
    )
    vectors = jnp.array([[jnp.nan] * 3, [0.0, 0.0, 1.0]])
    masked = d.Masked(d.OneHotCategorical(logits), mask)
    np.testing.assert_allclose(masked.log_prob(vectors), one.log_prob_terms(jnp.array([0, 2]))[1], rtol=1e-6)
    assert masked.supports(vectors)
    assert not masked.supports(vectors[::-1])


def test_a_tree_has_a_tree_of_masks():
    parts = {"a": NORMAL, "b": d.Bernoulli(jnp.array([2.0]))}
    value = {"a": jnp.array([0.0, jnp.nan, 4.0]), "b": jnp.array([jnp.nan])}
    masked = d.Masked(d.Joint(parts), {"a": MASK, "b": jnp.array([False])})
    np.testing.assert_allclose(masked.log_prob(value), d.Masked(NORMAL, MASK).log_prob(value["a"]), rtol=1e-6)


def test_a_mask_of_another_shape_and_a_distribution_that_does_not_factorize_are_refused():
    with pytest.raises(ValueError, match=r"mask must have the shape of the value, \(3,\), got \(2,\)"):
        d.Masked(NORMAL, MASK[:2]).log_prob(jnp.zeros(3))
    mixture = d.Mixture(jnp.zeros(2), jax.tree.map(lambda a: jnp.stack([a, a]), NORMAL))
    with pytest.raises(d.UndefinedError, match="Mixture has no log_prob_terms"):
        d.Masked(mixture, MASK).log_prob(jnp.zeros(3))
