"""Dependence of each output of a code network on each input, for the tests of causality."""

import jax
import jax.numpy as jnp
import numpy as np

from models.code_priors.tiny_priors import random_params


def influence(network, length, num_codes, num_seeds=4):
    """Bools `[T, T]`: entry (t, s) is true if row t of the logits depends on codes[s] for any drawn parameters."""

    @jax.jit
    def logits(params, codes):
        return jax.vmap(network.logits, (None, 0, None))(params, codes, jnp.int32(0))

    found = np.zeros((length, length), bool)
    for seed in range(num_seeds):  # several, because an inactive ReLU hides a dependence
        codes = np.random.default_rng(seed).integers(0, num_codes, length).astype(np.int32)
        changed = np.tile(codes, (length + 1, 1))
        changed[np.arange(length), np.arange(length)] = (codes + 1) % num_codes
        *after, before = np.asarray(logits(random_params(network.init, seed), changed))
        # One program computes all logits, so that rows that do not depend on a code are equal to the last bit.
        found |= np.array([np.any(rows != before, axis=-1) for rows in after]).T
    return found


def earlier(length):
    """Expected influence of a causal network: every earlier place, and nothing else."""
    return np.tri(length, k=-1, dtype=bool)
