import jax
import jax.numpy as jnp
import numpy as np
import pytest

from objectives.linear_gaussian import elbo_parts, examples, linear_gaussian, wrong_params
from vae_jax import VAE, Normal, standard_normal
from vae_jax.distributions import Chain, Delta, Mixture
from vae_jax.evaluation import active_units, kl_per_dimension, posterior_means, variances_of_means

MODEL, PARAMS, XS = linear_gaussian(), wrong_params(), examples(9)


def test_active_units_counts_the_dimensions_whose_means_vary():
    # Alternating +-a has variance a^2: 4, 0.0121, 0.0081, 0 (at an offset of 100), 1e-12.
    signs = np.where(np.arange(100) % 2, 1.0, -1.0)[:, None]
    means = (signs * np.array([2.0, 0.11, 0.09, 0.0, 1e-6]) + np.array([0.0, 5.0, 0.0, 100.0, 0.0])).astype(np.float32)
    assert active_units(means) == 2
    assert active_units(means, threshold=0.008) == 3
    assert active_units(means, threshold=0.1) == 1
    assert active_units(means, threshold=5.0) == 0
    with pytest.raises(AssertionError, match="rank"):
        active_units(means[0])


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_posterior_means_are_the_encoders(batch_size):
    expected = (XS - np.asarray(PARAMS["offset"])) @ np.asarray(PARAMS["encoder"]).T
    np.testing.assert_allclose(posterior_means(MODEL, PARAMS, XS, batch_size), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_kl_per_dimension_is_float64s_and_sums_to_the_rate(batch_size):
    actual = kl_per_dimension(MODEL, PARAMS, XS, batch_size)
    means = (XS.astype(np.float64) - np.asarray(PARAMS["offset"])) @ np.asarray(PARAMS["encoder"], np.float64).T
    log_variance = np.asarray(PARAMS["log_variance"], np.float64)
    expected = 0.5 * (np.expm1(log_variance) - log_variance + (means**2).mean(axis=0))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    rate = np.mean([elbo_parts(PARAMS, x.astype(np.float64))[1] for x in XS])
    np.testing.assert_allclose(np.sum(actual), rate, rtol=1e-5)


def test_kl_per_dimension_refuses_what_does_not_factorize():
    model = MODEL._replace(encode=lambda params, x: Delta(params["encoder"] @ x))
    with pytest.raises(TypeError, match="no KL divergence per dimension from Delta to Normal"):
        jax.block_until_ready(kl_per_dimension(model, PARAMS, XS))


def test_kl_per_dimension_of_a_code_of_several_axes_is_of_each_number():
    model = VAE(
        None,
        lambda params, x: Normal(x.reshape(2, 2), jnp.full((2, 2), -1.0)),
        lambda params: Normal(jnp.zeros((2, 2)), jnp.zeros((2, 2))),
        None,
    )
    expected = 0.5 * (np.expm1(-1.0) + 1.0 + (XS.astype(np.float64) ** 2).mean(axis=0))
    np.testing.assert_allclose(kl_per_dimension(model, {}, XS), expected, rtol=1e-5)


def test_the_variances_of_exact_means_are_numpys():
    expected = np.var((XS - np.asarray(PARAMS["offset"])) @ np.asarray(PARAMS["encoder"]).T, axis=0)
    np.testing.assert_allclose(variances_of_means(MODEL, PARAMS, jax.random.key(0), XS), expected, rtol=1e-4)


def tanh_given(params, before):
    return Normal(params * jnp.tanh(before), jnp.zeros(2))


def two_layers(weight):
    """Model with q(z_1 | x) = N(x[:2], 0.25), q(z_2 | z_1) = N(weight tanh(z_1), 1), whose mean has no closed form."""
    return VAE(
        None,
        lambda params, x: Chain(Normal(x[:2], jnp.full(2, np.log(0.25))), (jnp.asarray(weight),), (tanh_given,)),
        lambda params: standard_normal(2),
        None,
    )


@pytest.mark.parametrize("weight", [pytest.param(0.0, marks=pytest.mark.slow), 0.3])
def test_where_there_is_no_mean_its_variance_is_estimated_without_the_noise_of_the_draws(weight):
    xs = np.random.default_rng(1).normal(0, 1, (600, 2)).astype(np.float32)
    first, second = variances_of_means(two_layers(weight), {}, jax.random.key(1), xs, 50)
    # E[z_2 | x] = weight E[tanh(x + eps / 2)], by Gauss-Hermite quadrature.
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    mean = weight * np.tanh(xs[..., None] + 0.5 * nodes) @ weights / weights.sum()
    # The noise of 50 draws of z_2 with variance 1 would add 0.02, twice the threshold of an active unit.
    np.testing.assert_allclose(second, mean.var(axis=0), atol=0.005)
    np.testing.assert_allclose(first, xs.var(axis=0), rtol=0.05)


def test_a_mixture_as_posterior_has_a_mean():
    components = lambda x: Normal(jnp.stack([x[:2], x[2:]]), jnp.zeros((2, 2)))
    model = VAE(None, lambda params, x: Mixture(jnp.zeros(2), components(x)), lambda params: standard_normal(2), None)
    variances = variances_of_means(model, {}, jax.random.key(0), XS)
    np.testing.assert_allclose(variances, np.var((XS[:, :2] + XS[:, 2:]) / 2, axis=0), rtol=1e-4)
