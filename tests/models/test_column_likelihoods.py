import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from distributions.count_references import negative_binomial, poisson
from vae_jax.models import column_likelihoods, likelihoods
from vae_jax.models.likelihoods import Likelihood

RNG = np.random.default_rng(0)
OUTPUTS = RNG.normal(size=(2, 3, 4)).astype(np.float32)
COUNTS = RNG.poisson(2, (2, 3)).astype(np.float32)
NUMBERS = RNG.normal(size=(2, 3)).astype(np.float32)
MEANS = jnp.asarray([0.2, 1.0, 3.5])


def log_prob(likelihood, x):
    shape = likelihood.output_shape(x.shape)
    assert shape[:-1] == x.shape
    return likelihood.distribution(jnp.asarray(OUTPUTS[..., : shape[-1]])).log_prob(x)


def test_each_likelihood_reads_its_outputs_in_the_documented_order():
    a, b, c = np.moveaxis(np.float64(OUTPUTS[..., :3]), -1, 0)
    p = scipy.special.expit(c)
    counted = (1 - p) * np.exp(negative_binomial(COUNTS, a, b))
    expected = {
        "normal": (NUMBERS, scipy.stats.norm.logpdf(NUMBERS, a, np.exp(b / 2))),
        "student_t": (NUMBERS, scipy.stats.t.logpdf(NUMBERS, 3 + np.logaddexp(0, c), a, np.exp(b))),
        "log_normal": (np.exp(NUMBERS), scipy.stats.lognorm.logpdf(np.exp(NUMBERS), np.exp(b / 2), scale=np.exp(a))),
        "poisson": (COUNTS, poisson(COUNTS, a)),
        "negative_binomial": (COUNTS, negative_binomial(COUNTS, a, b)),
        "zero_inflated_negative_binomial": (COUNTS, np.log(counted + p * (COUNTS == 0))),
    }
    assert set(expected) == {n for n, v in vars(column_likelihoods).items() if isinstance(v, Likelihood)}
    for name, (x, terms) in expected.items():
        np.testing.assert_allclose(log_prob(getattr(column_likelihoods, name), x), terms.sum(), rtol=1e-5)
    student_t = likelihoods.student_t
    np.testing.assert_allclose(log_prob(student_t, NUMBERS), expected["student_t"][1].sum(), rtol=1e-5)
    categories = RNG.integers(0, 4, (2, 3))
    log_p = scipy.special.log_softmax(np.float64(OUTPUTS), axis=-1)
    chosen = np.take_along_axis(log_p, categories[..., None], -1).sum()
    np.testing.assert_allclose(log_prob(column_likelihoods.categorical(4), categories), chosen, rtol=1e-5)
    # Cut points at 0, softplus(b), softplus(b) + softplus(c).
    cuts = np.cumsum([np.zeros_like(b), np.logaddexp(0, b), np.logaddexp(0, c)], axis=0) - a
    below = np.concatenate([np.zeros((1, 2, 3)), scipy.special.expit(cuts), np.ones((1, 2, 3))])
    terms = np.log(np.take_along_axis(np.diff(below, axis=0), categories[None], 0))
    np.testing.assert_allclose(log_prob(column_likelihoods.ordinal(4), categories), terms.sum(), rtol=1e-5)


def test_at_the_initial_outputs_the_distribution_has_the_mean_of_the_data():
    for name, likelihood in vars(column_likelihoods).items():
        if isinstance(likelihood, Likelihood):
            outputs = likelihood.initial_outputs(MEANS)
            assert outputs.shape == likelihood.output_shape(MEANS.shape)
            np.testing.assert_allclose(likelihood.distribution(outputs).mean, MEANS, rtol=1e-5, err_msg=name)
            zero = likelihood.initial_outputs(jnp.zeros(1))  # a column of zeros
            assert np.isfinite(zero).all() and np.isfinite(likelihood.distribution(zero).mean).all()
    uniform = column_likelihoods.categorical(5)
    np.testing.assert_allclose(uniform.distribution(uniform.initial_outputs(MEANS)).probabilities, 0.2, rtol=1e-6)
    for levels in (2, 3, 8):
        likelihood = column_likelihoods.ordinal(levels)
        outputs = likelihood.initial_outputs(jnp.asarray([(levels - 1) / 2, 0.0, levels - 1.0]))
        middle, low, high = likelihood.distribution(outputs).probabilities
        np.testing.assert_allclose(middle, 1 / levels, rtol=1e-5)
        assert low[0] > 0.7 and high[-1] > 0.7


def test_gradients_are_finite_at_extreme_outputs():
    # Each of the likelihoods, with outputs of +-30; the test of the distributions has the larger logits.
    outputs = jnp.asarray([[30.0, -30.0, 30.0], [-30.0, 30.0, -30.0], [30.0, 30.0, -30.0], [-30.0, -30.0, 30.0]])
    for likelihood in [v for v in vars(column_likelihoods).values() if isinstance(v, Likelihood)]:
        count = likelihood.output_shape(())[0]
        of = lambda outputs, likelihood=likelihood: likelihood.distribution(outputs).log_prob(jnp.ones(4))
        assert np.isfinite(jax.jit(jax.grad(of))(outputs[:, :count])).all()


def test_fewer_than_two_categories_are_refused():
    for make in (column_likelihoods.categorical, column_likelihoods.ordinal):
        with pytest.raises(ValueError, match="num_categories must be at least 2, got 1"):
            make(1)
