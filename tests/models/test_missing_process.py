"""Tests of models of the mask, against integrals over the missing value of a linear model that masks itself."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from vae_jax.distributions import Normal, standard_normal
from vae_jax.evaluation import importance_sampling, impute
from vae_jax.models import VAE, Example, self_masking, with_missing, with_missing_process
from vae_jax.objectives import negative_iwae
from vae_jax.training import init_train_state, make_train_epoch, make_train_step

NOISE_VARIANCE = 0.36
TRUE = {"weights": np.array([0.8, 0.8], np.float32), "offset": np.array([0.0, 1.0], np.float32)}
MASKING = {"bias": np.array([9.0, 3.0], np.float32), "weight": np.array([0.0, -3.0], np.float32)}
KEY = jax.random.key(0)


def linear(start=TRUE):
    """x = w z + b + N(0, s^2), z ~ N(0, 1), with the exact q(z | x_observed) of values that are missing at random."""

    def encode(params, observed):
        x, mask = observed
        weights = params["weights"] * mask
        precision = 1 + weights @ weights / NOISE_VARIANCE
        mean = weights @ (x - params["offset"] * mask) / NOISE_VARIANCE / precision
        return Normal(mean[None], -jnp.log(precision)[None])

    def decode(params, z):
        return Normal(params["weights"] * z + params["offset"], jnp.full(2, np.log(NOISE_VARIANCE), jnp.float32))

    return VAE(lambda key: jax.tree.map(jnp.array, start), encode, lambda params: standard_normal(1), decode)


def with_values(x, mask):
    return x, mask.astype(x.dtype)


MODEL = with_missing_process(linear(), self_masking((2,)), with_values)


def exact(x):
    """log p(x_0, mask = (1, 0)) and E[x_1 | x_0, mask], by the trapezoidal rule in float64."""
    weights, offset = (TRUE[name].astype(float) for name in ("weights", "offset"))
    covariance = np.outer(weights, weights) + NOISE_VARIANCE * np.eye(2)
    values = np.linspace(-9.0, 11.0, 20_001)
    pairs = np.stack([np.full_like(values, x), values], axis=1)
    hidden = 1 / (1 + np.exp(3.0 - 3.0 * values))
    density = scipy.stats.multivariate_normal(offset, covariance).pdf(pairs) * hidden / (1 + np.exp(-9.0))
    total = np.trapezoid(density, values)
    return np.log(total), np.trapezoid(density * values, values) / total


@pytest.mark.slow
def test_bounds_and_imputations_are_those_of_the_integral_over_the_missing_value():
    xs = np.array([[-1.0, np.nan], [0.4, np.nan], [1.7, np.nan]], np.float32)
    masks = np.tile([True, False], (3, 1))
    params = {**MODEL.init(KEY), "missing": MASKING}
    expected = np.array([exact(x) for x in xs[:, 0]])
    estimates = importance_sampling(MODEL, params, KEY, Example(xs, masks), 4_000)
    np.testing.assert_allclose(estimates.log_likelihood, expected[:, 0], atol=0.03)
    imputed = impute(MODEL, params, KEY, Example(xs[1], masks[1]), 20_000, 5_000)
    np.testing.assert_allclose(imputed.value, [0.4, expected[1, 1]], atol=0.03, rtol=1e-6)
    np.testing.assert_allclose(imputed.draws[:, 1].mean(), expected[1, 1], atol=0.06)
    np.testing.assert_allclose(imputed.draws[:, 0], 0.4, rtol=1e-6)


def test_the_ordinary_model_is_the_one_whose_mask_does_not_depend_on_values():
    x, mask = np.array([0.7, np.nan], np.float32), np.array([True, False])
    params = MODEL.init(KEY)  # weights 0: both entries are missing with probability 1/2
    weights = importance_sampling(MODEL, params, KEY, Example(x[None], mask[None]), 10).log_likelihood
    exact_value = scipy.stats.norm(0.0, 1.0).logpdf(0.7) + 2 * np.log(0.5)
    np.testing.assert_allclose(weights, [exact_value], rtol=1e-5)


@pytest.mark.slow
def test_a_self_masked_mean_is_learned_if_the_mask_is_modeled_and_is_biased_if_it_is_not():
    rng = np.random.default_rng(0)
    z, noise = rng.normal(size=(2000, 1)), rng.normal(size=(2000, 2))
    xs = (z * TRUE["weights"] + TRUE["offset"] + np.sqrt(NOISE_VARIANCE) * noise).astype(np.float32)
    logits = MASKING["bias"] + MASKING["weight"] * xs
    masks = rng.random(xs.shape) < 1 / (1 + np.exp(-logits))
    data = Example(jnp.where(masks, xs, 0.0), jnp.asarray(masks))
    vae = linear({**TRUE, "offset": np.zeros(2, np.float32)})

    def learned(model):
        step = make_train_step(model, negative_iwae(5), optax.adam(0.03))
        epoch = make_train_epoch(step, 500)
        state = init_train_state(model, optax.adam(0.03), KEY)
        run = jax.jit(lambda state: jax.lax.scan(lambda s, _: (epoch(s, KEY, data)[0], None), state, length=100)[0])
        return run(state).params

    ordinary, own = (
        learned(with_missing(vae, with_values)),
        learned(with_missing_process(vae, self_masking((2,)), with_values)),
    )
    # The truth is 1; the mean of the observed values is about 0.4.
    assert ordinary["offset"][1] < 0.75
    np.testing.assert_allclose(own["offset"][1], 1.0, atol=0.12)
    np.testing.assert_allclose(own["missing"]["weight"][1], -3.0, atol=0.8)


def test_bad_arguments_are_refused():
    with pytest.raises(TypeError, match="model must be a VAE, got a Conditional"):
        with_missing_process(MODEL, self_masking((2,)))
    named = linear({**TRUE, "missing": np.zeros(1)})
    with pytest.raises(ValueError, match='model must not have params under "missing"'):
        with_missing_process(named, self_masking((2,))).init(KEY)
    with pytest.raises(ValueError, match="mask must have the shape of x"):
        MODEL.given(np.ones(3, bool)).encode(MODEL.init(KEY), jnp.zeros(2))
