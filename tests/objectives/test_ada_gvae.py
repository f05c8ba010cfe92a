"""Ada-GVAE: the shared dimensions of a pair by hand, and the loss with the shared posteriors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contract.objectives_table import CODES, IMAGES, PAIRS, VAE_MODEL, VAE_PARAMS
from vae_jax import Normal, objectives
from vae_jax.objectives import share_posteriors


def test_dimensions_with_a_small_divergence_have_mean_mean_and_mean_variance():
    first = Normal(jnp.array([0.0, 1.0, -1.0]), jnp.log(jnp.array([1.0, 0.5, 0.2])))
    second = Normal(jnp.array([0.1, 4.0, -1.2]), jnp.log(jnp.array([1.2, 0.5, 0.4])))
    m, v, n, w = (
        np.exp(a) if i % 2 else np.asarray(a)
        for i, a in enumerate((first.mean, first.log_variance, second.mean, second.log_variance))
    )
    kl = 0.5 * (v / w + (m - n) ** 2 / w - 1 + np.log(w / v))
    shared = kl < 0.5 * (kl.min() + kl.max())
    assert shared.tolist() == [True, False, True]
    for own, found in zip((first, second), share_posteriors(first, second), strict=True):
        np.testing.assert_allclose(found.mean, np.where(shared, (m + n) / 2, own.mean), rtol=1e-6)
        np.testing.assert_allclose(
            np.exp(found.log_variance), np.where(shared, (v + w) / 2, np.exp(own.log_variance)), rtol=1e-6
        )


def test_a_pair_of_one_image_twice_is_the_vae_s_loss():
    # All divergences are 0, and none is below their midpoint: nothing is shared. Both losses use 4,000 draws.
    pairs, keys = np.stack([IMAGES, IMAGES], axis=1), jax.random.split(jax.random.key(0), 4000)
    draws = lambda objective, batch: jax.jit(jax.vmap(lambda k: objective(VAE_MODEL, VAE_PARAMS, k, batch)[0]))(keys)
    found = np.asarray(draws(objectives.ada_gvae_loss(3.0), pairs), np.float64)
    other = np.asarray(draws(objectives.beta_vae_loss(3.0), IMAGES), np.float64)
    error = np.hypot(found.std(), other.std()) / np.sqrt(4000)
    assert abs(found.mean() - other.mean()) < 5 * error
    np.testing.assert_allclose(other.var() / found.var(), 2.0, rtol=0.25)  # two images a pair, each with its own draw


def test_the_rate_is_that_of_the_shared_posteriors():
    loss, aux = jax.jit(lambda: objectives.ada_gvae_loss(2.0)(VAE_MODEL, VAE_PARAMS, jax.random.key(0), PAIRS))()
    rates = []
    for pair in PAIRS:
        for q in share_posteriors(*(VAE_MODEL.encode(VAE_PARAMS, x) for x in pair)):
            mean, lv = np.float64(q.mean), np.float64(q.log_variance)
            rates.append(0.5 * (np.exp(lv) - 1 - lv + mean**2).sum())
    np.testing.assert_allclose(aux.metrics["rate"], np.mean(rates), rtol=1e-5)
    np.testing.assert_allclose(loss, aux.metrics["distortion"] + 2.0 * aux.metrics["rate"], rtol=1e-6)


def test_single_images_and_other_posteriors_are_refused():
    with pytest.raises(ValueError, match=r"batch must be pairs of examples, \[B, 2, \.\.\.\], got \[B, 4, 4, 1\]"):
        objectives.ada_gvae_loss()(VAE_MODEL, VAE_PARAMS, jax.random.key(0), IMAGES)
    with pytest.raises(TypeError, match="needs a model whose encode returns a Normal"):
        objectives.ada_gvae_loss()(*CODES[:2], jax.random.key(0), PAIRS)
