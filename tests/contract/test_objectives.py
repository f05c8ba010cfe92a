"""The contract of objectives: every row of the table passes the same tests."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from contract.checks import assert_all_finite, assert_trees_close
from contract.table import AUTOENCODER, CODE_MODEL, LATENT_DIM, OBJECTIVES
from vae_jax import models
from vae_jax.distributions import gaussian_kl

objective_rows = pytest.mark.parametrize("row", OBJECTIVES.values(), ids=OBJECTIVES.keys())
elbo_rows = pytest.mark.parametrize(
    "row",
    [row for row in OBJECTIVES.values() if row.has_elbo],
    ids=[n for n, row in OBJECTIVES.items() if row.has_elbo],
)


@pytest.mark.slow
@objective_rows
def test_objective_under_jit_is_the_same(row):
    model, params, batch = row.problem
    eager = row.objective(model, params, jax.random.key(0), batch)
    jitted = jax.jit(row.objective, static_argnums=0)(model, params, jax.random.key(0), batch)
    assert_trees_close(jitted, eager, rtol=2e-5)


@objective_rows
def test_loss_and_metrics_are_float32_scalars(row):
    model, params, batch = row.problem
    loss, aux = jax.eval_shape(lambda p, xs: row.objective(model, p, jax.random.key(0), xs), params, batch)
    for value in (loss, *aux.metrics.values()):
        assert (value.shape, value.dtype) == ((), jnp.float32)


@pytest.mark.slow
@objective_rows
def test_without_noise_the_loss_of_a_tiled_batch_is_the_loss(row):
    model, params, batch = row.quiet
    objective = jax.jit(row.objective, static_argnums=0)
    loss, _ = objective(model, params, jax.random.key(0), batch)
    other, _ = objective(model, params, jax.random.key(1), np.concatenate([batch] * 3))
    np.testing.assert_allclose(other, loss, rtol=1e-5)


@pytest.mark.parametrize(
    "row",
    [row for row in OBJECTIVES.values() if not row.needs_batch],
    ids=[n for n, row in OBJECTIVES.items() if not row.needs_batch],
)
def test_without_noise_the_loss_is_the_mean_of_the_examples_own(row):
    model, params, batch = row.quiet
    loss_of = lambda params, key, xs: row.objective(model, params, key, xs)[0]

    @jax.jit
    def together_and_alone(params, batch):
        keys = jax.random.split(jax.random.key(1), len(batch))
        alone = jax.vmap(lambda key, x: loss_of(params, key, x[None]))(keys, batch)
        return loss_of(params, jax.random.key(0), batch), alone

    loss, alone = together_and_alone(params, batch)
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
    if model in (AUTOENCODER, CODE_MODEL):
        assert max(variances) < 1e-9  # a code that is one point has no noise
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
def test_only_an_objectives_own_buffers_change(row):
    model, params, batch = row.problem
    trained, _ = models.vae.split_buffers(params)
    buffers = {**params.get("buffers", {}), "count": jnp.arange(3)}
    after = jax.jit(lambda params: row.objective(model, params, jax.random.key(0), batch)[1].buffers)
    found = after({**trained, "buffers": buffers})
    if row.updates_buffers:
        assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, buffers)
        np.testing.assert_array_equal(found["count"], buffers["count"])
    else:
        assert_trees_close(found, buffers, rtol=0, atol=0)
    if "buffers" not in params:
        assert jax.eval_shape(after, params) is None


@pytest.mark.slow
@objective_rows
def test_loss_and_gradient_are_finite_at_extreme_parameters(row):
    model, params, batch = row.problem
    trained, buffers = models.vae.split_buffers(params)
    encoder, decoder = trained["encoder"]["output"], trained["decoder"]["output"]
    # The last half of the encoder's outputs are log-variances (codes, for an autoencoder, which may be as extreme).
    half = encoder["bias"].shape[0] // 2

    @jax.jit
    @jax.value_and_grad
    def loss_of(trained):
        return row.objective(model, models.vae.join_buffers(trained, buffers), jax.random.key(0), batch)[0]

    for log_variance, logit in itertools.product((-30.0, 30.0), (-200.0, 200.0)):
        extreme = {
            **trained,
            "encoder": {
                **trained["encoder"],
                "output": {**encoder, "bias": encoder["bias"].at[half:].set(log_variance)},
            },
            "decoder": {**trained["decoder"], "output": {**decoder, "bias": jnp.full_like(decoder["bias"], logit)}},
        }
        loss, gradients = loss_of(extreme)
        assert np.isfinite(loss), (log_variance, logit)
        assert_all_finite(gradients)
        # And not zero: it could be trained back.
        assert np.abs(ravel_pytree(gradients)[0]).max() > 0.1, (log_variance, logit)
