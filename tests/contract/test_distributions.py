"""Contract tests of distributions, which every row of the table passes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.flatten_util import ravel_pytree

from contract.checks import assert_all_finite, assert_trees_close
from contract.distributions_table import DISTRIBUTIONS
from vae_jax import distributions as d
from vae_jax.distributions import check_support

distribution_rows = pytest.mark.parametrize("row", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS.keys())

# Threshold of the p-values of goodness-of-fit tests: a correct distribution fails once in 10,000 seeds (fixed here).
P_THRESHOLD = 1e-4


@pytest.mark.slow
@distribution_rows
def test_distribution_under_jit_agrees_with_eager_mode(row):
    key = jax.random.key(0)
    assert_trees_close(jax.jit(lambda q, v: q.log_prob(v))(row.example, row.event), row.example.log_prob(row.event))
    assert_trees_close(jax.jit(lambda q, k: q.sample(k))(row.example, key), row.example.sample(key))
    assert_trees_close(
        jax.jit(lambda q, k: q.sample_and_log_prob(k))(row.example, key), row.example.sample_and_log_prob(key)
    )


@pytest.mark.slow
@distribution_rows
def test_distribution_under_vmap_agrees_with_a_python_loop(row):
    # A batch of three different distributions, keys and events.
    batch = jax.tree.map(lambda a: jnp.stack([a, 2 * a, -a]), row.example)
    member = lambda i: jax.tree.map(lambda a: a[i], batch)
    keys = jax.random.split(jax.random.key(1), 3)
    values = jax.vmap(lambda q, k: q.sample(k))(batch, keys)
    draws = [member(i).sample(keys[i]) for i in range(3)]
    assert_trees_close(values, stacked(*draws))
    log_probs = jax.vmap(lambda q, v: q.log_prob(v))(batch, values)
    assert_trees_close(log_probs, jnp.stack([member(i).log_prob(draw) for i, draw in enumerate(draws)]))


@distribution_rows
def test_distribution_is_a_pytree_of_arrays(row):
    leaves, structure = jax.tree.flatten(row.example)
    unflattened = jax.tree.unflatten(structure, leaves)
    assert type(unflattened) is type(row.example)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    assert unflattened.log_prob(row.event) == row.example.log_prob(row.event)
    # As the carry of a scan, whose structure and dtypes must not change.
    carried, log_probs = jax.lax.scan(lambda q, v: (q, q.log_prob(v)), row.example, stacked(row.event, row.event))
    assert_trees_close(carried, row.example, rtol=0, atol=0)
    assert_trees_close(log_probs, jnp.stack([row.example.log_prob(row.event)] * 2))


def outside_of(row):
    """Yields events that the distribution of a row does not support."""
    yield from row.outside
    if not row.outside and not row.continuous:
        yield jax.tree.map(lambda leaf: leaf + jnp.asarray(1000, leaf.dtype), row.event)
    yield jax.tree.map(lambda leaf: leaf * jnp.nan, row.event) if row.event_dtype == jnp.float32 else None
    if type(row.example).__name__ == "ContinuousBernoulli":
        yield row.event + 0.2
    if type(row.example).__name__ in ("Categorical", "DiscreteUniform", "Delta"):
        yield -1 - row.event
    if type(row.example).__name__ in ("Categorical", "DiscreteUniform"):
        yield row.event.astype(jnp.float32)


@distribution_rows
def test_a_distribution_supports_its_draws_and_not_events_outside(row):
    # One program computes all draws.
    draws = jax.vmap(row.example.sample)(jax.random.split(jax.random.key(2), 50))
    supported = jax.jit(jax.vmap(row.example.supports))(draws)
    assert (supported.shape, supported.dtype) == ((50,), bool)
    assert supported.all()
    assert row.example.supports(row.event)
    outside = [event for event in outside_of(row) if event is not None]
    assert outside
    for event in outside:
        assert not row.example.supports(event)
        with pytest.raises(ValueError, match=r"^value holds (\d+ values? that (are|is) not finite|values outside .*)"):
            check_support(row.example, event, "value")


@distribution_rows
def test_log_prob_is_a_float32_scalar_and_the_sum_over_independent_places(row):
    log_prob = row.example.log_prob(row.event)
    assert (log_prob.shape, log_prob.dtype) == ((), jnp.float32)
    if row.marginals is not None:
        return
    places = [jax.tree.map(lambda a, i=i: a[i : i + 1], (row.example, row.event)) for i in range(len(row.event))]
    np.testing.assert_allclose(log_prob, sum(float(q.log_prob(v)) for q, v in places), rtol=1e-5)


@distribution_rows
def test_terms_of_independent_parts_agree_with_single_parts_and_sum_to_the_total(row):
    if isinstance(row.example, d.Joint | d.Masked):  # tests/distributions/test_joint.py and test_masked.py
        return
    q, p = row.example, jax.tree.map(lambda a: 2 * a, row.example)
    parts = lambda tree: jax.tree.map(lambda a: a[:, None], tree)

    @jax.jit
    def terms_expected_and_total(q, p, event):
        numbers = {}
        if hasattr(q, "log_prob_terms"):
            expected = jax.vmap(lambda q, v: q.log_prob(v))(parts(q), parts(event))
            numbers["log_prob"] = q.log_prob_terms(event), expected, q.log_prob(event)
        if hasattr(q, "kl_per_dimension"):
            expected = jax.vmap(lambda q, p: q.kl(p))(parts(q), parts(p))
            numbers["kl"] = q.kl_per_dimension(p), expected, q.kl(p)
            numbers["kl to itself"] = q.kl_per_dimension(q), jnp.zeros_like(expected), q.kl(q)
        return numbers

    numbers = terms_expected_and_total(q, p, row.event)
    assert bool(numbers) == (type(q).__name__ not in ("Chain", "Delta", "Mixture", "MultivariateNormal"))
    for name, (terms, expected, total) in numbers.items():
        np.testing.assert_allclose(terms, expected, rtol=1e-6)
        np.testing.assert_allclose(np.asarray(terms, np.float64).sum(), total, rtol=1e-6)
        assert name == "log_prob" or (np.asarray(terms) >= 0).all()
    if hasattr(q, "kl_per_dimension"):
        assert q.kl_per_dimension(d.Mixture(jnp.zeros(1), parts(q))) is None


@pytest.mark.parametrize(
    "row",
    [row for row in DISTRIBUTIONS.values() if hasattr(row.example, "from_standard_normal")],
    ids=[name for name, row in DISTRIBUTIONS.items() if hasattr(row.example, "from_standard_normal")],
)
def test_the_map_from_standard_normal_numbers_gives_the_density_by_change_of_variables(row):
    noise, unflatten = ravel_pytree(jax.tree.map(jnp.cos, row.event))

    def map_and_log_prob(noise):
        value = row.example.from_standard_normal(unflatten(noise))
        return ravel_pytree(value)[0], row.example.log_prob(value)

    jacobian, log_prob = jax.jit(jax.jacfwd(map_and_log_prob, has_aux=True))(noise)
    noise_log_prob = scipy.stats.norm.logpdf(np.asarray(noise, np.float64)).sum()
    expected = noise_log_prob - np.linalg.slogdet(np.asarray(jacobian, np.float64))[1]
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)


@distribution_rows
def test_a_draw_is_an_event_and_depends_on_the_key(row):
    draws = [row.example.sample(jax.random.key(seed)) for seed in (0, 0, *range(1, 9))]
    for draw in draws:
        assert jax.tree.map(jnp.shape, draw) == jax.tree.map(jnp.shape, row.event)
        assert all(leaf.dtype == row.event_dtype for leaf in jax.tree.leaves(draw))
    assert_trees_close(draws[0], draws[1], rtol=0, atol=0)
    different = len({flat(draw).tobytes() for draw in draws})
    assert different == 1 if row.support is None else different > 1


@pytest.mark.slow
@distribution_rows
def test_sample_and_log_prob_is_a_draw_and_its_log_prob(row):
    def compare(key):
        value, log_prob = row.example.sample_and_log_prob(key)
        return value, log_prob, row.example.sample(key), row.example.log_prob(value)

    values, log_probs, samples, expected = jax.jit(jax.vmap(compare))(jax.random.split(jax.random.key(2), 1000))
    assert_trees_close(values, samples, rtol=0, atol=0)
    np.testing.assert_allclose(log_probs, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
@distribution_rows
def test_value_and_gradients_are_finite_at_extreme_parameters(row):
    @jax.jit
    def numbers(dist, event):
        results = {
            "log_prob": jax.value_and_grad(lambda q: q.log_prob(event))(dist),
            "sample_and_log_prob": dist.sample_and_log_prob(jax.random.key(0)),
        }
        if row.continuous:
            results["gradient in the event"] = jax.grad(dist.log_prob)(event)
        if hasattr(dist, "mean"):
            results["mean"] = dist.mean
        if hasattr(dist, "standard_deviation"):
            deviation = lambda q: jnp.sum(jnp.log1p(ravel_pytree(q.standard_deviation)[0]))
            results["standard_deviation"] = jax.value_and_grad(deviation)(dist)
        if hasattr(dist, "kl"):
            half = jax.tree.map(lambda a: -0.5 * a, dist)
            other = row.example if _shapes(dist) == _shapes(row.example) else half
            pairs = ((dist, other), (other, dist)) if other is row.example else ((dist, half),)
            results["kl"] = [jax.value_and_grad(lambda q, p: q.kl(p), argnums=(0, 1))(*pair) for pair in pairs]
        return results

    for extreme, event in row.extremes:
        for dist in (extreme, jax.tree.map(lambda a: -a, extreme)):
            results = numbers(dist, event)
            assert_all_finite(results)
            assert all(kl >= 0 for kl, _ in results.get("kl", ()))


def stacked(*trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def flat(tree):
    return np.asarray(ravel_pytree(tree)[0])


def _shapes(dist):
    return [leaf.shape for leaf in jax.tree.leaves(dist)]


@pytest.mark.parametrize(
    "row",
    [row for row in DISTRIBUTIONS.values() if row.support is not None],
    ids=[name for name, row in DISTRIBUTIONS.items() if row.support is not None],
)
def test_draws_have_gradients_in_the_parameters_given_in_the_table(row):
    weights = jnp.arange(1.0, 1.0 + flat(row.event).size)
    draw = lambda q: jnp.sum(weights * ravel_pytree(q.sample(jax.random.key(3)))[0].astype(jnp.float32))
    to_params = jax.tree.leaves(jax.jit(jax.grad(draw, allow_int=True))(row.example))
    gradients, _ = ravel_pytree(
        [leaf for leaf in to_params if leaf.dtype != jax.dtypes.float0]
    )  # gradients of integers
    assert np.isfinite(gradients).all()
    nonzero = np.asarray(gradients) != 0
    # None means some of the parameters, which the tests of the distribution specify.
    assert nonzero.any() if row.reparameterized is None else (nonzero == row.reparameterized).all()


@pytest.mark.slow
@distribution_rows
def test_draws_fit_the_density(row):
    """Tests the marginals: Kolmogorov-Smirnov with the integrated density, or chi-square with the probabilities.

    For correct draws, each of the two or three places fails once in 1 / P_THRESHOLD seeds, and each pairwise
    correlation, at five standard errors, once in 1.7 million.
    """
    num_draws = 20_000
    keys = jax.random.split(jax.random.key(4), num_draws)
    draws = np.asarray(jax.jit(jax.vmap(lambda key: ravel_pytree(row.example.sample(key))[0]))(keys))
    if row.support is None:
        np.testing.assert_array_equal(draws, np.broadcast_to(row.event, draws.shape))
        return
    if hasattr(row.example, "standard_deviation"):
        # Five standard errors of a mean and of a variance: each place fails once in 870,000 seeds.
        variance = flat(row.example.standard_deviation).astype(np.float64) ** 2
        centered = draws.astype(np.float64) - flat(row.example.mean)
        assert (np.abs(centered.mean(0)) < 5 * np.sqrt(variance / num_draws)).all()
        error = np.square(centered).std(0) / np.sqrt(num_draws)  # 0 for a fair coin
        assert (np.abs(np.square(centered).mean(0) - variance) < 5 * error + 1e-6 * variance).all()
    for place in range(draws.shape[1]):
        slice_of_place = lambda a, i=place: a[i : i + 1]
        marginal = jax.tree.map(slice_of_place, row.example) if row.marginals is None else row.marginals[place]
        support = row.support(marginal)
        log_probs = jax.jit(jax.vmap(marginal.log_prob))(support[:, None])
        density = np.exp(np.asarray(log_probs, np.float64))
        p_value = (_ks if row.continuous else _chi_square)(support, density, draws[:, place])
        assert p_value > P_THRESHOLD
    if row.marginals is not None:
        return  # the joint density is tested in the tests of the distribution
    # Places must be independent: shared noise would pass the tests of the marginals.
    for i, j in itertools.combinations(range(draws.shape[1]), 2):
        correlation = np.corrcoef(draws[:, i].astype(np.float64), draws[:, j].astype(np.float64))[0, 1]
        assert abs(correlation) < 5 / np.sqrt(num_draws)


def _ks(grid, density, draws):
    grid = grid.astype(np.float64)
    cells = 0.5 * (density[1:] + density[:-1]) * np.diff(grid)
    cdf = np.concatenate([[0.0], np.cumsum(cells)])
    np.testing.assert_allclose(cdf[-1], 1.0, atol=1e-4)  # the density is normalized
    return scipy.stats.kstest(draws.astype(np.float64), lambda x: np.interp(x, grid, cdf / cdf[-1])).pvalue


def _chi_square(support, masses, draws):
    np.testing.assert_allclose(masses.sum(), 1.0, atol=3e-5)  # the probabilities sum to 1
    nearest = np.abs(draws[:, None].astype(np.float64) - support[None].astype(np.float64)).argmin(axis=1)
    np.testing.assert_allclose(draws, support[nearest], rtol=2e-7)
    observed, expected = np.bincount(nearest, minlength=len(support)), masses / masses.sum() * len(draws)
    rare = expected < 10
    if rare.any():
        observed = np.append(observed[~rare], observed[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
        if expected[-1] < 10:
            observed = np.append(observed[:-2], observed[-2:].sum())
            expected = np.append(expected[:-2], expected[-2:].sum())
    return scipy.stats.chisquare(observed, expected).pvalue
