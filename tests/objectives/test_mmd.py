"""MMD against an explicit double sum, its mean against the closed form, and the objectives based on it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contract.objectives_table import CODES, NOISY
from vae_jax import objectives
from vae_jax.objectives import batch_mmd, gaussian_kernel, inverse_multiquadratic_kernel

KERNELS = {
    "gaussian": (gaussian_kernel(1.5), lambda d2: np.exp(-d2 / 3.0)),
    "multiquadratic": (
        inverse_multiquadratic_kernel(4.0),
        lambda d2: sum(4.0 * f / (4.0 * f + d2) for f in (0.1, 0.2, 0.5, 1, 2, 5, 10)),
    ),
}


@pytest.mark.parametrize("name", KERNELS)
def test_mmd_is_the_double_sum(name):
    ours, kernel = KERNELS[name]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(0.5, 2.0, size=(7, 3))
    k = lambda a, b: kernel(((a - b) ** 2).sum())
    total = sum(k(x[i], x[j]) for i in range(5) for j in range(5) if i != j) / 20
    total += sum(k(y[i], y[j]) for i in range(7) for j in range(7) if i != j) / 42
    total -= 2 * sum(k(a, b) for a in x for b in y) / 35
    np.testing.assert_allclose(batch_mmd(jnp.float32(x), jnp.float32(y), ours), total, rtol=1e-4)


def test_mmd_of_two_gaussians_is_unbiased_for_the_closed_form():
    # E exp(-|x - y|^2 / 2v) of x - y ~ N(m, s) in D dimensions: prod sqrt(v / (v + s)) exp(-m^2 / 2(v + s)).
    v, shift, d = 1.5, 0.7, 2
    mean = lambda m, s: (np.sqrt(v / (v + s)) * np.exp(-(m**2) / (2 * (v + s)))) ** d
    true = 2 * mean(0.0, 2.0) - 2 * mean(shift, 2.0)
    draw = lambda key: batch_mmd(
        jax.random.normal(key, (4, d)),
        shift + jax.random.normal(jax.random.fold_in(key, 1), (4, d)),
        gaussian_kernel(v),
    )
    values = np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 20_000)))
    assert abs(values.mean() - true) < 5 * values.std() / np.sqrt(values.size)  # of four points each
    assert values.min() < 0


def test_info_vae_is_the_vae_at_alpha_0_and_weight_1_and_has_no_rate_at_alpha_1():
    model, params, batch = NOISY
    call = jax.jit(lambda objective: objective(model, params, jax.random.key(0), batch), static_argnums=0)
    loss, aux = call(objectives.info_vae_loss(0.0, 1.0, gaussian_kernel(2.0)))
    np.testing.assert_allclose(loss, -aux.metrics["elbo"], rtol=1e-6)
    loss, aux = call(objectives.info_vae_loss(1.0, 50.0, gaussian_kernel(2.0)))
    np.testing.assert_allclose(loss, aux.metrics["distortion"] + 50.0 * aux.metrics["mmd"], rtol=1e-6)
    with pytest.raises(ValueError, match="alpha must be"):
        objectives.info_vae_loss(1.5, 1.0, gaussian_kernel(2.0))
    with pytest.raises(ValueError, match=r"alpha \+ weight - 1 must be"):
        objectives.info_vae_loss(0.0, 0.5, gaussian_kernel(2.0))


@pytest.mark.slow
def test_wae_takes_a_posterior_without_a_density():
    loss, aux = objectives.wae_mmd_loss(10.0, KERNELS["multiquadratic"][0])(*CODES[:2], jax.random.key(0), CODES.batch)
    np.testing.assert_allclose(loss, aux.metrics["distortion"] + 10.0 * aux.metrics["mmd"], rtol=1e-6)
    with pytest.raises(ValueError, match="xs and ys must hold at least 2 points each, got 3 and 1"):
        batch_mmd(np.zeros((3, 2)), np.zeros((1, 2)), gaussian_kernel(1.0))
    with pytest.raises(ValueError, match="batch must hold at least 2 examples"):
        objectives.wae_mmd_loss(1.0, gaussian_kernel(1.0))(*CODES[:2], jax.random.key(0), CODES.batch[:1])
