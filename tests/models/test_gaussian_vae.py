import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from fresh import init
from vae_jax.models import autoencoder, conv_vae, gaussian_vae, likelihoods, mlp_vae
from vae_jax.networks import Network

IMAGE = (2, 2, 1)


def linear_network(num_inputs, output_shape):
    """Network x -> (W x + b), reshaped, with weights drawn from a standard Normal."""
    size = int(np.prod(output_shape))

    def init(key):
        return {"weights": jax.random.normal(key, (size, num_inputs)), "bias": jnp.arange(1.0, size + 1.0) / size}

    return Network(init, lambda params, x: (params["weights"] @ x.ravel() + params["bias"]).reshape(output_shape))


def linear_model(likelihood=likelihoods.bernoulli):
    return gaussian_vae(linear_network(4, (6,)), linear_network(3, likelihood.output_shape(IMAGE)), 3, likelihood)


def float64_outputs(layer, x):
    return np.asarray(layer["weights"], np.float64) @ np.ravel(x) + np.asarray(layer["bias"], np.float64)


def test_the_encoders_outputs_are_the_mean_followed_by_the_log_variance():
    model = linear_model()
    params = init(model, jax.random.key(0))
    x = np.array([0.0, 1.0, 1.0, 0.0], np.float32).reshape(IMAGE)
    outputs = float64_outputs(params["encoder"], x)
    posterior = model.encode(params, x)
    np.testing.assert_allclose(posterior.mean, outputs[:3], rtol=1e-5)
    np.testing.assert_allclose(posterior.log_variance, outputs[3:], rtol=1e-5)
    z = np.array([0.5, -1.0, 2.0], np.float32)
    expected = scipy.stats.norm.logpdf(z, outputs[:3], np.exp(outputs[3:] / 2)).sum()
    np.testing.assert_allclose(posterior.log_prob(z), expected, rtol=1e-4)


def test_the_prior_is_standard_normal():
    z = np.array([0.5, -1.0, 2.0], np.float32)
    model = linear_model()
    expected = scipy.stats.norm.logpdf(z).sum()
    np.testing.assert_allclose(model.prior(init(model, jax.random.key(0))).log_prob(z), expected, rtol=1e-6)


def test_the_decoders_outputs_parameterize_the_likelihood():
    z = np.array([0.5, -1.0, 2.0], np.float32)
    x = np.array([0.0, 1.0, 1.0, 0.0], np.float32).reshape(IMAGE)
    model = linear_model()
    params = init(model, jax.random.key(0))
    logits = float64_outputs(params["decoder"], z)
    expected = scipy.stats.bernoulli.logpmf(x.ravel(), scipy.special.expit(logits)).sum()
    np.testing.assert_allclose(model.decode(params, z).log_prob(x), expected, rtol=1e-4)

    model = linear_model(likelihoods.normal)
    params = init(model, jax.random.key(0))
    mean, log_variance = float64_outputs(params["decoder"], z).reshape(4, 2).T
    expected = scipy.stats.norm.logpdf(x.ravel(), mean, np.exp(log_variance / 2)).sum()
    np.testing.assert_allclose(model.decode(params, z).log_prob(x), expected, rtol=1e-4)


def test_encoder_and_decoder_are_initialized_with_different_keys():
    square = gaussian_vae(linear_network(4, (4,)), linear_network(4, (4,)), 2)
    params = init(square, jax.random.key(0))
    assert np.abs(params["encoder"]["weights"] - params["decoder"]["weights"]).max() > 0.5
    assert np.abs(params["encoder"]["weights"] - init(square, jax.random.key(1))["encoder"]["weights"]).max() > 0.5
    np.testing.assert_array_equal(params["encoder"]["weights"], init(square, jax.random.key(0))["encoder"]["weights"])


@pytest.mark.parametrize("latent_dim", [0, -1])
@pytest.mark.parametrize(
    "build",
    [
        lambda dim: gaussian_vae(linear_network(4, (2,)), linear_network(1, (4,)), dim),
        lambda dim: autoencoder(linear_network(4, (2,)), linear_network(1, (4,)), dim),
        lambda dim: mlp_vae((4, 4, 1), dim),
        lambda dim: conv_vae((4, 4, 1), dim),
    ],
    ids=["gaussian_vae", "autoencoder", "mlp_vae", "conv_vae"],
)
def test_a_latent_dim_below_1_is_refused_by_every_builder(build, latent_dim):
    with pytest.raises(ValueError, match=f"latent_dim must be at least 1, got {latent_dim}"):
        build(latent_dim)


DATA_MEAN = np.linspace(0.0, 1.0, 16, dtype=np.float32).reshape(4, 4, 1)


def initial_distribution(model):
    """p(x | z) for initial parameters, with the weights of the output layer set to zero."""
    params = init(model, jax.random.key(0))
    params["decoder"]["output"]["kernel"] = jnp.zeros_like(params["decoder"]["output"]["kernel"])
    return model.decode(params, jnp.ones(3))


def test_a_bernoulli_decoder_starts_at_the_clipped_data_mean():
    model = mlp_vae((4, 4, 1), 3, hidden=(5,), data_mean=DATA_MEAN)
    np.testing.assert_allclose(initial_distribution(model).mean, np.clip(DATA_MEAN, 1e-3, 1 - 1e-3), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", [likelihoods.normal, likelihoods.laplace], ids=["normal", "laplace"])
def test_a_continuous_decoder_starts_at_the_data_mean_with_a_tenth_of_the_range_as_width(likelihood):
    start = initial_distribution(mlp_vae((4, 4, 1), 3, hidden=(5,), likelihood=likelihood, data_mean=DATA_MEAN))
    np.testing.assert_array_equal(start.mean, DATA_MEAN)
    # The logarithm of the width is half the log-variance.
    log_width = start.log_scale if likelihood is likelihoods.laplace else start.log_variance / 2
    np.testing.assert_allclose(np.exp(log_width), np.full((4, 4, 1), 0.1353), atol=1e-4)


def test_a_logistic_decoder_starts_with_the_data_mean_as_its_location():
    model = mlp_vae((4, 4, 1), 3, hidden=(5,), likelihood=likelihoods.logistic, data_mean=DATA_MEAN)
    start = initial_distribution(model)
    np.testing.assert_array_equal(start.location, DATA_MEAN)
    np.testing.assert_allclose(np.exp(start.log_scale), np.full((4, 4, 1), 0.1353), atol=1e-4)


@pytest.mark.slow
def test_a_convolutional_decoder_starts_at_each_channels_mean_over_the_places():
    data_mean = np.stack([DATA_MEAN[..., 0], DATA_MEAN[..., 0] ** 2, np.full((4, 4), 0.25, np.float32)], axis=-1)
    model = conv_vae((4, 4, 3), 3, (4,), 5, likelihoods.normal, data_mean)
    expected = np.broadcast_to(data_mean.astype(np.float64).mean(axis=(0, 1)), (4, 4, 3))
    np.testing.assert_allclose(initial_distribution(model).mean, expected, rtol=1e-5)


def test_the_decoder_has_the_encoders_widths_in_reverse():
    params = jax.eval_shape(mlp_vae((4, 4, 1), 3, hidden=(8, 5)).init, jax.random.key(0))
    assert params["encoder"]["hidden_0"]["kernel"].shape == (16, 8)
    assert params["decoder"]["hidden_0"]["kernel"].shape == (3, 5)
    assert params["decoder"]["output"]["kernel"].shape == (8, 16)
