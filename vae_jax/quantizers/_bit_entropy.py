"""Entropies of binary codes that a batch of vectors points to."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp


def batch_bit_entropies(logits: jax.Array, group: int) -> tuple[jax.Array, jax.Array]:
    """(E[H(p(c | z))], H(E[p(c | z)])) in nats, the means over the batch, for codes c of D independent bits each.

    The first is exact: the entropy of independent bits is the sum of theirs. The second is of the mixture over the
    batch, whose bits are not independent. With group = D it is exact, over all 2^D codes; with fewer it is the sum of
    the entropies of groups of as many bits, an upper bound, over (D / group) 2^group codes.

    Args:
      logits: `[N, D]`, of each bit of each vector's code.
      group: a divisor of D.

    Source: Yu et al. 2024 (arXiv:2310.05737), eq. 5; the groups of one bit are Zhao et al. 2024 (arXiv:2406.07548),
    eq. 13.
    """
    chex.assert_rank(logits, 2)
    n, dim = logits.shape
    check_bits(dim, group)
    on, off = jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits)
    # -sum p log p of a bit: softplus forms, finite at any logit.
    of_bits = on * jax.nn.softplus(-logits) + off * jax.nn.softplus(logits)
    of_one = jnp.mean(jnp.sum(of_bits, axis=1))
    # [N, groups, codes so far]: each bit doubles the codes.
    joint = jnp.ones((n, dim // group, 1))
    pairs = jnp.stack([off, on], axis=-1).reshape(n, dim // group, group, 2)
    for i in range(group):
        joint = (joint[..., None] * pairs[:, :, i, None, :]).reshape(n, dim // group, -1)
    mean = jnp.mean(joint, axis=0)
    return of_one, -jnp.sum(jax.scipy.special.xlogy(mean, jnp.maximum(mean, 1e-30)))


def check_bits(dim: int, group: int) -> None:
    """Raises ValueError where codes have no bits or too many for an index, or groups do not fill them."""
    if not 1 <= dim <= 30:
        raise ValueError(f"dim, the bits of a code, must be between 1 and 30, got {dim}")
    if group < 1 or dim % group:
        raise ValueError(f"group must divide the {dim} bits of a code, got {group}")
