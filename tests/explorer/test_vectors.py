"""Latent spaces of real vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.explorer._vectors import vector_space
from vae_jax.models import autoencoder, fit_prior
from vae_jax.networks import Network


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_active_dimensions_of_an_autoencoder_do_not_depend_on_the_units_of_z(scale):
    encoder = Network(lambda key: {}, lambda params, x: scale * jnp.stack([x[0, 0, 0], 0 * x[0, 0, 0], x[0, 1, 0]]))
    decoder = Network(lambda key: {}, lambda params, z: jnp.zeros((1, 2, 1, 1)) + z[0])
    model, xs = autoencoder(encoder, decoder, 3), jax.random.uniform(jax.random.key(0), (50, 1, 2, 1))
    codes = jax.vmap(lambda x: encoder.apply({}, x))(xs)
    space = vector_space(model, fit_prior(model.init(jax.random.key(1)), codes), xs, jax.random.key(2))
    assert space.kl is None and space.active.tolist() == [True, False, True]
    np.testing.assert_allclose(space.means, codes, rtol=1e-6)
