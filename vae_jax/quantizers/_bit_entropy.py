"""Entropies of the binary codes of a batch of vectors."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp


def batch_bit_entropies(logits: jax.Array, group: int) -> tuple[jax.Array, jax.Array]:
    """(E[H(p(c | z))], H(E[p(c | z)])) in nats, with E the mean over the batch, for codes c of D independent bits.

    The first entropy is exact: the sum of the entropies of independent bits. The second is the entropy of a mixture
    over the batch, whose bits are not independent. With group = D it is exact, a sum over all 2^D codes. With a smaller
    group it is an upper bound: the sum of the entropies of groups of that many bits, over (D / group) 2^group codes.

    Args:
      logits: `[N, D]`, logits of the bits of each vector's code.
      group: number of bits in a group, a divisor of D.

    Source: Yu et al. 2024 (arXiv:2310.05737), eq. 5; the groups of one bit are Zhao et al. 2024 (arXiv:2406.07548),
    eq. 13.
    """
    chex.assert_rank(logits, 2)
    n, dim = logits.shape
    check_bits(dim, group)
    on, off = jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits)
    # -sum p log p of every bit, in softplus forms that are finite at any logit.
    bit_entropies = on * jax.nn.softplus(-logits) + off * jax.nn.softplus(logits)
    mean_entropy = jnp.mean(jnp.sum(bit_entropies, axis=1))
    # Joint probabilities [N, groups, codes so far]: each bit doubles the number of codes.
    joint = jnp.ones((n, dim // group, 1))
    pairs = jnp.stack([off, on], axis=-1).reshape(n, dim // group, group, 2)
    for i in range(group):
        joint = (joint[..., None] * pairs[:, :, i, None, :]).reshape(n, dim // group, -1)
    mean = jnp.mean(joint, axis=0)
    return mean_entropy, -jnp.sum(jax.scipy.special.xlogy(mean, jnp.maximum(mean, 1e-30)))


def check_bits(dim: int, group: int) -> None:
    """Raises ValueError if dim is not between 1 and 30, or group does not divide it."""
    if not 1 <= dim <= 30:
        raise ValueError(f"dim, the number of bits of a code, must be between 1 and 30, got {dim}")
    if group < 1 or dim % group:
        raise ValueError(f"group must divide the number of bits of a code, {dim}, got {group}")
