"""The contract: every member of every axis (`contract_table.py`) passes the same tests."""

from __future__ import annotations

import functools
import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.flatten_util import ravel_pytree

from contract_table import DISTRIBUTIONS, IMAGE_SHAPE, IMAGES, LATENT_DIM, LIKELIHOODS, MODELS, OBJECTIVES
from vae_jax import distributions, models, objectives
from vae_jax.distributions import Distribution, gaussian_kl
from vae_jax.models import likelihoods

distribution_rows = pytest.mark.parametrize("row", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS.keys())
model_rows = pytest.mark.parametrize("row", MODELS.values(), ids=MODELS.keys())
objective_rows = pytest.mark.parametrize("row", OBJECTIVES.values(), ids=OBJECTIVES.keys())
elbo_rows = pytest.mark.parametrize(
    "row",
    [row for row in OBJECTIVES.values() if row.has_elbo],
    ids=[n for n, row in OBJECTIVES.items() if row.has_elbo],
)

# A goodness-of-fit test fails where its p-value is below this: once in 10,000 seeds, if all is well. Seeds are fixed.
P_THRESHOLD = 1e-4


def assert_trees_close(actual, expected, rtol=1e-5, atol=1e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), actual, expected)


def assert_all_finite(tree):
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        assert np.isfinite(leaf).all(), f"{jax.tree_util.keystr(path)}: {leaf}"


# ----------------------------------------------------------------------------------------------- nothing is forgotten


def test_every_public_distribution_has_a_row_of_its_own_class():
    public = {
        name
        for name, value in vars(distributions).items()
        if inspect.isclass(value) and Distribution in value.__mro__ and value is not Distribution
    }
    assert public == set(DISTRIBUTIONS)
    assert {name: type(row.example).__name__ for name, row in DISTRIBUTIONS.items()} == {n: n for n in DISTRIBUTIONS}


def test_every_public_objective_has_a_row():
    # An objective is a function (model, params, key, batch); a maker of objectives says so in its return annotation.
    # The two that lift or wrap someone else's function are tested in tests/objectives/test_batch.py.
    lifts = {"mean_over_batch", "on_prepared"}
    functions = {name: value for name, value in vars(objectives).items() if inspect.isfunction(value)}
    public = {
        name
        for name, function in functions.items()
        if list(inspect.signature(function).parameters) == ["model", "params", "key", "batch"]
        or function.__annotations__.get("return") == "Objective"
    }
    assert lifts <= public
    assert public - lifts == {row.name for row in OBJECTIVES.values()}


def test_every_public_model_builder_and_likelihood_has_a_row():
    functions = {name: value for name, value in vars(models).items() if inspect.isfunction(value)}
    public = {name for name, function in functions.items() if function.__annotations__.get("return") == "VAE"}
    assert public == {row.builder for row in MODELS.values()}
    assert {n for n, v in vars(likelihoods).items() if isinstance(v, likelihoods.Likelihood)} == set(LIKELIHOODS)
    assert {f"mlp_vae-{name}" for name in LIKELIHOODS} <= set(MODELS)


# ------------------------------------------------------------------------------------------------------ distributions


@distribution_rows
def test_distribution_under_jit_is_the_same(row):
    key = jax.random.key(0)
    assert_trees_close(jax.jit(lambda q, v: q.log_prob(v))(row.example, row.event), row.example.log_prob(row.event))
    assert_trees_close(jax.jit(lambda q, k: q.sample(k))(row.example, key), row.example.sample(key))
    assert_trees_close(
        jax.jit(lambda q, k: q.sample_and_log_prob(k))(row.example, key), row.example.sample_and_log_prob(key)
    )


@distribution_rows
def test_distribution_under_vmap_is_a_python_loop(row):
    # A batch of three different distributions, keys and events.
    batch = jax.tree.map(lambda a: jnp.stack([a, 0.5 * a, -0.25 * a]), row.example)
    one = lambda i: jax.tree.map(lambda a: a[i], batch)
    keys = jax.random.split(jax.random.key(1), 3)
    values = jax.vmap(lambda q, k: q.sample(k))(batch, keys)
    assert_trees_close(values, jnp.stack([one(i).sample(keys[i]) for i in range(3)]))
    log_probs = jax.vmap(lambda q, v: q.log_prob(v))(batch, values)
    assert_trees_close(log_probs, jnp.stack([one(i).log_prob(values[i]) for i in range(3)]))


@distribution_rows
def test_distribution_is_a_pytree_that_survives_a_round_trip(row):
    leaves, structure = jax.tree.flatten(row.example)
    again = jax.tree.unflatten(structure, leaves)
    assert type(again) is type(row.example)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    assert again.log_prob(row.event) == row.example.log_prob(row.event)
    # Through scan as carried state, which refuses a structure or dtype that changes.
    carried, log_probs = jax.lax.scan(lambda q, v: (q, q.log_prob(v)), row.example, jnp.stack([row.event] * 2))
    assert_trees_close(carried, row.example, rtol=0, atol=0)
    assert_trees_close(log_probs, jnp.stack([row.example.log_prob(row.event)] * 2))


@distribution_rows
def test_log_prob_is_a_float32_scalar_and_the_sum_over_the_places_of_the_event(row):
    log_prob = row.example.log_prob(row.event)
    assert (log_prob.shape, log_prob.dtype) == ((), jnp.float32)
    places = [jax.tree.map(lambda a, i=i: a[i : i + 1], (row.example, row.event)) for i in range(len(row.event))]
    np.testing.assert_allclose(log_prob, sum(float(q.log_prob(v)) for q, v in places), rtol=1e-5)


@distribution_rows
def test_a_draw_is_an_event_and_depends_on_the_key(row):
    draws = [row.example.sample(jax.random.key(seed)) for seed in (0, 0, *range(1, 9))]
    assert all((draw.shape, draw.dtype) == (row.event.shape, row.event_dtype) for draw in draws)
    np.testing.assert_array_equal(draws[0], draws[1])
    different = len({np.asarray(draw).tobytes() for draw in draws})
    assert different == 1 if row.support is None else different > 1


@distribution_rows
def test_sample_and_log_prob_is_a_draw_and_its_log_prob(row):
    def compare(key):
        value, log_prob = row.example.sample_and_log_prob(key)
        return value, log_prob, row.example.sample(key), row.example.log_prob(value)

    values, log_probs, samples, expected = jax.vmap(compare)(jax.random.split(jax.random.key(2), 1000))
    np.testing.assert_array_equal(values, samples)
    np.testing.assert_allclose(log_probs, expected, rtol=1e-5, atol=1e-4)


@distribution_rows
def test_value_and_gradients_are_finite_at_extreme_parameters(row):
    for extreme, event in row.extremes:
        for dist in (extreme, jax.tree.map(lambda a: -a, extreme)):
            value, to_params = jax.value_and_grad(lambda q, v=event: q.log_prob(v))(dist)
            assert np.isfinite(value)
            assert_all_finite(to_params)
            if row.continuous:
                assert_all_finite(jax.grad(dist.log_prob)(event))
            draw, log_prob = dist.sample_and_log_prob(jax.random.key(0))
            assert np.isfinite(draw).all()
            assert np.isfinite(log_prob)
            if hasattr(dist, "mean"):
                assert np.isfinite(dist.mean).all()
            if hasattr(dist, "kl"):
                for pair in ((dist, row.example), (row.example, dist)):
                    if pair[0].__class__ is not pair[1].__class__ or _shapes(pair[0]) != _shapes(pair[1]):
                        pair = (dist, jax.tree.map(lambda a: -0.5 * a, dist))
                    kl, grads = jax.value_and_grad(lambda q, p: q.kl(p), argnums=(0, 1))(*pair)
                    assert np.isfinite(kl)
                    assert kl >= 0
                    assert_all_finite(grads)


def _shapes(dist):
    return [leaf.shape for leaf in jax.tree.leaves(dist)]


@pytest.mark.parametrize(
    "row",
    [row for row in DISTRIBUTIONS.values() if row.support is not None],
    ids=[name for name, row in DISTRIBUTIONS.items() if row.support is not None],
)
def test_gradients_flow_through_a_draw_where_the_table_says_so(row):
    weights = jnp.arange(1.0, 1.0 + row.event.size).reshape(row.event.shape)
    draw = lambda q: jnp.sum(weights * q.sample(jax.random.key(3)).astype(jnp.float32))
    gradients, _ = ravel_pytree(jax.grad(draw)(row.example))
    assert np.isfinite(gradients).all()
    assert (np.asarray(gradients) != 0).all() if row.reparameterized else (np.asarray(gradients) == 0).all()


@distribution_rows
def test_draws_fit_the_density(row):
    """One-dimensional marginals: Kolmogorov-Smirnov against the integrated density, or chi-square against the masses.

    Each of the two or three places fails once in 1 / P_THRESHOLD seeds; the pairwise correlations, at five standard
    errors, once in 1.7 million.
    """
    num_draws = 20_000
    keys = jax.random.split(jax.random.key(4), num_draws)
    draws = np.asarray(jax.jit(jax.vmap(row.example.sample))(keys))
    if row.support is None:
        np.testing.assert_array_equal(draws, np.broadcast_to(row.event, draws.shape))
        return
    for place in range(draws.shape[1]):
        one = jax.tree.map(lambda a, i=place: a[i : i + 1], row.example)
        support = row.support(one)
        log_probs = jax.jit(jax.vmap(one.log_prob))(support[:, None])
        density = np.exp(np.asarray(log_probs, np.float64))
        p_value = (_ks if row.continuous else _chi_square)(support, density, draws[:, place])
        assert p_value > P_THRESHOLD
    # Places are independent: one noise for all of them would pass each marginal.
    for i, j in itertools.combinations(range(draws.shape[1]), 2):
        correlation = np.corrcoef(draws[:, i].astype(np.float64), draws[:, j].astype(np.float64))[0, 1]
        assert abs(correlation) < 5 / np.sqrt(num_draws)


def _ks(grid, density, draws):
    grid = grid.astype(np.float64)
    cells = 0.5 * (density[1:] + density[:-1]) * np.diff(grid)
    cdf = np.concatenate([[0.0], np.cumsum(cells)])
    np.testing.assert_allclose(cdf[-1], 1.0, atol=1e-4)  # it is a density
    return scipy.stats.kstest(draws.astype(np.float64), lambda x: np.interp(x, grid, cdf / cdf[-1])).pvalue


def _chi_square(support, masses, draws):
    np.testing.assert_allclose(masses.sum(), 1.0, atol=3e-5)  # they are probabilities
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


# ------------------------------------------------------------------------------------------------------------- models


@functools.cache
def _jitted_init(init):
    return jax.jit(init)


def params_of(row, seed=0):
    return _jitted_init(row.model.init)(jax.random.key(seed))


@model_rows
def test_params_are_plain_dicts_of_arrays_with_stable_paths(row):
    params = params_of(row)
    paths = set()

    def walk(tree, prefix):
        for name, value in tree.items():
            path = f"{prefix}{name}"
            if type(value) is dict:
                walk(value, f"{path}/")
            else:
                assert isinstance(value, jax.Array)
                assert value.dtype == jnp.float32
                paths.add(path)

    assert type(params) is dict
    walk(params, "")
    assert paths == row.paths


@model_rows
def test_init_is_a_function_of_its_key(row):
    first, again, other = (ravel_pytree(params_of(row, seed))[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.mean(first != other) > 0.5  # the kernels; biases start at zero


def _chain(model, params, key, x):
    """x -> q(z | x) -> z -> p(x | z) -> x', and every density on the way."""
    z_key, x_key = jax.random.split(key)
    posterior, prior = model.encode(params, x), model.prior(params)
    z, log_q = posterior.sample_and_log_prob(z_key)
    likelihood = model.decode(params, z)
    again = likelihood.sample(x_key)
    return {
        "z": z,
        "log_q": log_q,
        "log_prior": prior.log_prob(z),
        "log_likelihood": likelihood.log_prob(x),
        "x": again,
        "log_likelihood_of_draw": likelihood.log_prob(again),
    }


@model_rows
def test_encode_sample_decode_chain_is_finite_and_of_the_right_shapes(row):
    chain = _chain(row.model, params_of(row), jax.random.key(1), IMAGES[0])
    assert_all_finite(chain)
    assert {name: value.shape for name, value in chain.items()} == {
        "z": (LATENT_DIM,),
        "log_q": (),
        "log_prior": (),
        "log_likelihood": (),
        "x": IMAGE_SHAPE,
        "log_likelihood_of_draw": (),
    }
    assert all(value.dtype == jnp.float32 for value in chain.values())
    # The prior that the model trains with is the standard Normal, in float64: -1/2 |z|^2 - D/2 log 2 pi.
    z = np.asarray(chain["z"], np.float64)
    np.testing.assert_allclose(chain["log_prior"], -0.5 * (z**2).sum() - LATENT_DIM / 2 * np.log(2 * np.pi), rtol=1e-5)


@model_rows
def test_model_under_jit_and_vmap_is_a_python_loop(row):
    params, keys = params_of(row), jax.random.split(jax.random.key(2), len(IMAGES))
    one = lambda key, x: _chain(row.model, params, key, x)
    loop = jax.tree.map(lambda *a: jnp.stack(a), *(one(key, x) for key, x in zip(keys, IMAGES, strict=True)))
    batched = jax.jit(jax.vmap(one))(keys, IMAGES)
    np.testing.assert_allclose(batched["x"], loop["x"], atol=1 / 255 + 1e-5)  # a pixel on the edge of two bins
    for name in set(loop) - {"x", "log_likelihood_of_draw"}:
        np.testing.assert_allclose(batched[name], loop[name], rtol=2e-5, atol=1e-5, err_msg=name)


@model_rows
def test_model_is_finite_with_finite_gradients_far_outside(row):
    # Codes 30 prior standard deviations out, black and white images: outputs are some +-20.
    trained, buffers = models.vae.split_buffers(params_of(row))

    def log_joint(trained, z, x):
        params = models.vae.join_buffers(trained, buffers)
        return row.model.decode(params, z).log_prob(x) + row.model.prior(params).log_prob(z)

    grads_of = jax.jit(jax.value_and_grad(log_joint, argnums=(0, 1)))
    for z, x in itertools.product((-30.0, 30.0), (0.0, 1.0)):
        value, grads = grads_of(trained, jnp.full(LATENT_DIM, z), jnp.full(IMAGE_SHAPE, x))
        assert np.isfinite(value)
        assert_all_finite(grads)


# --------------------------------------------------------------------------------------------------------- objectives


@objective_rows
def test_objective_under_jit_is_the_same(row):
    model, params, batch = row.problem
    eager = row.objective(model, params, jax.random.key(0), batch)
    jitted = jax.jit(row.objective, static_argnums=0)(model, params, jax.random.key(0), batch)
    assert_trees_close(jitted, eager, rtol=2e-5)


@objective_rows
def test_loss_and_metrics_are_float32_scalars(row):
    model, params, batch = row.problem
    loss, aux = row.objective(model, params, jax.random.key(0), batch)
    for value in (loss, *aux.metrics.values()):
        assert (value.shape, value.dtype) == ((), jnp.float32)


@objective_rows
def test_without_noise_the_loss_of_a_tiled_batch_is_the_loss(row):
    model, params, batch = row.quiet
    objective = jax.jit(row.objective, static_argnums=0)
    loss, _ = objective(model, params, jax.random.key(0), batch)
    for copies in (2, 4):
        tiled = np.concatenate([batch] * copies)
        other, _ = objective(model, params, jax.random.key(copies), tiled)
        np.testing.assert_allclose(other, loss, rtol=1e-5)


@objective_rows
def test_without_noise_the_loss_is_the_mean_of_the_examples_own(row):
    model, params, batch = row.quiet
    objective = jax.jit(row.objective, static_argnums=0)
    loss, _ = objective(model, params, jax.random.key(0), batch)
    alone = [float(objective(model, params, jax.random.key(i), batch[i : i + 1])[0]) for i in range(len(batch))]
    assert np.std(alone) > 0.01  # the examples differ, so that the mean is told from any one of them
    np.testing.assert_allclose(loss, np.mean(alone), rtol=1e-5)


@pytest.mark.slow
@objective_rows
def test_the_expected_loss_does_not_depend_on_the_batch_size(row):
    # Five standard errors (and float32's rounding, where nothing is random): fails once in 1.7 million seeds.
    model, params, batch = row.problem
    means, errors = [], []
    for seed, copies in enumerate((1, 4)):
        tiled = np.concatenate([batch] * copies)
        one = jax.jit(jax.vmap(lambda key, xs=tiled: row.objective(model, params, key, xs)[0]))
        losses = np.asarray(one(jax.random.split(jax.random.key(seed), 2000)), np.float64)
        means.append(losses.mean())
        errors.append(losses.std() / np.sqrt(losses.size))
    assert abs(means[0] - means[1]) < 5 * np.hypot(*errors) + 1e-5 * abs(means[0])
    assert max(errors) < 0.01 * abs(means[0])  # else the comparison says nothing


@pytest.mark.slow
@objective_rows
def test_each_example_has_a_key_of_its_own(row):
    # The same example twice: with one key for both, the variance of the mean loss would not halve.
    model, params, batch = row.problem
    variances = []
    for copies in (1, 4):
        xs = np.concatenate([batch[:1]] * copies)
        one = jax.jit(jax.vmap(lambda key, xs=xs: row.objective(model, params, key, xs)[0]))
        variances.append(np.asarray(one(jax.random.split(jax.random.key(5), 4000)), np.float64).var())
    if model is OBJECTIVES["reconstruction"].problem.model:
        assert max(variances) < 1e-9  # a Delta has no noise
    else:
        # The ratio of two variances of 4,000 draws has a standard error of some 4%: 25% is beyond six.
        np.testing.assert_allclose(variances[0] / variances[1], 4.0, rtol=0.25)


@pytest.mark.slow
@elbo_rows
def test_metrics_hold_the_true_elbo_rate_and_distortion_whatever_the_loss(row):
    model, params, batch = row.problem
    _, aux = row.objective(model, params, jax.random.key(0), batch)
    metrics = aux.metrics
    np.testing.assert_allclose(metrics["elbo"], -(metrics["rate"] + metrics["distortion"]), rtol=1e-6)

    def sampled(key):
        return row.objective(model, params, key, batch)[1].metrics

    draws = jax.jit(jax.vmap(sampled))(jax.random.split(jax.random.key(6), 4000))
    draws = {name: np.asarray(values, np.float64) for name, values in draws.items()}
    error = {name: values.std() / np.sqrt(values.size) for name, values in draws.items()}
    # The rate is the closed form's in expectation: five standard errors, fails once in 1.7 million seeds.
    posterior = jax.vmap(lambda x: model.encode(params, x))(batch)
    mean, log_variance = (np.asarray(a, np.float64) for a in (posterior.mean, posterior.log_variance))
    rate = 0.5 * (np.expm1(log_variance) - log_variance + mean**2).sum(1).mean()
    assert abs(draws["rate"].mean() - rate) < 5 * error["rate"] + 1e-5 * rate
    np.testing.assert_allclose(rate, jax.vmap(gaussian_kl)(posterior.mean, posterior.log_variance).mean(), rtol=1e-5)
    # The distortion is minus the pixels' log-likelihood at z ~ q, drawn and summed here in numpy float64.
    rng = np.random.default_rng(7)
    z = mean[:, None] + np.exp(0.5 * log_variance)[:, None] * rng.normal(size=(*mean.shape[:1], 4000, LATENT_DIM))
    decoded = jax.jit(jax.vmap(jax.vmap(lambda z: model.decode(params, z).logits)))(z.astype(np.float32))
    logits = np.asarray(decoded, np.float64)
    minus_log_p = -(batch[:, None] * logits - np.logaddexp(0, logits)).sum((2, 3, 4))
    own_error = minus_log_p.mean(0).std() / np.sqrt(minus_log_p.shape[1])
    assert abs(draws["distortion"].mean() - minus_log_p.mean()) < 5 * np.hypot(error["distortion"], own_error)


@objective_rows
def test_buffers_pass_through_untouched(row):
    model, params, batch = row.problem
    trained, _ = models.vae.split_buffers(params)
    buffers = {**params.get("buffers", {}), "count": jnp.arange(3)}
    _, aux = row.objective(model, {**trained, "buffers": buffers}, jax.random.key(0), batch)
    assert_trees_close(aux.buffers, buffers, rtol=0, atol=0)
    if "buffers" not in params:
        assert row.objective(model, params, jax.random.key(0), batch)[1].buffers is None


@objective_rows
@pytest.mark.parametrize("log_variance", [-30.0, 30.0])
@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_loss_and_gradient_are_finite_at_extreme_parameters(row, log_variance, logit):
    model, params, batch = row.problem
    trained, buffers = models.vae.split_buffers(params)
    encoder, decoder = trained["encoder"]["output"], trained["decoder"]["output"]
    # The last half of the encoder's outputs are log-variances (codes, for an autoencoder, which may be as extreme).
    half = encoder["bias"].shape[0] // 2
    encoder = {**encoder, "bias": encoder["bias"].at[half:].set(log_variance)}
    decoder = {**decoder, "bias": jnp.full_like(decoder["bias"], logit)}
    trained = {
        "encoder": {**trained["encoder"], "output": encoder},
        "decoder": {**trained["decoder"], "output": decoder},
    }

    def loss_of(trained):
        return row.objective(model, models.vae.join_buffers(trained, buffers), jax.random.key(0), batch)[0]

    loss, gradients = jax.jit(jax.value_and_grad(loss_of))(trained)
    assert np.isfinite(loss)
    assert_all_finite(gradients)
    assert np.abs(ravel_pytree(gradients)[0]).max() > 0.1  # and not zero: it could be trained back
