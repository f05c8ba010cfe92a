"""Contract tests of objectives, which every row of the table passes."""

import itertools
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from contract.checks import assert_all_finite, assert_trees_close
from contract.models_table import LATENT_DIM
from contract.objectives_table import AUTOENCODER, CODE_MODEL, NOISY, OBJECTIVES
from vae_jax.distributions import gaussian_kl
from vae_jax.params import join_buffers, split_buffers

objective_rows = pytest.mark.parametrize("row", OBJECTIVES.values(), ids=OBJECTIVES.keys())
# Objectives that do not depend on the number of examples, each of which has its own key.
sized_rows = pytest.mark.parametrize(
    "row",
    [row for row in OBJECTIVES.values() if not row.needs_size],
    ids=[name for name, row in OBJECTIVES.items() if not row.needs_size],
)
elbo_rows = pytest.mark.parametrize(
    "row",
    [row for row in OBJECTIVES.values() if row.has_elbo],
    ids=[n for n, row in OBJECTIVES.items() if row.has_elbo],
)
# One objective of each kind: in closed form, with several samples, without a rate.
QUICK = ("negative_elbo", "negative_iwae(5)", "reconstruction_loss")

NUM_KEYS = 4000


@partial(jax.jit, static_argnums=(0, 1))
def _loss_and_metrics(objective, model, params, keys, batch):
    def loss_and_metrics(key):
        loss, aux = objective(model, params, key, batch)
        return loss, aux.metrics

    return jax.vmap(loss_and_metrics)(keys)


def draws(row, problem, batch, seed):
    """Loss and metrics of a batch for 4,000 keys, in numpy float64.

    The tests share one program per batch size (1, 4 and 16 examples), because most of their time is compilation.
    """
    keys = jax.random.split(jax.random.key(seed), NUM_KEYS)
    drawn = _loss_and_metrics(row.objective, problem.model, problem.params, keys, batch)
    return jax.tree.map(lambda values: np.asarray(values, np.float64), drawn)


def tiled(batch, copies):
    return jax.tree.map(lambda leaf: np.concatenate([leaf] * copies), batch)


def one_of(batch, index):
    return jax.tree.map(lambda leaf: leaf[index : index + 1], batch)


@pytest.mark.slow
@objective_rows
def test_objective_under_jit_agrees_with_eager_mode(row):
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
@sized_rows
def test_without_noise_tiling_the_batch_does_not_change_the_loss(row):
    loss, _ = draws(row, row.noiseless, row.noiseless.batch, 0)
    other, _ = draws(row, row.noiseless, tiled(row.noiseless.batch, 4), 1)
    np.testing.assert_allclose(other, loss, rtol=1e-5)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=name, marks=() if name in QUICK else pytest.mark.slow)
        for name, row in OBJECTIVES.items()
        if not row.needs_batch
    ],
)
def test_without_noise_the_loss_is_the_mean_over_single_examples(row):
    loss, _ = draws(row, row.noiseless, row.noiseless.batch, 0)
    single = [draws(row, row.noiseless, one_of(row.noiseless.batch, i), i + 1)[0] for i in range(4)]
    assert np.std(single, axis=0).min() > 0.01  # the losses of the examples differ from each other and their mean
    np.testing.assert_allclose(loss, np.mean(single, axis=0), rtol=1e-5)


@pytest.mark.slow
@sized_rows
def test_the_expected_loss_does_not_depend_on_the_batch_size(row):
    # Five standard errors, plus rounding in float32 for losses without noise: fails once in 1.7 million seeds.
    means, errors = [], []
    for seed, copies in enumerate((1, 4)):
        losses, _ = draws(row, row.problem, tiled(row.problem.batch, copies), seed)
        means.append(losses.mean())
        errors.append(losses.std() / np.sqrt(losses.size))
    assert abs(means[0] - means[1]) < 5 * np.hypot(*errors) + 1e-5 * abs(means[0])
    assert max(errors) < 0.01 * abs(means[0])  # larger errors would make the comparison meaningless


@pytest.mark.slow
@sized_rows
def test_each_example_has_its_own_key(row):
    # One example four times: with a common key, the variance of the mean loss would not fall to a quarter.
    batches = (tiled(one_of(row.problem.batch, 0), copies) for copies in (1, 4))
    variances = [draws(row, row.problem, batch, 5)[0].var() for batch in batches]
    if row.problem.model in (AUTOENCODER, CODE_MODEL):
        assert max(variances) < 1e-9  # a point mass has no noise
    else:
        # The ratio of two variances of 4,000 draws has a standard error of about 4%; 25% is more than six of them.
        np.testing.assert_allclose(variances[0] / variances[1], 4.0, rtol=0.25)


@cache
def _rate_and_distortions():
    """Closed-form rate and 4,000 sampled distortions of the ordinary problem, in numpy float64."""
    model, params, batch = NOISY
    posterior = jax.jit(jax.vmap(lambda x: model.encode(params, x)))(batch)
    mean, log_variance = (np.asarray(a, np.float64) for a in (posterior.mean, posterior.log_variance))
    rate = 0.5 * (np.expm1(log_variance) - log_variance + mean**2).sum(1).mean()
    np.testing.assert_allclose(rate, jax.vmap(gaussian_kl)(posterior.mean, posterior.log_variance).mean(), rtol=1e-5)
    # The distortion is minus the log-likelihood of the pixels at z ~ q.
    rng = np.random.default_rng(7)
    z = mean[:, None] + np.exp(0.5 * log_variance)[:, None] * rng.normal(size=(*mean.shape[:1], 4000, LATENT_DIM))
    decoded = jax.jit(jax.vmap(jax.vmap(lambda z: model.decode(params, z).logits)))(z.astype(np.float32))
    logits = np.asarray(decoded, np.float64)
    return rate, -(batch[:, None] * logits - np.logaddexp(0, logits)).sum((2, 3, 4)).mean(0)


@pytest.mark.slow
@elbo_rows
def test_metrics_hold_the_true_elbo_rate_and_distortion_for_any_loss(row):
    assert row.problem is NOISY
    _, metrics = draws(row, row.problem, row.problem.batch, 6)
    np.testing.assert_allclose(metrics["elbo"], -(metrics["rate"] + metrics["distortion"]), rtol=1e-6)
    error = {name: values.std() / np.sqrt(values.size) for name, values in metrics.items()}
    rate, distortions = _rate_and_distortions()
    # The expected rate is the closed form. Five standard errors: fails once in 1.7 million seeds.
    assert abs(metrics["rate"].mean() - rate) < 5 * error["rate"] + 1e-5 * rate
    reference_error = distortions.std() / np.sqrt(distortions.size)
    assert abs(metrics["distortion"].mean() - distortions.mean()) < 5 * np.hypot(error["distortion"], reference_error)


@objective_rows
def test_an_objective_changes_only_its_buffers(row):
    model, params, batch = row.problem
    trained, _ = split_buffers(params)
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
    trained, buffers = split_buffers(params)
    encoder, decoder = trained["encoder"]["output"], trained["decoder"]["output"]
    # The second half of the encoder's outputs are log-variances (latent codes for an autoencoder, equally extreme).
    half = encoder["bias"].shape[0] // 2

    @jax.jit
    @jax.value_and_grad
    def loss_of(trained):
        return row.objective(model, join_buffers(trained, buffers), jax.random.key(0), batch)[0]

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
        # The gradient is not zero, so that training can recover.
        assert np.abs(ravel_pytree(gradients)[0]).max() > 0.1, (log_variance, logit)
