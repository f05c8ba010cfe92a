import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from objectives.linear_gaussian import draws, gradient_draws, linear_gaussian, standard_error
from vae_jax import objectives as o
from vae_jax.models import Example, for_each_context, with_missing, with_optimal_variance
from vae_jax.objectives import elbo_metrics, elbo_terms

MODEL = with_optimal_variance(linear_gaussian())


def maximum_likelihood(xs):
    """Parameters of probabilistic PCA with the largest likelihood, the exact posterior, and the variance.

    Source: Tipping & Bishop 1999: the variance is the mean of the eigenvalues that are left out.
    """
    values, vectors = np.linalg.eigh(np.cov(xs.T, bias=True))
    variance = values[:2].mean()
    weights = vectors[:, 2:] * np.sqrt(values[2:] - variance)
    precision = 1 + (weights**2).sum(0) / variance
    params = {
        "weights": weights,
        "offset": xs.mean(0),
        "noise_log_variance": 0.0,
        "encoder": weights.T / precision[:, None] / variance,
        "log_variance": -np.log(precision),
    }
    params = {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}
    return {**params, "buffers": MODEL.init(jax.random.key(0))["buffers"]}, variance


def test_the_variance_of_a_batch_maximizes_its_likelihood():
    rng = np.random.default_rng(0)
    xs, means = rng.normal(size=(2, 5, 3, 2)).astype(np.float32)
    variance = float(o.batch_optimal_variance(xs, means))
    log_likelihood = lambda factor: scipy.stats.norm.logpdf(xs, means, np.sqrt(variance * factor)).sum()
    assert log_likelihood(1.0) > max(log_likelihood(1.01), log_likelihood(0.99))
    np.testing.assert_allclose(
        variance, np.var(np.float64(xs) - means) + np.mean(np.float64(xs) - means) ** 2, rtol=1e-5
    )


@pytest.mark.slow
def test_its_fixed_point_on_a_linear_model_is_the_maximum_of_the_likelihood():
    rng = np.random.default_rng(1)
    mixing = np.array([[2.0, 0, 0, 0], [1.0, 1.0, 0, 0], [0, 0.5, 0.6, 0], [1.0, 0, 0.2, 0.4]])
    xs = (rng.normal(size=(500, 4)) @ mixing.T + [1.0, 0, -2, 0.5]).astype(np.float32)
    params, variance = maximum_likelihood(np.float64(xs))
    objective = o.optimal_variance_loss()
    found = draws(lambda key: objective(MODEL, params, key, xs)[1].metrics["optimal_variance"], 400)
    # Five standard errors: fails once in 1.7 million seeds.
    assert abs(found.mean() - variance) < 5 * standard_error(found)
    assert standard_error(found) < 0.002 * variance
    # The parameters are a stationary point: the mean of each gradient is 0, up to 1/500 of the curvature of a batch.
    buffers = params.pop("buffers")
    joined = lambda model, p, key, batch: objective(model, {**p, "buffers": buffers}, key, batch)
    gradients = gradient_draws(joined, MODEL, params, xs, 400)
    assert (np.abs(gradients.mean(0)) < 5 * standard_error(gradients) + 0.01).all()
    elsewhere = {**params, "weights": 1.2 * params["weights"]}
    assert np.abs(gradient_draws(joined, MODEL, elsewhere, xs, 50).mean(0)).max() > 0.2


def test_loss_metrics_and_buffers_agree_with_numpy():
    model, params = MODEL, MODEL.init(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (5, 4))
    objective = jax.jit(o.optimal_variance_loss(decay=0.5), static_argnums=0)
    keys = jax.random.split(jax.random.key(2), 5)
    zs = jax.jit(jax.vmap(lambda key, x: model.encode(params, x).sample(key)))(keys, xs)
    means = np.float64(zs) @ np.float64(params["weights"]).T + np.float64(params["offset"])
    variance = np.mean((np.float64(xs) - means) ** 2)
    loss, aux = objective(model, params, keys, xs)
    expected = -scipy.stats.norm.logpdf(np.float64(xs), means, np.sqrt(variance)).sum() / 5
    np.testing.assert_allclose(loss, expected + aux.metrics["rate"], rtol=1e-5)
    # The metrics are those of the model, whose variance is 1 before the first update.
    terms = jax.jit(jax.vmap(lambda key, x: elbo_metrics(elbo_terms(model, params, key, x))))(keys, xs)
    for name, values in terms.items():
        np.testing.assert_allclose(aux.metrics[name], jnp.mean(values), rtol=1e-6)
    # The first variance replaces the initial one, then the mean of two, then the moving average.
    state, variances = params, []
    for factor in (1.0, 2.0, 3.0):
        aux = objective(model, state, keys, factor * xs)[1]
        state = {**state, "buffers": aux.buffers}
        variances.append(float(aux.metrics["optimal_variance"]))
    kept = 0.5 * (0.5 * (variances[0] + variances[1]) + variances[2])
    np.testing.assert_allclose(state["buffers"]["optimal_variance"]["variance"], kept, rtol=1e-5)
    np.testing.assert_allclose(model.decode(state, zs[0]).standard_deviation, np.sqrt(kept), rtol=1e-5)


def test_a_perfect_reconstruction_has_the_least_variance_and_finite_gradients():
    params = MODEL.init(jax.random.key(0))
    params |= {"weights": jnp.zeros((4, 2)), "offset": jnp.zeros(4)}
    objective = o.optimal_variance_loss(least_variance=1e-4)
    of = lambda params: objective(MODEL, params, jax.random.key(1), jnp.zeros((3, 4)))
    (loss, aux), gradient = jax.jit(jax.value_and_grad(of, has_aux=True))(params)
    np.testing.assert_allclose(loss - aux.metrics["rate"], 2 * np.log(2 * np.pi * 1e-4), rtol=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_models_of_examples_with_missing_entries_are_refused():
    message = "the optimal variance needs examples without missing entries, got a model with_missing"
    for model in (with_missing(MODEL), for_each_context(with_optimal_variance, with_missing(linear_gaussian()))):
        params = model.init(jax.random.key(0))
        params["encoder"] = jnp.zeros((2, 8))  # of values and mask
        batch = Example(jnp.zeros((2, 4)), jnp.ones((2, 4)))
        params["offset"] = jnp.zeros(())
        with pytest.raises(TypeError, match=message):
            o.optimal_variance_loss()(model, params, jax.random.key(0), batch)


def test_a_model_without_the_buffers_is_refused():
    model = linear_gaussian()
    message = (
        r"objectives.optimal_variance_loss needs a model with the buffers that models.with_optimal_variance\(model\)"
    )
    with pytest.raises(ValueError, match=message):
        o.optimal_variance_loss()(model, model.init(jax.random.key(0)), jax.random.key(0), jnp.zeros((2, 4)))
