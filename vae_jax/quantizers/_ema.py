"""Vector quantization with a codebook of moving averages, and the revival of unused codes."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from vae_jax.distributions._checks import check_number
from vae_jax.params import Params
from vae_jax.quantizers._gradients import Estimator, straight_through
from vae_jax.quantizers._k_means import k_means
from vae_jax.quantizers._nearest import codebook_lookup, commitment_loss, quantize_nearest
from vae_jax.quantizers._quantizer import Quantizer, check_sizes
from vae_jax.quantizers._vector import check_commitment, initial_codes

Codebook = dict[str, jax.Array]  # "codebook" [K, D], "counts" [K], "sums" [K, D]


def ema_vector_quantizer(
    num_codes: int,
    dim: int,
    commitment: float = 0.25,
    decay: float = 0.99,
    epsilon: float = 1e-5,
    revival: float = 0.0,
    gradient: Estimator = straight_through,
) -> Quantizer:
    """value = e_k, k the nearest code to z; loss = commitment |z - sg(e_k)|^2; e_k the moving average of its vectors.

    The codebook is a buffer: it has no gradient. A batch is quantized with the codebook from before its update.

    Args:
      num_codes: K.
      dim: D.
      commitment: beta of the paper.
      decay: gamma, in [0, 1).
      epsilon: smoothing of the counts, at least 0.
      revival: threshold in [0, 1) for `batch_revive`: a code is moved to a vector of the batch if its moving count is
        below this fraction of the average count. 0 turns revival off; 0.05 to 0.5 are usual.
      gradient: `straight_through` or `rotation_trick`.

    Raises:
      ValueError: if an argument is out of its range.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), appendix A.1; revival as in Dhariwal et al. 2020
    (arXiv:2005.00341), section 3.1.
    """
    check_sizes(num_codes, dim)
    check_commitment(commitment)
    check_number("epsilon", epsilon, 0.0)
    for name, value in (("decay", decay), ("revival", revival)):
        check_number(name, value)
    if not 0.0 <= decay < 1.0:
        raise ValueError(f"decay must be in [0, 1), got {decay}")
    if not 0.0 <= revival < 1.0:
        raise ValueError(f"revival must be in [0, 1), got {revival}")
    loss = commitment_loss(commitment)
    codes_of = lambda params: params["buffers"]["codebook"]

    def init(key: jax.Array) -> Params:
        return {"buffers": fresh_codebook(initial_codes(key, num_codes, dim))}

    def batch_update(params: Params, key: jax.Array, zs: jax.Array, indices: jax.Array) -> Codebook:
        updated = batch_ema(params["buffers"], zs, indices[:, 0], decay, epsilon)
        return batch_revive(updated, key, zs, revival) if revival else updated

    return Quantizer(
        init=init,
        quantize=lambda params, z: quantize_nearest(z, codes_of(params), loss, gradient),
        lookup=codebook_lookup(codes_of),
        dim=dim,
        num_codes=(num_codes,),
        batch_update=batch_update,
        fit=lambda params, key, zs: {"buffers": fresh_codebook(k_means(key, zs, num_codes).centers)},
    )


def fresh_codebook(codes: jax.Array) -> Codebook:
    """Initial state of the moving averages for codes `[K, D]`: counts of 1, and sums equal to the codes."""
    return {"codebook": codes, "counts": jnp.ones(codes.shape[0]), "sums": codes}


def batch_ema(codebook: Codebook, zs: jax.Array, indices: jax.Array, decay: float, epsilon: float) -> Codebook:
    """counts' = g counts + (1 - g) n, sums' = g sums + (1 - g) m, e = sums' / smoothed counts', for the codes in use.

    n_k is the number of vectors with code k, m_k their sum, and the smoothed counts are
    (counts + epsilon) / (sum(counts) + K epsilon) * sum(counts). A code with n_k = 0 is left unchanged: by the formula
    its count would fall below epsilon after some thousand batches, and the code would go to 0.

    Args:
      codebook: the codebook before the batch.
      zs: `[N, D]`, the vectors, of any floating-point type; sums are in float32.
      indices: int32 `[N]`, the index of each vector's code.
      decay: g.
      epsilon: smoothing of the counts.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), appendix A.1.
    """
    chex.assert_rank([zs, indices], [2, 1])
    zs = jax.lax.stop_gradient(zs.astype(jnp.float32))
    num_codes = codebook["counts"].shape[0]
    n = jnp.zeros(num_codes).at[indices].add(1.0)
    total = jnp.zeros_like(codebook["sums"]).at[indices].add(zs)
    counts = decay * codebook["counts"] + (1.0 - decay) * n
    sums = decay * codebook["sums"] + (1.0 - decay) * total
    all_counts = jnp.sum(counts)
    smoothed = (counts + epsilon) / (all_counts + num_codes * epsilon) * all_counts
    used = (n > 0)[:, None]
    # Unused codes may have a smoothed count of 0.
    codes = jnp.where(used, sums / jnp.where(used, smoothed[:, None], 1.0), codebook["codebook"])
    return {"codebook": codes, "counts": counts, "sums": sums}


def batch_revive(codebook: Codebook, key: jax.Array, zs: jax.Array, threshold: float) -> Codebook:
    """Moves every code with a count below threshold times the average to one of the N vectors, drawn at random.

    The average is N / K, the count of each of K codes if all are used equally, or the mean of the counts if that is
    smaller: counts begin at 1, and codes in use must not be moved before the counts have grown. A moved code gets the
    count N / K and the matching sums.

    Args:
      codebook: the codebook after its update.
      key: PRNG key, consumed.
      zs: `[N, D]`.
      threshold: in [0, 1).

    Source: Dhariwal et al. 2020 (arXiv:2005.00341), section 3.1.
    """
    chex.assert_rank(zs, 2)
    zs = jax.lax.stop_gradient(zs.astype(jnp.float32))
    num_codes, average = codebook["counts"].shape[0], zs.shape[0] / codebook["counts"].shape[0]
    dead = codebook["counts"] < threshold * jnp.minimum(average, jnp.mean(codebook["counts"]))
    fresh = zs[jax.random.randint(key, (num_codes,), 0, zs.shape[0])]
    rows = dead[:, None]
    return {
        "codebook": jnp.where(rows, fresh, codebook["codebook"]),
        "counts": jnp.where(dead, average, codebook["counts"]),
        "sums": jnp.where(rows, average * fresh, codebook["sums"]),
    }
