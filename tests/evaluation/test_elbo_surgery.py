"""Decomposition of the average KL divergence against float64 mixtures, quadrature and closed forms."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from evaluation.linear_gaussian_of import examples_of, model_of, wrong_params_of
from networks.programs import UNRUN
from objectives.linear_gaussian import elbo_parts
from vae_jax import VAE, Normal, standard_normal
from vae_jax.distributions import Categorical, Chain, Delta, Laplace, Mixture
from vae_jax.evaluation import elbo_surgery
from vae_jax.evaluation._elbo_surgery import _aggregate_log_densities, _surgery_terms, surgery_terms

KEY = jax.random.key(0)


def encoding(encode, prior):
    """Model with a given posterior and prior; an example holds the parameters of its posterior."""
    return VAE(lambda key: {}, lambda params, x: encode(x), lambda params: prior, lambda params, z: None)


def normal_model(dim, prior=None):
    """Model with a Normal posterior, whose examples `[2 * dim]` are mean and log-variance."""
    return _standard_model(dim) if prior is None else _standard_model(dim)._replace(prior=lambda params: prior)


@cache  # the same model, so that compiled programs are reused
def _standard_model(dim):
    return encoding(lambda x: Normal(x[:dim], x[dim:]), standard_normal(dim))


# (model, params, xs, points), as one program.
aggregate_log_densities = jax.jit(_aggregate_log_densities, static_argnums=0)


def rows(*parts):
    return np.concatenate([np.asarray(part, np.float32) for part in parts], axis=1)


def numpy_aggregate(xs, points):
    """Log-densities log q(z) and sum_d log q(z_d) of `[S, D]` points, in float64, by one posterior at a time."""
    dim = points.shape[1]
    means, deviations = xs[:, :dim].astype(np.float64), np.exp(0.5 * xs[:, dim:].astype(np.float64))
    log_densities = scipy.stats.norm.logpdf(points[:, None].astype(np.float64), means, deviations)  # [S, N, D]
    joint = scipy.special.logsumexp(log_densities.sum(axis=2), axis=1) - np.log(len(xs))
    return joint, scipy.special.logsumexp(log_densities, axis=1) - np.log(len(xs))


@pytest.mark.parametrize("count", [1, 7, 64, 65, 150])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_the_aggregate_is_float64s_however_many_examples_and_however_far_from_the_origin(count, offset):
    # At 100 with deviations of 0.05 an expanded square, z^2 - 2 z m + m^2, would be wrong by tens of nats.
    rng = np.random.default_rng(count)
    dim, scale = 5, 0.05 if offset else 1.0
    means = offset + scale * rng.normal(0, 2, (count, dim))
    xs = rows(means, 2 * np.log(scale) + rng.normal(0, 1, (count, dim)))
    points = (offset + scale * rng.normal(0, 3, (40, dim))).astype(np.float32)
    actual = aggregate_log_densities(normal_model(dim), {}, xs, points)
    joint, dimensions = numpy_aggregate(xs, points)
    np.testing.assert_allclose(actual[0], joint, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(actual[1:], dimensions.T, rtol=1e-5, atol=1e-3)


def test_posteriors_of_very_different_widths_neither_overflow_nor_vanish():
    # Densities of e^75 to e^-75 at their own means, and 60 standard deviations away from all.
    log_variances = np.array([[-30.0] * 5, [30.0] * 5, [0.0] * 5])
    xs = rows(np.zeros((3, 5)), log_variances)
    points = np.array([[0.0] * 5, [60.0] * 5, [1e5] * 5], np.float32)
    actual = aggregate_log_densities(normal_model(5), {}, xs, points)
    joint, dimensions = numpy_aggregate(xs, points)
    np.testing.assert_allclose(actual[0], joint, rtol=1e-5)
    np.testing.assert_allclose(actual[1:], dimensions.T, rtol=1e-5)


@pytest.mark.parametrize(
    ("dim", "num_points"),
    [(2, 30), (2, 250), *(pytest.param(*sizes, marks=pytest.mark.slow) for sizes in ((2, 100), (8, 100), (32, 250)))],
)
def test_the_parts_sum_to_the_kl_divergence(dim, num_points):
    params, xs = wrong_params_of(dim), examples_of(dim, 100)
    parts = elbo_surgery(model_of(dim), params, KEY, xs, num_points)
    total = parts.mutual_information.mean + parts.total_correlation.mean + parts.dimension_wise_kl.mean
    np.testing.assert_allclose(total, parts.average_kl.mean, rtol=1e-5)
    np.testing.assert_allclose(parts.mutual_information.mean + parts.marginal_kl.mean, parts.average_kl.mean, rtol=1e-5)
    # The sum is the closed form of the rate, within five standard errors plus the deviation of a subset of examples.
    rates = np.array([elbo_parts(params, x.astype(np.float64))[1] for x in xs])
    error = parts.average_kl.standard_error + (rates.std() / np.sqrt(num_points) if num_points < 100 else 0)
    assert abs(parts.average_kl.mean - rates.mean()) < 5 * error


@pytest.mark.slow
@pytest.mark.parametrize("dim", [2, 8, 32])
def test_every_part_is_numpys_by_other_points(dim):
    params, xs = wrong_params_of(dim), examples_of(dim, 100)
    parts = elbo_surgery(model_of(dim), params, KEY, xs, 2000)
    q = jax.vmap(lambda x: model_of(dim).encode(params, x))(xs)
    rng, posteriors = np.random.default_rng(1), rows(q.mean, q.log_variance)
    index = np.resize(np.arange(100), 2000)
    mean, deviation = np.asarray(q.mean, np.float64)[index], np.exp(0.5 * np.asarray(q.log_variance, np.float64))[index]
    points = mean + deviation * rng.normal(size=(2000, dim))
    joint, dimensions = numpy_aggregate(posteriors, points)
    prior, posterior = scipy.stats.norm.logpdf(points), scipy.stats.norm.logpdf(points, mean, deviation).sum(axis=1)
    expected = {
        "mutual_information": posterior - joint,
        "total_correlation": joint - dimensions.sum(axis=1),
        "dimension_wise_kl": (dimensions - prior).sum(axis=1),
        "marginal_kl": joint - prior.sum(axis=1),
    }
    for name, values in expected.items():
        estimate = getattr(parts, name)
        error = np.hypot(estimate.standard_error, values.std() / np.sqrt(2000))
        assert abs(estimate.mean - values.mean()) < 5 * error, name
        assert error < 0.05 * (1 + abs(values.mean())), name


def test_of_one_example_all_is_dimension_wise():
    mean, log_variance = np.array([[1.0, -2.0, 0.5]]), np.array([[0.5, -1.0, -3.0]])
    parts = elbo_surgery(normal_model(3), {}, KEY, rows(mean, log_variance), 20_000)
    assert abs(parts.mutual_information.mean) < 1e-5
    assert abs(parts.total_correlation.mean) < 1e-5
    expected = 0.5 * np.sum(np.exp(log_variance) - 1 - log_variance + mean**2)
    assert abs(parts.dimension_wise_kl.mean - expected) < 5 * parts.dimension_wise_kl.standard_error
    assert parts.dimension_wise_kl.standard_error < 0.05


def test_where_no_two_posteriors_overlap_the_code_names_the_example():
    means = 10.0 * np.stack(np.meshgrid(np.arange(10), np.arange(7)), axis=-1).reshape(70, 2)
    parts = elbo_surgery(normal_model(2), {}, KEY, rows(means, np.full((70, 2), -4.0)))
    np.testing.assert_allclose(parts.mutual_information.mean, np.log(70), rtol=1e-5)
    # A grid of 70 = 10 * 7 means: each dimension identifies the column or the row, and neither depends on the other.
    assert abs(parts.total_correlation.mean) < 1e-3
    # On a diagonal, each dimension determines the other.
    diagonal = np.repeat(10.0 * np.arange(70)[:, None], 2, axis=1)
    parts = elbo_surgery(normal_model(2), {}, KEY, rows(diagonal, np.full((70, 2), -4.0)))
    np.testing.assert_allclose(parts.total_correlation.mean, np.log(70), rtol=1e-5)


def test_a_collapsed_posterior_tells_nothing():
    parts = elbo_surgery(normal_model(3), {}, KEY, np.zeros((50, 6), np.float32))
    for part in parts:
        assert abs(part.mean) < 1e-5


@pytest.mark.slow
def test_a_gaussian_population_has_gaussian_parts():
    # x ~ N(0, C) and q(z | x) = N(x, V): the aggregate of the population is N(0, C + V).
    rng = np.random.default_rng(0)
    covariance, variance = np.array([[2.0, 1.5], [1.5, 2.0]]), np.array([1.0, 0.5])
    means = rng.multivariate_normal(np.zeros(2), covariance, 6000)
    xs = rows(means, np.broadcast_to(np.log(variance), (6000, 2)))
    parts = elbo_surgery(normal_model(2), {}, KEY, xs)
    aggregate = covariance + np.diag(variance)
    log_determinant = np.log(np.linalg.det(aggregate))
    spread = np.diag(aggregate)
    expected = {
        "mutual_information": 0.5 * (log_determinant - np.log(variance).sum()),
        "total_correlation": 0.5 * (np.log(spread).sum() - log_determinant),
        "dimension_wise_kl": 0.5 * np.sum(spread - 1 - np.log(spread)),
    }
    for name, value in expected.items():
        # 6,000 examples are not the population: their own covariance errs by some 2%.
        actual = getattr(parts, name)
        assert abs(actual.mean - value) < 5 * actual.standard_error + 0.03, name
        assert actual.standard_error < 0.03


# Three posteriors that overlap, in one dimension, whose integrals a fine grid gives.
MEANS, DEVIATIONS = np.array([-1.0, 0.2, 2.0]), np.array([0.7, 0.3, 1.1])
OVERLAPPING = rows(MEANS[:, None], 2 * np.log(DEVIATIONS)[:, None])


def quadrature():
    z = np.linspace(-10, 12, 200_001)
    densities = scipy.stats.norm.pdf(z, MEANS[:, None], DEVIATIONS[:, None])
    aggregate = densities.mean(axis=0)
    information = np.mean(np.trapezoid(scipy.special.xlogy(densities, densities / aggregate), z, axis=1))
    return information, np.trapezoid(aggregate * np.log(aggregate / scipy.stats.norm.pdf(z)), z)


@pytest.mark.slow
def test_the_parts_are_the_integrals():
    information, divergence = quadrature()
    parts = elbo_surgery(normal_model(1), {}, KEY, OVERLAPPING, 30_000)
    for estimate, value in ((parts.mutual_information, information), (parts.dimension_wise_kl, divergence)):
        assert estimate.standard_error < 0.02
        assert abs(estimate.mean - value) < 5 * estimate.standard_error  # beyond once in 1.7 million seeds
    assert abs(parts.total_correlation.mean) < 1e-5  # 0 for a single dimension


def test_the_standard_errors_are_those_of_repetitions_or_a_little_larger():
    information, divergence = quadrature()
    model, xs = normal_model(1), jnp.asarray(OVERLAPPING)
    terms = jax.vmap(lambda key: _surgery_terms(model, {}, key, xs, 60))(jax.random.split(KEY, 400))
    for high, low, value in (
        (terms.posterior, terms.aggregate, information),
        (terms.marginals, terms.prior, divergence),
    ):
        draws = np.asarray(high - low, np.float64)  # [repetitions, points]
        claimed = draws.std(axis=1, ddof=1) / np.sqrt(60)
        actual = draws.mean(axis=1).std(ddof=1)
        # The 60 points are spread evenly over the examples, so the error is smaller than estimated, by the variance of
        # the examples' means. 400 repetitions estimate a deviation to 4%.
        assert 0.6 * claimed.mean() < actual < 1.15 * claimed.mean()
        assert abs(draws.mean() - value) < 5 * actual / np.sqrt(400)


def test_any_posterior_of_independent_dimensions_has_a_total_correlation():
    rng = np.random.default_rng(3)
    xs = rows(rng.normal(0, 2, (40, 3)), rng.normal(-1, 0.3, (40, 3)))
    model = encoding(lambda x: Laplace(x[:3], x[3:]), standard_normal(3))
    parts = elbo_surgery(model, {}, KEY, xs, 200)
    np.testing.assert_allclose(
        parts.total_correlation.mean + parts.dimension_wise_kl.mean, parts.marginal_kl.mean, rtol=1e-5
    )
    np.testing.assert_allclose(parts.mutual_information.mean + parts.marginal_kl.mean, parts.average_kl.mean, rtol=1e-5)
    points = rng.normal(0, 2, (30, 3)).astype(np.float32)
    actual = aggregate_log_densities(model, {}, xs, points)
    each = scipy.stats.laplace.logpdf(points[:, None].astype(np.float64), xs[:, :3], np.exp(xs[:, 3:]))
    averaged = lambda log_densities: scipy.special.logsumexp(log_densities, axis=1) - np.log(40)
    np.testing.assert_allclose(actual, [averaged(each.sum(axis=2)), *averaged(each).T], rtol=1e-5)


@pytest.mark.slow
def test_a_posterior_whose_dimensions_are_not_independent_has_no_total_correlation():
    rng = np.random.default_rng(3)
    xs = rng.normal(0, 2, (40, 3)).astype(np.float32)
    pair = lambda x: Mixture(jnp.zeros(2), Normal(jnp.stack([x - 1.0, x + 1.0]), jnp.zeros((2, 3))))
    model = encoding(pair, standard_normal(3))
    parts = elbo_surgery(model, {}, KEY, xs, 200)
    assert parts.total_correlation is parts.dimension_wise_kl is None
    np.testing.assert_allclose(parts.mutual_information.mean + parts.marginal_kl.mean, parts.average_kl.mean, rtol=1e-5)
    points = rng.normal(0, 2, (30, 3)).astype(np.float32)
    actual = aggregate_log_densities(model, {}, xs, points)
    means = np.concatenate([xs - 1.0, xs + 1.0]).astype(np.float64)
    each = scipy.stats.norm.logpdf(points[:, None].astype(np.float64), means).sum(axis=2)
    np.testing.assert_allclose(actual, [scipy.special.logsumexp(each, axis=1) - np.log(80)], rtol=1e-5)


def test_a_prior_that_does_not_factorize_leaves_the_total_correlation():
    prior = Mixture(jnp.zeros(2), Normal(jnp.array([[-1.0, 0.0], [1.0, 0.0]]), jnp.zeros((2, 2))))
    xs = rows(np.random.default_rng(4).normal(0, 1, (30, 2)), np.full((30, 2), -1.0))
    mixture = elbo_surgery(normal_model(2, prior), {}, KEY, xs)
    normal = elbo_surgery(normal_model(2), {}, KEY, xs)
    assert mixture.dimension_wise_kl is None
    assert mixture.total_correlation == normal.total_correlation  # independent of the prior
    assert mixture.marginal_kl != normal.marginal_kl


def test_the_information_of_a_discrete_code_is_its_entropy():
    # 30 examples have three codes, shared by 5, 10 and 15 examples; the prior is uniform over the three.
    codes = np.repeat([0, 1, 2], [5, 10, 15])[:, None].astype(np.float32)
    model = encoding(lambda x: Delta(x.astype(jnp.int32)), Categorical(jnp.zeros((1, 3))))
    parts = elbo_surgery(model, {}, KEY, codes)
    shares = np.array([5, 10, 15]) / 30
    entropy = -np.sum(shares * np.log(shares))
    np.testing.assert_allclose(parts.mutual_information.mean, entropy, rtol=1e-5)
    np.testing.assert_allclose(parts.marginal_kl.mean, np.log(3) - entropy, rtol=1e-5)
    assert parts.total_correlation is parts.dimension_wise_kl is None


def conditional(params, before):
    return Normal(params * before[:1], jnp.full(1, -2.0))


@pytest.mark.slow
def test_of_several_layers_the_information_is_that_of_all_together():
    # z_2 depends on the example through z_1 alone, so it adds nothing: I(n; z_1, z_2) = I(n; z_1).
    def chain(x):
        return Chain(Normal(x[:2], x[2:]), (jnp.asarray(0.5),), (conditional,))

    prior = Chain(standard_normal(2), (jnp.asarray(0.0),), (conditional,))
    xs = rows(np.random.default_rng(5).normal(0, 1, (70, 2)), np.full((70, 2), -1.0))
    both = surgery_terms(encoding(chain, prior), {}, KEY, xs, 200)
    assert both.marginals is None
    information = np.asarray(both.posterior - both.aggregate, np.float64)
    first = elbo_surgery(normal_model(2), {}, KEY, xs, 2000).mutual_information
    error = np.hypot(information.std() / np.sqrt(200), first.standard_error)
    assert abs(information.mean() - first.mean) < 5 * error
    assert 0.5 < information.mean() < np.log(70)


@pytest.mark.slow
def test_a_code_of_several_axes_is_one_long_vector():
    rng = np.random.default_rng(6)
    means, log_variances = rng.normal(0, 1, (20, 2, 3)), rng.normal(-1, 0.3, (20, 2, 3))
    xs = np.stack([means, log_variances], axis=1).astype(np.float32)
    prior = Normal(jnp.zeros((2, 3)), jnp.zeros((2, 3)))
    shaped = elbo_surgery(encoding(lambda x: Normal(x[0], x[1]), prior), {}, KEY, xs)
    flat = elbo_surgery(normal_model(6), {}, KEY, xs.reshape(20, 12))
    for one, other in zip(shaped, flat, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)


def test_memory_does_not_grow_with_examples_times_points():
    examples_, points, dim = 10_000, 1000, 50
    shapes = jax.ShapeDtypeStruct((examples_, 2 * dim), jnp.float32)
    compiled = _surgery_terms.lower(normal_model(dim), {}, KEY, shapes, points).compile(UNRUN)
    pairs = 4 * examples_ * points * dim  # 2 GB
    assert compiled.memory_analysis().temp_size_in_bytes < pairs / 100


@pytest.mark.parametrize("num_points", [0, -1])
def test_no_points_are_refused(num_points):
    with pytest.raises(ValueError, match=f"num_points must be at least 1, got {num_points}"):
        elbo_surgery(normal_model(1), {}, KEY, OVERLAPPING, num_points)


def test_no_examples_and_a_posterior_without_a_density_are_refused():
    with pytest.raises(ValueError, match="the number of examples in xs must be at least 1, got 0"):
        elbo_surgery(normal_model(1), {}, KEY, OVERLAPPING[:0])
    with pytest.raises(TypeError, match=r"model\.encode must have a density, but a Delta has none"):
        elbo_surgery(encoding(lambda x: Delta(x[:1]), standard_normal(1)), {}, KEY, OVERLAPPING)
