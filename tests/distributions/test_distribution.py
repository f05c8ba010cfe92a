import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from vae_jax.distributions import (
    Bernoulli,
    Categorical,
    Delta,
    Laplace,
    Normal,
    UndefinedError,
    from_standard_normal_of,
    kl_divergence,
    kl_per_dimension,
    log_prob_of,
    log_prob_terms_of,
    mean_of,
    point_estimate_of,
    sample_and_log_prob_of,
    standard_deviation_of,
)
from vae_jax.distributions._distribution import Distribution, discrete_kl_terms, event_arrays


def test_kl_divergence_is_the_distributions_own_closed_form():
    # 1/2 (e^-1 + 1 + 0.25 - 1) and log(2) terms worked out by hand.
    q, p = Normal(jnp.full(1, 0.5), jnp.full(1, -1.0)), Normal(jnp.zeros(1), jnp.zeros(1))
    np.testing.assert_allclose(kl_divergence(q, p), 0.5 * (np.exp(-1) + 0.25), rtol=1e-6)
    fair, biased = Bernoulli(jnp.zeros(1)), Bernoulli(jnp.full(1, np.log(3)))
    np.testing.assert_allclose(kl_divergence(fair, biased), 0.5 * np.log(4 / 3), rtol=1e-6)
    uniform, skewed = Categorical(jnp.zeros(2)), Categorical(jnp.asarray([np.log(3), 0.0]))
    np.testing.assert_allclose(kl_divergence(skewed, uniform), 0.75 * np.log(1.5) + 0.25 * np.log(0.5), rtol=1e-6)
    wide, unit = Laplace(jnp.zeros(1), jnp.full(1, np.log(2))), Laplace(jnp.zeros(1), jnp.zeros(1))
    np.testing.assert_allclose(kl_divergence(wide, unit), 1 - np.log(2), rtol=1e-6)


@pytest.mark.parametrize(
    ("q", "p", "names"),
    [
        (Delta(jnp.zeros(2)), Normal(jnp.zeros(2), jnp.zeros(2)), "from Delta to Normal"),
        (Delta(jnp.zeros(2)), Delta(jnp.zeros(2)), "from Delta to Delta"),
        (Normal(jnp.zeros(2), jnp.zeros(2)), Laplace(jnp.zeros(2), jnp.zeros(2)), "from Normal to Laplace"),
        (Bernoulli(jnp.zeros(2)), Categorical(jnp.zeros(2)), "from Bernoulli to Categorical"),
    ],
)
def test_a_pair_without_a_closed_form_is_refused_with_an_alternative(q, p, names):
    with pytest.raises(TypeError, match=f"no closed-form KL divergence {names}; use the sampled estimate"):
        kl_divergence(q, p)


def test_mean_of_is_the_mean_and_refuses_a_categorical():
    np.testing.assert_array_equal(mean_of(Normal(jnp.full(2, 3.0), jnp.zeros(2))), [3.0, 3.0])
    np.testing.assert_allclose(mean_of(Bernoulli(jnp.full(2, np.log(3)))), [0.75, 0.75], rtol=1e-6)
    with pytest.raises(TypeError, match=r"Categorical has no mean; draw from it with \.sample\(key\)"):
        mean_of(Categorical(jnp.zeros(3)))


def test_a_missing_method_is_named_in_the_error():
    normal = Normal(jnp.array([3.0, -1.0]), jnp.log(jnp.array([4.0, 9.0])))
    np.testing.assert_allclose(standard_deviation_of(normal), [2.0, 3.0], rtol=1e-6)
    np.testing.assert_allclose(from_standard_normal_of(normal, jnp.array([1.0, -2.0])), [5.0, -7.0], rtol=1e-6)
    np.testing.assert_array_equal(point_estimate_of(normal), normal.mean)
    np.testing.assert_allclose(kl_per_dimension(normal, normal), [0.0, 0.0])
    assert log_prob_terms_of(normal, normal.mean).shape == (2,)
    delta, categorical = Delta(jnp.ones(2)), Categorical(jnp.zeros(3))
    np.testing.assert_array_equal(point_estimate_of(delta), [1.0, 1.0])
    for call, message in (
        (lambda: standard_deviation_of(delta), "Delta has no standard_deviation in closed form"),
        (lambda: from_standard_normal_of(categorical, jnp.ones(2)), "Categorical has no from_standard_normal"),
        (lambda: point_estimate_of(categorical), "Categorical has no mean; draw from it"),
        (lambda: log_prob_terms_of(delta, jnp.ones(2)), "Delta has no log_prob_terms"),
        (lambda: kl_per_dimension(delta, normal), "no KL divergence per dimension from Delta to Normal"),
        (lambda: kl_per_dimension(normal, delta), "no KL divergence per dimension from Normal to Delta"),
    ):
        with pytest.raises(UndefinedError, match=message):
            call()


def test_a_distribution_of_the_user_needs_only_sample_and_log_prob():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Exponential(Distribution):
        rate: jax.Array

        def sample(self, key):
            return jax.random.exponential(key, self.rate.shape) / self.rate

        def log_prob(self, value):
            return jnp.sum(jnp.log(self.rate) - self.rate * value)

    value, log_prob = Exponential(jnp.full(2, 2.0)).sample_and_log_prob(jax.random.key(0))
    np.testing.assert_allclose(log_prob, 2 * np.log(2) - 2 * np.sum(value), rtol=1e-6)


@pytest.mark.parametrize("distribution", [Normal(jnp.zeros(1), jnp.zeros(1)), Delta(jnp.zeros(1))])
def test_distributions_are_frozen(distribution):
    field = dataclasses.fields(distribution)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(distribution, field, jnp.ones(1))


def test_event_arrays_promotes_to_float32_and_refuses_other_shapes():
    for given in (jnp.ones(2, jnp.bfloat16), np.ones(2, np.uint8), np.ones(2, bool), jnp.ones(2, jnp.float16)):
        (array,) = event_arrays(given)
        assert array.dtype == jnp.float32
        np.testing.assert_array_equal(array, [1.0, 1.0])
    with pytest.raises(AssertionError, match="shape"):
        event_arrays(jnp.ones(2), jnp.ones(1))


def test_discrete_kl_terms_agree_with_scipy_on_both_branches():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(6), 500)
    other = rng.dirichlet(np.ones(6), 500)
    other[:250] = 0.99 * p[:250] + 0.01 * other[:250]
    terms = discrete_kl_terms(jnp.log(p), jnp.log(other))
    # scipy's kl_div is p log(p / p') - p + p'; the absolute part is float32's rounding of the probabilities.
    np.testing.assert_allclose(terms, scipy.special.kl_div(p, other), rtol=1e-3, atol=3e-7)
    assert np.min(terms) >= 0
    assert (np.abs(np.log(other / p)) > 1).any()
    assert (np.abs(np.log(other / p)) < 1).any()


def test_a_distribution_with_only_draws_raises_for_its_density():
    class Implicit(Distribution):
        def sample(self, key):
            return jax.random.normal(key, (2,))

    with pytest.raises(TypeError, match="Implicit has no log_prob"):
        Implicit().log_prob(jnp.zeros(2))
    with pytest.raises(TypeError, match="Implicit has no log_prob"):
        Implicit().sample_and_log_prob(jax.random.key(0))


def test_a_missing_density_raises_undefined_error_and_an_error_inside_a_density_propagates():
    class Bare:
        pass

    class OtherLibrarys:
        def log_prob(self, value):
            raise NotImplementedError("log_prob is not implemented: Implicit")

    class Mistaken:
        def log_prob(self, value):
            return self.scael

    with pytest.raises(UndefinedError, match="Bare has no log_prob"):
        log_prob_of(Bare(), 0.0)
    with pytest.raises(UndefinedError, match="Bare has no sample_and_log_prob"):
        sample_and_log_prob_of(Bare(), jax.random.key(0))
    with pytest.raises(UndefinedError, match="OtherLibrarys has no log_prob: log_prob is not implemented"):
        log_prob_of(OtherLibrarys(), 0.0)
    with pytest.raises(AttributeError, match="scael"):
        log_prob_of(Mistaken(), 0.0)
    unit = Normal(jnp.zeros(1), jnp.zeros(1))
    assert log_prob_of(unit, jnp.ones(1)) == unit.log_prob(jnp.ones(1))
    assert sample_and_log_prob_of(unit, jax.random.key(0)) == unit.sample_and_log_prob(jax.random.key(0))
