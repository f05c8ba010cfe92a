"""Free bits on the linear-Gaussian VAE, whose rate in each dimension is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from objectives.linear_gaussian import OFFSET, examples, float64, linear_gaussian, wrong_params
from vae_jax import VAE, Normal
from vae_jax.distributions import Delta
from vae_jax.objectives import batch_free_bits_rate, free_bits_loss, negative_elbo

MODEL, PARAMS, KEY = linear_gaussian(), wrong_params(), jax.random.key(0)
XS = OFFSET + 3 * (examples(6) - OFFSET)  # far enough apart for rates on both sides of lambda


def kl_per_dimension():
    p = float64(PARAMS)
    means = (XS - p["offset"]) @ p["encoder"].T
    return 0.5 * (np.exp(p["log_variance"]) - 1 - p["log_variance"] + means**2)


KL = kl_per_dimension()  # [6, 2]


def test_the_arithmetic_is_a_maximum_of_means_not_a_mean_of_maxima():
    kl = np.array([[0.0, 3.0, 0.1], [1.0, 5.0, 0.2]], np.float32)
    assert batch_free_bits_rate(kl, 0.75) == 0.75 + 4.0 + 0.75  # means 0.5, 4, 0.15
    assert batch_free_bits_rate(kl, 0.0) == pytest.approx(0.5 + 4.0 + 0.15)
    with pytest.raises(AssertionError, match="rank"):
        batch_free_bits_rate(kl[0], 0.5)


def test_a_groups_gradient_is_that_of_its_mean_above_lambda_and_nothing_below():
    kl = np.array([[0.0, 3.0, 0.1], [1.0, 5.0, 0.2]], np.float32)
    gradient = jax.grad(batch_free_bits_rate)(kl, 0.75)
    np.testing.assert_array_equal(gradient, [[0.0, 0.5, 0.0], [0.0, 0.5, 0.0]])


@pytest.mark.parametrize(
    "nats",
    [0.3, float(KL.mean(axis=0).mean()), *(pytest.param(nats, marks=pytest.mark.slow) for nats in (0.0, 5.0))],
)
def test_the_loss_is_distortion_plus_what_is_left_to_pay_and_the_metrics_are_those_of_the_vae(nats):
    loss, aux = jax.jit(lambda: free_bits_loss(nats)(MODEL, PARAMS, KEY, XS))()
    paid = np.maximum(nats, KL.mean(axis=0)).sum()
    np.testing.assert_allclose(loss, aux.metrics["distortion"] + paid, rtol=1e-5)
    _, usual = jax.jit(lambda: negative_elbo(MODEL, PARAMS, KEY, XS))()
    assert aux.metrics.keys() == usual.metrics.keys()
    for name, value in usual.metrics.items():  # the true ELBO, of the same draws
        np.testing.assert_allclose(aux.metrics[name], value, rtol=1e-6)


def test_these_cases_tell_the_dimensions_and_the_two_orders_of_mean_and_maximum_apart():
    middle = KL.mean(axis=0).mean()
    assert KL[:, 0].mean() > middle + 0.1 > KL[:, 1].mean() + 0.2
    assert np.maximum(middle, KL).mean(axis=0).sum() > np.maximum(middle, KL.mean(axis=0)).sum() + 0.1


def test_a_dimension_below_lambda_is_free_to_carry_more():
    middle = float(KL.mean(axis=0).mean())
    distortion, free, everything_free = jax.jit(
        lambda p: [
            jax.grad(function)(p)
            for function in (
                lambda p: negative_elbo(MODEL, p, KEY, XS)[1].metrics["distortion"],
                lambda p: free_bits_loss(middle)(MODEL, p, KEY, XS)[0],
                lambda p: free_bits_loss(50.0)(MODEL, p, KEY, XS)[0],
            )
        ]
    )(PARAMS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), everything_free, distortion)
    # Only dimension 0 is penalized: d KL / d log_variance = (exp(lv) - 1) / 2.
    paid = free["log_variance"] - distortion["log_variance"]
    slope = 0.5 * np.expm1(float64(PARAMS)["log_variance"])
    np.testing.assert_allclose(paid, [slope[0], 0.0], rtol=1e-4, atol=1e-5)
    assert abs(slope).min() > 0.05


def test_groups_pay_for_their_sum():
    rates = KL.mean(axis=0)
    nats = float(rates.min() + 0.1)  # above the smaller rate, below the sum
    for groups, paid in (([0, 0], rates.sum()), ([1, 0], np.maximum(nats, rates).sum())):
        loss, aux = jax.jit(lambda g=groups: free_bits_loss(nats, g)(MODEL, PARAMS, KEY, XS))()
        np.testing.assert_allclose(loss, aux.metrics["distortion"] + paid, rtol=1e-5)
    assert np.maximum(nats, rates).sum() > rates.sum() + 0.05


def test_channels_of_a_feature_map_are_groups():
    # z is [2, 2, 3], its mean is the example, and its variances are 1: the KL of a position is half its square.
    shape = (2, 2, 3)
    model = VAE(
        init=lambda key: {},
        encode=lambda params, x: Normal(x, jnp.zeros(shape)),
        prior=lambda params: Normal(jnp.zeros(shape), jnp.zeros(shape)),
        decode=lambda params, z: Normal(z, jnp.zeros(shape)),
    )
    xs = np.random.default_rng(0).normal(0, [0.1, 1.0, 2.0], (5, *shape)).astype(np.float32)
    channels = np.broadcast_to(np.arange(3), shape)
    loss, aux = jax.jit(lambda: free_bits_loss(1.0, channels)(model, {}, KEY, xs))()
    per_channel = (0.5 * xs.astype(np.float64) ** 2).sum(axis=(1, 2)).mean(axis=0)
    assert per_channel[0] < 0.5 and per_channel[1] > 1.1
    np.testing.assert_allclose(loss - aux.metrics["distortion"], 1.0 + per_channel[1:].sum(), rtol=1e-5)
    np.testing.assert_allclose(aux.metrics["rate"], per_channel.sum(), rtol=1e-5)


def test_it_needs_independent_dimensions_and_says_so():
    deterministic = MODEL._replace(encode=lambda params, x: Delta(params["encoder"] @ x))
    with pytest.raises(TypeError, match=r"model: free bits need .*from Delta to Normal: .* diagonal Normals"):
        free_bits_loss(0.5)(deterministic, PARAMS, KEY, XS)


@pytest.mark.parametrize("nats", [-0.1, float("nan")])
def test_a_negative_lambda_is_refused(nats):
    for call in (lambda: free_bits_loss(nats), lambda: free_bits_loss(nats, [0, 1])):
        with pytest.raises(ValueError, match=f"nats must be at least 0, got {nats}"):
            call()


def test_groups_with_a_gap_or_of_another_shape_are_refused():
    with pytest.raises(
        ValueError, match=r"groups must be numbered 0, 1, \.\.\. without a gap, got the numbers \[0, 2\]"
    ):
        free_bits_loss(0.5, [0, 2])
    with pytest.raises(ValueError, match=r"groups must have the shape of z, \(2,\), got \(3,\)"):
        free_bits_loss(0.5, [0, 1, 2])(MODEL, PARAMS, KEY, XS)
    with pytest.raises(TypeError, match="raw uint8 pixels"):
        free_bits_loss(0.5)(MODEL, PARAMS, KEY, np.zeros((2, 4), np.uint8))
