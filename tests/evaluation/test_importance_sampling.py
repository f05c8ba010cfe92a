"""Estimates of log p(x) and their diagnostics on linear-Gaussian VAEs, for which both have a closed form."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from evaluation.linear_gaussian_of import (
    elbo_of,
    exact_params_of,
    examples_of,
    log_likelihood_of,
    model_of,
    weight_variance_of,
    wrong_params_of,
)
from networks.programs import UNRUN
from vae_jax import VAE, Normal, standard_normal
from vae_jax.distributions import Bernoulli, Categorical, Delta, Distribution
from vae_jax.evaluation import ImportanceSampled, elbo_surgery, importance_sampling, importance_warning
from vae_jax.evaluation import _pareto as pareto
from vae_jax.evaluation._importance_sampling import estimates_at
from vae_jax.objectives import log_weight

MODEL, WRONG, XS = model_of(2), wrong_params_of(2), examples_of(2, 5)
DIMS = [2, pytest.param(8, marks=pytest.mark.slow), pytest.param(32, marks=pytest.mark.slow)]


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize(("num_samples", "chunk_size"), [(1, 1000), (40, 7)])
def test_with_the_exact_posterior_every_weight_is_p(dim, num_samples, chunk_size):
    params, xs = exact_params_of(dim), examples_of(dim, 5)
    estimates = importance_sampling(model_of(dim), params, jax.random.key(0), xs, num_samples, chunk_size=chunk_size)
    np.testing.assert_allclose(estimates.log_likelihood, log_likelihood_of(params, xs), rtol=1e-5)
    np.testing.assert_allclose(estimates.effective_sample_size, num_samples, rtol=1e-5)
    # The tail is flat; for a single weight no tail can be fitted.
    np.testing.assert_array_equal(estimates.pareto_k, np.full(5, np.inf if num_samples == 1 else 0.0))
    assert (importance_warning(estimates, num_samples) is None) == (num_samples == 40)


@pytest.mark.slow
def test_it_is_numpys_arithmetic_on_the_weights_of_the_documented_keys():
    key, num_samples = jax.random.key(1), 50
    estimates = importance_sampling(MODEL, WRONG, key, XS, num_samples, chunk_size=13, batch_size=2)
    example_keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(5))
    keys = jax.vmap(jax.vmap(jax.random.fold_in, in_axes=(None, 0)), in_axes=(0, None))(example_keys, jnp.arange(50))
    of_example = jax.vmap(lambda k, x: log_weight(MODEL, WRONG, k, x), in_axes=(0, None))
    log_weights = np.asarray(jax.jit(jax.vmap(of_example))(keys, XS), np.float64)
    expected = scipy.special.logsumexp(log_weights, axis=1) - np.log(num_samples)
    np.testing.assert_allclose(estimates.log_likelihood, expected, rtol=1e-5)
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    effective = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)
    np.testing.assert_allclose(estimates.effective_sample_size, effective, rtol=1e-4)
    largest = np.sort(log_weights, axis=1)[:, ::-1][:, : pareto.tail_length(50) + 1]
    np.testing.assert_allclose(estimates.pareto_k, jax.vmap(pareto.pareto_k)(largest), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chunk_size", "batch_size"),
    [(7, 2), (1, 5), (60, 3), (1000, 1), (130, None)],
)
def test_nothing_depends_on_how_samples_and_examples_are_chunked(chunk_size, batch_size):
    key, num_samples = jax.random.key(2), 60
    expected = importance_sampling(MODEL, WRONG, key, XS, num_samples)
    actual = importance_sampling(MODEL, WRONG, key, XS, num_samples, chunk_size=chunk_size, batch_size=batch_size)
    for name in ImportanceSampled._fields:
        np.testing.assert_allclose(getattr(actual, name), getattr(expected, name), rtol=2e-5, atol=2e-4)
    fewer = importance_sampling(MODEL, WRONG, key, XS[:2], num_samples)
    np.testing.assert_allclose(fewer.log_likelihood, expected.log_likelihood[:2], rtol=1e-6)
    assert np.std(expected.log_likelihood) > 0.1


@pytest.mark.parametrize("dim", DIMS)
def test_with_a_wrong_posterior_it_meets_log_p_within_its_own_error(dim):
    params, xs, num_samples = wrong_params_of(dim), examples_of(dim, 60), 4000
    estimates = importance_sampling(model_of(dim), params, jax.random.key(3), xs, num_samples)
    variance = weight_variance_of(params, xs)
    assert 0.2 < np.median(variance) < 5  # the posterior is wrong, but not so wrong that the expansion below fails
    difference = np.asarray(estimates.log_likelihood, np.float64) - log_likelihood_of(params, xs)
    # The estimated error from the effective sample size: sd(w) / (mean(w) sqrt(K)).
    effective = np.asarray(estimates.effective_sample_size, np.float64)
    own_error = np.sqrt((num_samples / effective - 1) / (num_samples - 1))
    np.testing.assert_allclose(np.median(own_error / np.sqrt(variance / num_samples)), 1.0, atol=0.1)
    # The log of a mean is biased by -v / 2K. Five errors in each of 60: fails once in 29,000 seeds; in their mean, once
    # in 1.7 million.
    standardized = (difference + variance / (2 * num_samples)) / own_error
    assert (np.abs(standardized) < 5).all()
    assert abs(standardized.mean()) < 5 / np.sqrt(60)
    assert 0.6 < standardized.std() < 1.5  # the errors are neither too wide nor too narrow
    assert importance_warning(estimates, num_samples, tolerated_share=0.2) is None


@pytest.mark.slow
@pytest.mark.parametrize("dim", [2, 8, 32])
def test_the_bound_rises_from_the_elbo_to_log_p_with_the_number_of_samples(dim):
    params, xs = wrong_params_of(dim), examples_of(dim, 2000)
    truth, elbo = log_likelihood_of(params, xs), elbo_of(params, xs)
    bounds = {
        k: np.asarray(importance_sampling(model_of(dim), params, jax.random.key(k), xs, k).log_likelihood, np.float64)
        for k in (1, 5, 50)
    }
    z_score = lambda differences: differences.mean() / (differences.std() / np.sqrt(len(differences)))
    assert abs(z_score(bounds[1] - elbo)) < 5  # K = 1 is the ELBO: fails once in 1.7 million seeds
    assert z_score(bounds[5] - bounds[1]) > 5
    assert z_score(bounds[50] - bounds[5]) > 5
    assert z_score(truth - bounds[50]) > -5
    # The bound at K = 50 is below log p(x) by v / 2K.
    missing = np.mean(truth - bounds[50] - weight_variance_of(params, xs) / 100)
    assert abs(missing) < 0.2 * np.mean(truth - bounds[1])


def test_the_diagnostics_tell_a_narrow_posterior_from_a_wide_one():
    # A posterior of a fraction r < 1 of the true variance has weights ~ exp(z^2 (1 - r) / 2) for z ~ N(0, 1), whose
    # tail falls as t^(-1 / (1 - r)) up to logarithms: k = 1 - r, here 0.9. One that is too wide has bounded weights.
    xs, exact = examples_of(2, 60), exact_params_of(2)
    found = {}
    for ratio in (2.0, 0.1):
        params = {**exact, "log_variance": exact["log_variance"] + np.float32(np.log(ratio))}
        found[ratio] = importance_sampling(MODEL, params, jax.random.key(4), xs, 4000)
    assert np.mean(found[2.0].pareto_k) < 0  # bounded weights have a bounded tail
    assert np.mean(found[0.1].pareto_k) > 0.75
    assert np.median(found[0.1].effective_sample_size) < 0.1 * np.median(found[2.0].effective_sample_size)
    assert importance_warning(found[2.0], 4000) is None
    assert "take more samples" in importance_warning(found[0.1], 4000).lower()


def test_the_warning_says_how_many_examples_and_why():
    ks = np.full(200, 0.2, np.float32)
    ks[:3] = [0.9, 1.4, np.inf]
    estimates = ImportanceSampled(np.zeros(200), np.arange(200) + 5.0, ks)
    warning = importance_warning(estimates, 5000)
    assert warning.startswith("1.5% of the 200 examples")
    assert "Pareto k > 0.7; median effective sample size 6)" in warning
    assert importance_warning(estimates, 5000, tolerated_share=0.02) is None
    few = estimates._replace(pareto_k=np.full(200, np.inf))
    assert "cannot be assessed: there are fewer than 21 samples" in importance_warning(few, 20)
    below = estimates._replace(pareto_k=np.full(200, 0.69))
    assert importance_warning(below, 5000) is None
    assert "Pareto k > 0.63" in importance_warning(below, 500)  # the limit is lower for fewer samples


def test_the_warning_names_examples_that_have_no_finite_likelihood():
    estimates = ImportanceSampled(np.array([-80.0, -np.inf, np.nan]), np.ones(3), np.zeros(3))
    warning = importance_warning(estimates, 5000)
    assert warning.startswith("2 of the 3 examples have a log-likelihood that is not finite, so there is no mean")


def test_progress_is_told_batch_by_batch_and_one_program_is_compiled():
    seen, traces = [], []

    def decode(params, z):
        traces.append(z)
        return MODEL.decode(params, z)

    model = MODEL._replace(decode=decode)
    estimates = importance_sampling(model, WRONG, jax.random.key(5), XS, 30, batch_size=2, on_batch=seen.append)
    assert len(traces) == 2  # once for the shape of an example, and once for the program
    assert [len(batch.log_likelihood) for batch in seen] == [2, 2, 1]
    for name in ImportanceSampled._fields:
        np.testing.assert_array_equal(np.concatenate([getattr(b, name) for b in seen]), getattr(estimates, name))


def test_what_was_done_is_kept_where_an_evaluation_is_interrupted():
    seen = []

    def stop(batch):
        seen.append(batch)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        importance_sampling(MODEL, WRONG, jax.random.key(2), XS, 60, chunk_size=7, batch_size=2, on_batch=stop)
    expected = importance_sampling(MODEL, WRONG, jax.random.key(2), XS, 60)
    np.testing.assert_allclose(np.concatenate([b.log_likelihood for b in seen]), expected.log_likelihood[:4], rtol=1e-6)


@pytest.mark.slow
def test_a_hundred_thousand_samples_need_the_memory_of_a_chunk():
    # Of 10,000 decoded pixels 100,000 samples at once would be 4 GB; a chunk of 100 is 4 MB.
    model = VAE(
        init=lambda key: {},
        encode=lambda params, x: Normal(x[:2], x[2:4]),
        prior=lambda params: standard_normal(2),
        decode=lambda params, z: Bernoulli(jnp.full(10_000, z[0])),
    )
    xs = jax.ShapeDtypeStruct((3, 10_000), jnp.float32)
    indices = jax.ShapeDtypeStruct((3,), jnp.int32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    memory_of = lambda num_samples, chunk_size: (
        estimates_at.lower(model, {}, key, indices, xs, num_samples, chunk_size)
        .compile(UNRUN)
        .memory_analysis()
        .temp_size_in_bytes
    )
    chunked = memory_of(100_000, 100)
    assert chunked < 1e6  # the decoder's constant pixels are never an array
    assert chunked < 1.5 * memory_of(1000, 100)
    assert memory_of(100_000, 100_000) > 10 * chunked


def test_a_chunk_is_of_fewer_samples_the_more_pixels_there_are(monkeypatch):
    chunks = []
    module = sys.modules[importance_sampling.__module__]
    real = module.estimates_at

    def seen(*args):
        chunks.append(args[-1])
        return real(*args)

    monkeypatch.setattr(module, "estimates_at", seen)
    model = VAE(
        init=lambda key: {},
        encode=lambda params, x: standard_normal(2),
        prior=lambda params: standard_normal(2),
        decode=lambda params, z: Bernoulli(jnp.full(200_000, z[0])),
    )
    importance_sampling(model, {}, jax.random.key(0), np.ones((1, 200_000), np.float32), 30)
    importance_sampling(MODEL, WRONG, jax.random.key(0), XS, 60)
    assert chunks == [20, 1000]


@pytest.mark.slow
def test_a_hundred_thousand_samples_meet_log_p():
    params, xs = wrong_params_of(2), examples_of(2, 3)
    estimates = importance_sampling(MODEL, params, jax.random.key(10), xs, 100_000)
    # sd(w) / (mean(w) sqrt(K)), five of them: fails once in 580,000 seeds.
    errors = np.sqrt((100_000 / np.asarray(estimates.effective_sample_size, np.float64) - 1) / 99_999)
    difference = np.asarray(estimates.log_likelihood, np.float64) - log_likelihood_of(params, xs)
    assert (np.abs(difference) < 5 * errors).all()
    assert (errors < 0.02).all()


def test_the_encoder_runs_once_an_example_and_the_prior_once():
    calls = {"encode": 0, "prior": 0}

    def counted(name, function):
        def called():
            calls[name] += 1

        def wrapper(*args):
            jax.debug.callback(called)
            return function(*args)

        return wrapper

    model = MODEL._replace(encode=counted("encode", MODEL.encode), prior=counted("prior", MODEL.prior))
    importance_sampling(model, WRONG, jax.random.key(6), XS, 20, chunk_size=5)
    jax.effects_barrier()
    assert calls == {"encode": 5, "prior": 1}


class Pair(Distribution):
    """Two independent Normals over a tuple z."""

    def __init__(self, parts):
        self.parts = parts

    def sample(self, key):
        return {name: part.sample(jax.random.fold_in(key, i)) for i, (name, part) in enumerate(self.parts.items())}

    def log_prob(self, value):
        return sum(part.log_prob(value[name]) for name, part in self.parts.items())


jax.tree_util.register_pytree_node(Pair, lambda pair: ((pair.parts,), None), lambda _, children: Pair(*children))


def test_z_may_be_any_pytree():
    def pair(normal):
        return Pair({"b": Normal(normal.mean[:1], normal.log_variance[:1]), "a": Normal(*_rest(normal))})

    _rest = lambda normal: (normal.mean[1:], normal.log_variance[1:])
    model = VAE(
        init=MODEL.init,
        encode=lambda params, x: pair(MODEL.encode(params, x)),
        prior=lambda params: pair(MODEL.prior(params)),
        decode=lambda params, z: MODEL.decode(params, jnp.concatenate([z["b"], z["a"]])),
    )
    params = exact_params_of(2)
    estimates = importance_sampling(model, params, jax.random.key(7), XS, 30)
    np.testing.assert_allclose(estimates.log_likelihood, log_likelihood_of(params, XS), rtol=1e-5)
    np.testing.assert_allclose(estimates.effective_sample_size, 30, rtol=1e-5)


def test_an_impossible_example_is_minus_infinity_and_not_nan():
    model = MODEL._replace(decode=lambda params, z: Delta(jnp.zeros(4, jnp.int32)))
    estimates = importance_sampling(model, WRONG, jax.random.key(8), np.ones((2, 4), np.int32), 50, chunk_size=20)
    np.testing.assert_array_equal(estimates.log_likelihood, [-np.inf, -np.inf])
    np.testing.assert_array_equal(estimates.effective_sample_size, [1, 1])
    np.testing.assert_array_equal(estimates.pareto_k, [np.inf, np.inf])


@pytest.mark.parametrize(
    ("num_samples", "sizes", "message"),
    [
        (0, {}, "num_samples must be at least 1, got 0"),
        (-5, {}, "num_samples must be at least 1, got -5"),
        (10, {"chunk_size": 0}, "chunk_size must be at least 1, got 0"),
        (10, {"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_no_samples_and_empty_chunks_are_refused(num_samples, sizes, message):
    with pytest.raises(ValueError, match=message):
        importance_sampling(MODEL, WRONG, jax.random.key(0), XS, num_samples, **sizes)


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match="the number of examples in xs must be at least 1, got 0"):
        importance_sampling(MODEL, WRONG, jax.random.key(0), XS[:0], 10)


def test_a_posterior_without_a_density_is_refused_with_what_would_be_right():
    model = MODEL._replace(encode=lambda params, x: Delta(params["encoder"] @ x))
    message = (
        "the posterior of model must have a density, but a Delta has none: .*annealed_importance_sampling from the"
    )
    with pytest.raises(TypeError, match=message):
        importance_sampling(model, WRONG, jax.random.key(0), XS, 10)


def test_a_number_of_samples_that_is_no_whole_number_is_refused():
    # 2.5 would draw 3 samples and divide by 2.5.
    with pytest.raises(TypeError, match=r"num_samples must be a whole number, got 2\.5"):
        importance_sampling(MODEL, WRONG, jax.random.key(0), XS, 2.5)


class Plain:
    """Posterior of a user's own, which is not a pytree and has no base class."""

    def __init__(self, inner):
        self.inner = inner

    def sample(self, key):
        return self.inner.sample(key)

    def log_prob(self, value):
        return self.inner.log_prob(value)

    def sample_and_log_prob(self, key):
        return self.inner.sample_and_log_prob(key)


def test_a_posterior_that_is_no_pytree_gives_the_same_numbers():
    plain = MODEL._replace(encode=lambda params, x: Plain(MODEL.encode(params, x)))
    ours, theirs = (importance_sampling(model, WRONG, jax.random.key(0), XS, 60) for model in (plain, MODEL))
    np.testing.assert_allclose(ours.log_likelihood, theirs.log_likelihood, rtol=1e-6)
    plain = plain._replace(prior=lambda params: Plain(MODEL.prior(params)))
    ours, theirs = (elbo_surgery(model, WRONG, jax.random.key(0), XS) for model in (plain, MODEL))
    np.testing.assert_allclose(ours.average_kl, theirs.average_kl, rtol=1e-5)
    np.testing.assert_allclose(ours.mutual_information, theirs.mutual_information, rtol=1e-4)
    assert ours.total_correlation is None  # it does not declare independent dimensions


@pytest.mark.slow
def test_equal_weights_of_a_discrete_code_are_said_to_be_unjudged_and_not_heavy():
    logits = np.linspace(-1.0, 1.0, 10).astype(np.float32)
    model = VAE(
        init=lambda key: {},
        encode=lambda params, x: Categorical(jnp.asarray(logits)),
        prior=lambda params: Categorical(jnp.zeros(10)),
        decode=lambda params, z: Normal(jnp.full(1, 0.3) * z, jnp.zeros(1)),
    )
    xs = np.linspace(-1, 3, 20, dtype=np.float32)[:, None]
    estimates = importance_sampling(model, {}, jax.random.key(0), xs, 2000)
    places = scipy.stats.norm.logpdf(xs, 0.3 * np.arange(10)) - np.log(10)
    np.testing.assert_allclose(estimates.log_likelihood, scipy.special.logsumexp(places, axis=1), atol=0.2)
    said = importance_warning(estimates, 2000)
    assert "no tail that can be assessed: many are equal" in said
    assert "annealed" not in said  # which needs a z of real numbers
    # If one weight outweighs all others, k is also infinite, but not because of equal weights.
    alone = estimates._replace(effective_sample_size=np.ones(20), pareto_k=np.append(np.full(19, np.inf), 0.1))
    assert "tail too heavy for their mean" in importance_warning(alone, 2000)
