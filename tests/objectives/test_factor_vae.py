"""FactorVAE: the parameters that each term's gradient reaches, and a discriminator's estimate of a known TC."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from contract.objectives_table import DISCRIMINATED, DISCRIMINATOR, IMAGES, NOISY, VAE_PARAMS, discriminated
from vae_jax import objectives
from vae_jax.objectives import batch_permute_dimensions, discriminator_loss

PARAMS = discriminated(VAE_PARAMS)


def gradients(gamma):
    objective = objectives.factor_vae_loss(gamma, DISCRIMINATOR.apply)
    loss = lambda params: objective(DISCRIMINATED, params, jax.random.key(0), IMAGES)[0]
    return jax.jit(jax.grad(loss))(PARAMS)


def largest_difference(a, b):
    return max(float(np.abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.slow
def test_gamma_does_not_reach_the_discriminator_nor_the_discriminator_s_loss_the_vae():
    none, some = gradients(0.0), gradients(5.0)
    assert largest_difference(none["discriminator"], some["discriminator"]) == 0
    assert largest_difference(none["encoder"], some["encoder"]) > 1e-3  # the total correlation trains the encoder
    assert largest_difference(none["decoder"], some["decoder"]) == 0
    # With gamma 0 the VAE's gradient is that of the negative ELBO, at the same draws.
    elbo = jax.jit(jax.grad(lambda p: objectives.negative_elbo(NOISY.model, p, jax.random.key(0), IMAGES)[0]))
    for part, gradient in elbo(VAE_PARAMS).items():
        for a, b in zip(jax.tree.leaves(none[part]), jax.tree.leaves(gradient), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_permutation_keeps_each_dimension_s_values_and_breaks_their_dependence():
    z = jnp.repeat(jnp.arange(1000.0)[:, None], 3, axis=1)
    permuted = np.asarray(batch_permute_dimensions(jax.random.key(0), z))
    np.testing.assert_array_equal(np.sort(permuted, axis=0), z)
    # A correlation of 1,000 independent pairs has a deviation of 0.032.
    assert np.abs(np.corrcoef(permuted, rowvar=False)[np.triu_indices(3, 1)]).max() < 0.16


def test_discriminator_loss_is_log_2_where_it_cannot_tell_and_the_cross_entropy_elsewhere():
    np.testing.assert_allclose(discriminator_loss(jnp.zeros(3), jnp.zeros(3)), np.log(2), rtol=1e-6)
    joint, permuted = np.array([2.0, -1.0]), np.array([-0.5, 3.0])
    expected = -0.5 * np.log(1 / (1 + np.exp(-joint))).mean() - 0.5 * np.log(1 - 1 / (1 + np.exp(-permuted))).mean()
    np.testing.assert_allclose(discriminator_loss(jnp.float32(joint), jnp.float32(permuted)), expected, rtol=1e-6)


@pytest.mark.slow
def test_a_trained_discriminator_estimates_the_total_correlation_of_a_gaussian():
    # Two dimensions of correlation r have a total correlation of -1/2 log(1 - r^2), and the logarithm of the ratio of
    # densities is a polynomial of these terms.
    r, optimizer = 0.8, optax.adam(0.02)
    mix = jnp.array([[1.0, r], [0.0, np.sqrt(1 - r * r)]], jnp.float32)
    draw = lambda key, n: jax.random.normal(key, (n, 2)) @ mix
    logits = lambda params, zs: params @ jnp.stack([jnp.ones(len(zs)), (zs**2).sum(1), zs[:, 0] * zs[:, 1]])

    def step(carry, key):
        params, state = carry
        k1, k2 = jax.random.split(key)
        z = draw(k1, 4096)
        loss = lambda p: discriminator_loss(logits(p, z), logits(p, batch_permute_dimensions(k2, z)))
        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    train = jax.jit(lambda c: jax.lax.scan(step, c, jax.random.split(jax.random.key(1), 1000)))
    (params, _), _ = train((jnp.zeros(3), optimizer.init(jnp.zeros(3))))
    true = [-0.5 * np.log(1 - r * r), -0.5 * r * r / (1 - r * r), r / (1 - r * r)]
    np.testing.assert_allclose(params, true, rtol=0.1)
    estimate = float(logits(params, draw(jax.random.key(2), 100_000)).mean())
    assert estimate == pytest.approx(true[0], abs=0.03)


def test_a_model_without_a_discriminator_and_a_batch_of_one_are_refused():
    objective = objectives.factor_vae_loss(1.0, DISCRIMINATOR.apply)
    with pytest.raises(ValueError, match=r"models.with_discriminator\(model, network\) adds it"):
        objective(NOISY.model, VAE_PARAMS, jax.random.key(0), IMAGES)
    with pytest.raises(ValueError, match="batch must hold at least 2 examples"):
        objective(DISCRIMINATED, PARAMS, jax.random.key(0), IMAGES[:1])
