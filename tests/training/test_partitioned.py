"""Different optimizers for different parts of one model's params."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax.training import partitioned


def test_each_part_is_moved_by_its_own_optimizer():
    params = {"encoder": {"w": jnp.ones(2)}, "decoder": {"w": jnp.ones(3)}, "discriminator": {"w": jnp.ones(2)}}
    optimizer = partitioned(optax.sgd(0.1), {"discriminator": optax.sgd(0.5)})
    updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)
    moved = optax.apply_updates(params, updates)
    for part, value in (("encoder", 0.9), ("decoder", 0.9), ("discriminator", 0.5)):
        np.testing.assert_allclose(moved[part]["w"], value, rtol=1e-6)


def test_a_part_that_is_not_there_is_refused():
    optimizer = partitioned(optax.sgd(0.1), {"critic": optax.sgd(0.5)})
    with pytest.raises(ValueError, match=r"must name top-level keys of params \(decoder, encoder\), got critic"):
        optimizer.init({"encoder": jnp.ones(1), "decoder": jnp.ones(1)})
