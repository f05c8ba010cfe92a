"""DIP-VAE: the penalty by hand, and the covariances of means (DIP-VAE I) and of draws (DIP-VAE II)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contract.objectives_table import NOISY
from vae_jax import objectives
from vae_jax.objectives import batch_covariance, dip_penalty


def test_covariance_is_numpy_s_and_penalty_is_the_sum_by_hand():
    values = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    covariance = np.cov(values, rowvar=False, bias=True)
    np.testing.assert_allclose(batch_covariance(values), covariance, rtol=1e-5, atol=1e-6)
    by_hand = sum(
        (3.0 * (covariance[i, i] - 1) ** 2 if i == j else 2.0 * covariance[i, j] ** 2)
        for i in range(3)
        for j in range(3)
    )
    np.testing.assert_allclose(dip_penalty(jnp.float32(covariance), 2.0, 3.0), by_hand, rtol=1e-5)
    assert float(dip_penalty(jnp.eye(4), 10.0, 10.0)) == 0.0


@pytest.mark.parametrize("name", ["dip_vae_i_loss", "dip_vae_ii_loss"])
def test_penalty_is_of_the_means_or_of_the_draws(name):
    model, params, batch = NOISY
    posterior = jax.vmap(lambda x: model.encode(params, x))(jnp.asarray(batch))
    covariance = np.cov(np.float64(posterior.mean), rowvar=False, bias=True)
    diagonal = 20.0
    if name == "dip_vae_ii_loss":
        covariance += np.diag(np.exp(np.float64(posterior.log_variance)).mean(0))
        diagonal = 2.0
    loss, aux = getattr(objectives, name)(2.0)(model, params, jax.random.key(0), batch)
    expected = 2.0 * 2 * covariance[0, 1] ** 2 + diagonal * ((np.diag(covariance) - 1) ** 2).sum()
    np.testing.assert_allclose(aux.metrics["dip_penalty"], expected, rtol=1e-4)
    np.testing.assert_allclose(loss, expected - float(aux.metrics["elbo"]), rtol=1e-5)
    with pytest.raises(ValueError, match="off_diagonal must be"):
        getattr(objectives, name)(-1.0)
