"""Annealed importance sampling and its bounds on linear-Gaussian VAEs, whose log p(x) has a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evaluation.linear_gaussian_of import (
    elbo_of,
    exact_params_of,
    examples_of,
    log_likelihood_of,
    model_of,
    wrong_params_of,
)
from vae_jax import VAE, Normal
from vae_jax.distributions import Categorical, Delta
from vae_jax.evaluation import (
    Annealed,
    annealed_importance_sampling,
    bidirectional,
    from_posterior,
    from_prior,
    sigmoid_temperatures,
)

MODEL, EXACT, WRONG, XS = model_of(2), exact_params_of(2), wrong_params_of(2), examples_of(2, 5)
FEW = sigmoid_temperatures(6)


def z_score(values):
    values = np.asarray(values, np.float64)
    return values.mean() / (values.std(ddof=1) / np.sqrt(len(values)))


def assert_log_p_within_its_own_error(annealed, truth):
    difference, error = np.asarray(annealed.log_likelihood - truth, np.float64), np.asarray(annealed.standard_error)
    assert np.median(error) < 0.25
    # Over seeds E exp(difference) = 1 exactly: within five standard errors, once in 1.7 million seeds.
    assert abs(z_score(np.expm1(difference))) < 5
    # The log of a mean is biased by half its squared error. 31 degrees of freedom: |t| > 6 once in 4000 for one of 200.
    standardized = (difference + 0.5 * error**2) / error
    assert (np.abs(standardized) < 6).all()
    assert abs(standardized.mean()) < 5 / np.sqrt(len(truth))
    assert 0.6 < standardized.std() < 1.5
    # The acceptance rate that adaptation aims at, and the error from the ESS of the weights: sd / mean / sqrt(C).
    assert 0.5 < np.mean(annealed.acceptance_rate) < 0.75
    expected = np.sqrt((32 / np.asarray(annealed.effective_sample_size) - 1) / 31)
    np.testing.assert_allclose(error, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dim", "start", "num_steps", "num_examples"),
    [
        (2, from_prior, 60, 200),
        (2, from_posterior, 30, 200),
        (8, from_prior, 200, 200),
        (8, from_posterior, 60, 200),
        (32, from_posterior, 60, 200),
    ],
)
def test_the_sandwich_holds_log_p_and_its_lower_half_meets_it_within_its_own_error(dim, start, num_steps, num_examples):
    params = wrong_params_of(dim)
    temperatures = sigmoid_temperatures(num_steps)
    sandwich = bidirectional(
        model_of(dim), params, jax.random.key(1), num_examples, start=start, temperatures=temperatures, num_chains=32
    )
    truth = log_likelihood_of(params, sandwich.xs)
    assert_log_p_within_its_own_error(sandwich.forward, truth)
    assert np.mean(sandwich.lower) > np.mean(elbo_of(params, sandwich.xs)) + 0.2
    assert z_score(truth - sandwich.lower) > -5
    assert z_score(sandwich.upper - truth) > -5
    # E p / w = 1 in reverse, through the exact draw alone.
    assert abs(z_score(np.expm1(truth - sandwich.upper))) < 5
    np.testing.assert_array_equal(sandwich.gap, sandwich.upper - sandwich.lower)
    assert abs(np.mean(sandwich.gap)) < 0.25  # the bounds are tight


@pytest.mark.slow
def test_on_given_examples_it_meets_log_p_within_its_own_error():
    xs = examples_of(2, 200, seed=1)
    annealed = annealed_importance_sampling(
        MODEL, WRONG, jax.random.key(0), xs, temperatures=sigmoid_temperatures(30), num_chains=32
    )
    assert_log_p_within_its_own_error(annealed, log_likelihood_of(WRONG, xs))


@pytest.mark.slow
def test_the_gap_closes_with_more_temperatures():
    # Extra moves at temperature 0, before the first weight and after the last reverse weight: one program of 100 steps.
    run = lambda steps: bidirectional(
        model_of(8),
        wrong_params_of(8),
        jax.random.key(2),
        200,
        start=from_prior,
        temperatures=np.pad(sigmoid_temperatures(steps), (100 - steps, 0)),
    )
    few, more = run(10), run(100)
    assert z_score(few.gap) > 5  # bounds that are not tight show it
    assert z_score(few.gap - more.gap) > 5
    assert np.mean(more.gap) < 0.2 * np.mean(few.gap)


@pytest.mark.slow
def test_from_the_exact_posterior_both_bounds_are_log_p_on_any_path():
    sandwich = bidirectional(MODEL, EXACT, jax.random.key(4), 5, temperatures=FEW, num_chains=3)
    np.testing.assert_allclose(sandwich.lower, log_likelihood_of(EXACT, sandwich.xs), rtol=1e-5)
    np.testing.assert_allclose(sandwich.gap, 0, atol=1e-4)
    for annealed in (sandwich.forward, sandwich.reverse):
        np.testing.assert_allclose(annealed.effective_sample_size, 3, rtol=1e-4)
        np.testing.assert_allclose(annealed.standard_error, 0, atol=1e-4)


@pytest.mark.slow
def test_one_temperature_step_is_importance_sampling():
    # 0 -> 1 at once: the weights are p(x, z) / q(z | x) of draws of q, so with one chain the mean is the ELBO's.
    xs = examples_of(2, 2000)
    run = lambda temperatures: annealed_importance_sampling(
        MODEL, WRONG, jax.random.key(5), xs, temperatures=temperatures, num_chains=1, num_leapfrog=1, batch_size=2000
    )
    once = run([0.0, 1.0])
    assert abs(z_score(once.log_likelihood - elbo_of(WRONG, xs))) < 5
    # A repeated temperature does not change the weights.
    assert abs(z_score(run([0.0, 0.0, 1.0, 1.0]).log_likelihood - elbo_of(WRONG, xs))) < 5
    assert np.isinf(once.standard_error).all()  # a single weight has no spread
    np.testing.assert_allclose(once.effective_sample_size, 1, rtol=1e-5)


@pytest.mark.slow
def test_estimates_come_batch_by_batch_from_one_program_and_do_not_depend_on_the_batches():
    seen, traces = [], []

    def encode(params, x):
        traces.append(x)
        return MODEL.encode(params, x)

    settings = {"temperatures": FEW, "num_chains": 4, "num_leapfrog": 2}
    model = MODEL._replace(encode=encode)
    annealed = annealed_importance_sampling(
        model, WRONG, jax.random.key(6), XS, **settings, batch_size=2, on_batch=seen.append
    )
    assert len(traces) == 5  # four are the checks, and one is the program of all batches
    assert [len(batch.log_likelihood) for batch in seen] == [2, 2, 1]
    for name in Annealed._fields:
        np.testing.assert_array_equal(np.concatenate([getattr(b, name) for b in seen]), getattr(annealed, name))
    at_once = annealed_importance_sampling(MODEL, WRONG, jax.random.key(6), XS, **settings, batch_size=5)
    np.testing.assert_allclose(annealed.log_likelihood, at_once.log_likelihood, rtol=1e-4)


@pytest.mark.slow
def test_z_may_be_a_tuple():
    def parts(normal):
        return [Normal(normal.mean[i : i + 1], normal.log_variance[i : i + 1]) for i in range(2)]

    @jax.tree_util.register_pytree_node_class
    class Two:
        def __init__(self, *both):
            self.both = both

        def sample(self, key):
            return tuple(part.sample(k) for part, k in zip(self.both, jax.random.split(key), strict=True))

        def log_prob(self, z):
            return sum(part.log_prob(value) for part, value in zip(self.both, z, strict=True))

        def sample_and_log_prob(self, key):
            z = self.sample(key)
            return z, self.log_prob(z)

        tree_flatten = lambda self: (self.both, None)
        tree_unflatten = classmethod(lambda cls, _, both: cls(*both))

    model = VAE(
        init=MODEL.init,
        encode=lambda params, x: Two(*parts(MODEL.encode(params, x))),
        prior=lambda params: Two(*parts(MODEL.prior(params))),
        decode=lambda params, z: MODEL.decode(params, jnp.concatenate(z)),
    )
    annealed = annealed_importance_sampling(model, EXACT, jax.random.key(7), XS, temperatures=FEW, num_chains=3)
    np.testing.assert_allclose(annealed.log_likelihood, log_likelihood_of(EXACT, XS), rtol=1e-5)


@pytest.mark.parametrize("temperatures", [np.linspace(0.1, 1, 5), np.linspace(0, 0.9, 5), [0.0, 0.6, 0.5, 1.0]])
def test_temperatures_that_do_not_rise_from_0_to_1_are_refused(temperatures):
    for run in (lambda **how: annealed_importance_sampling(*how.pop("rest"), XS, **how), _bidirectional):
        with pytest.raises(ValueError, match=r"temperatures must rise from 0 to 1.*; got 0"):
            run(rest=(MODEL, WRONG, jax.random.key(0)), temperatures=temperatures)


def _bidirectional(rest, **how):
    return bidirectional(*rest, 3, **how)


@pytest.mark.parametrize("name", ["num_chains", "num_leapfrog", "batch_size"])
def test_sizes_below_1_are_refused(name):
    for run in (lambda **how: annealed_importance_sampling(*how.pop("rest"), XS, **how), _bidirectional):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            run(rest=(MODEL, WRONG, jax.random.key(0)), **{name: 0})


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match="the number of examples in xs must be at least 1, got 0"):
        annealed_importance_sampling(MODEL, WRONG, jax.random.key(0), XS[:0])
    with pytest.raises(ValueError, match="num_examples must be at least 1, got 0"):
        bidirectional(MODEL, WRONG, jax.random.key(0), 0)


NO_DENSITY = MODEL._replace(encode=lambda params, x: Delta(params["encoder"] @ x))


def test_a_posterior_without_a_density_is_refused():
    with pytest.raises(TypeError, match=r"that start returns must have a density, but a Delta has none: .*from_prior"):
        annealed_importance_sampling(NO_DENSITY, WRONG, jax.random.key(0), XS)


@pytest.mark.slow
def test_from_the_prior_no_posterior_is_needed():
    settings = {"start": from_prior, "temperatures": sigmoid_temperatures(100), "num_chains": 32}
    annealed = annealed_importance_sampling(NO_DENSITY, WRONG, jax.random.key(0), XS, **settings)
    error = np.asarray(annealed.standard_error)
    assert (np.abs(annealed.log_likelihood - log_likelihood_of(WRONG, XS)) < 6 * error).all()
    assert (error < 0.3).all()


def test_codes_that_have_no_gradient_are_refused():
    codes = lambda params, x=None: Categorical(jnp.zeros((3, 4)))
    model = MODEL._replace(encode=codes, prior=codes)
    with pytest.raises(TypeError, match=r"model must have a z of floating-point arrays.*got int32$"):
        annealed_importance_sampling(model, WRONG, jax.random.key(0), XS)
