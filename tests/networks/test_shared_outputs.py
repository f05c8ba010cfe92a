"""Tests of networks with outputs that do not depend on the input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from vae_jax.models import gaussian_vae, likelihoods
from vae_jax.networks import Network, mlp_encoder, with_shared_outputs
from vae_jax.objectives import negative_elbo

IDENTITY = Network(lambda key: {}, lambda params, z: z)


def test_the_numbers_follow_the_outputs_and_broadcast_over_the_other_axes():
    outputs = jnp.arange(6.0).reshape(3, 2, 1)
    for initial, expected in (([-4.0, 2.0], [[-4.0, 2.0]] * 6), (np.array([[[1.0]], [[2.0]], [[3.0]]]), None)):
        network = with_shared_outputs(IDENTITY, initial)
        result = network.apply(network.init(jax.random.key(0)), outputs)
        np.testing.assert_array_equal(result[..., :1], outputs)
        expected = np.repeat([1.0, 2.0, 3.0], 2) if expected is None else np.reshape(expected, (6, 2))
        np.testing.assert_array_equal(np.reshape(result[..., 1:], expected.shape), expected)


def test_a_normal_with_one_learned_variance_reaches_the_variance_of_the_residuals():
    # Without a code that the decoder uses, the best variance is that of the data, about the mean that stays at 0.
    decoder = with_shared_outputs(Network(lambda key: {}, lambda params, z: jnp.zeros((4, 1))), [0.0])
    model = gaussian_vae(mlp_encoder((4,), 2, (3,)), decoder, 1, likelihoods.normal)
    x = jax.random.normal(jax.random.key(1), (32, 4)) * 0.3
    params = model.init(jax.random.key(0))

    @jax.jit
    def of_shared(shared):
        decoder = {"network": {}, "shared": shared}
        return negative_elbo(model, params | {"decoder": decoder}, jax.random.key(2), x)[1].metrics["distortion"]

    gradient = jax.grad(lambda s: of_shared(s[None]))(jnp.float32(0))
    # d distortion / d lv = D / 2 (1 - mean x^2 exp(-lv)), which is 0 at lv = log mean x^2.
    mean_square = float(jnp.mean(x**2))
    np.testing.assert_allclose(gradient, 2 * (1 - mean_square), rtol=1e-5)
    best = jnp.log(jnp.asarray([mean_square]))
    np.testing.assert_allclose(jax.grad(lambda s: of_shared(s[None]))(best[0]), 0, atol=1e-5)
    expected = -scipy.stats.norm.logpdf(np.float64(x), 0, np.sqrt(mean_square)).sum(1).mean()
    np.testing.assert_allclose(of_shared(best), expected, rtol=1e-5)


def test_a_scalar_is_refused():
    with pytest.raises(
        ValueError, match=r"initial must be an array of at least one axis, such as \[-4.0\], got a scalar"
    ):
        with_shared_outputs(IDENTITY, 0.5)
