"""Vector quantization with a codebook trained by gradient, as in the VQ-VAE."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vae_jax.distributions._checks import check_number
from vae_jax.quantizers._gradients import Estimator, straight_through
from vae_jax.quantizers._k_means import k_means
from vae_jax.quantizers._nearest import (
    codebook_and_commitment_loss,
    codebook_lookup,
    quantize_nearest,
    unit_vector,
)
from vae_jax.quantizers._quantizer import Quantizer, check_sizes


def vector_quantizer(
    num_codes: int, dim: int, commitment: float = 0.25, gradient: Estimator = straight_through
) -> Quantizer:
    """value = e_k, k the nearest code to z; loss = |sg(z) - e_k|^2 + commitment |z - sg(e_k)|^2.

    The weight applies to the second term, which moves the *encoder*; the first moves the codebook, with weight 1.

    Args:
      num_codes: K.
      dim: D.
      commitment: beta of the paper.
      gradient: `straight_through` or `rotation_trick`.

    Raises:
      ValueError: if num_codes or dim is below 1, or commitment is negative.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), eq. 1 to 3.
    """
    check_sizes(num_codes, dim)
    check_commitment(commitment)
    loss = codebook_and_commitment_loss(commitment)
    codes_of = lambda params: params["codebook"]
    return Quantizer(
        init=lambda key: {"codebook": initial_codes(key, num_codes, dim)},
        quantize=lambda params, z: quantize_nearest(z, codes_of(params), loss, gradient),
        lookup=codebook_lookup(codes_of),
        dim=dim,
        num_codes=(num_codes,),
        fit=lambda params, key, zs: {"codebook": k_means(key, zs, num_codes).centers},
    )


def cosine_vector_quantizer(
    num_codes: int, dim: int, commitment: float = 0.25, gradient: Estimator = straight_through
) -> Quantizer:
    """`vector_quantizer` on the unit sphere: vectors and codes are divided by their lengths.

    The nearest code is then the code with the largest cosine. Lengths, which a codebook learns slowly, do not matter.

    Source: Yu et al. 2022 (arXiv:2110.04627), section 3.2, "l2-normalized codes".
    """
    check_sizes(num_codes, dim)
    check_commitment(commitment)
    loss = codebook_and_commitment_loss(commitment)
    codes_of = lambda params: unit_vector(params["codebook"])
    return Quantizer(
        init=lambda key: {"codebook": initial_codes(key, num_codes, dim)},
        quantize=lambda params, z: quantize_nearest(z, codes_of(params), loss, gradient, unit_vector),
        lookup=codebook_lookup(codes_of),
        dim=dim,
        num_codes=(num_codes,),
        fit=lambda params, key, zs: {"codebook": k_means(key, unit_vector(zs), num_codes).centers},
    )


def initial_codes(key: jax.Array, num_codes: int, dim: int) -> jax.Array:
    """Random codes `[K, D]`, uniform with variance 1 / D: about unit length, like the outputs of an untrained encoder.

    Source: the initializer of DeepMind's published VQ-VAE (Sonnet 2, `nets/vqvae.py`).
    """
    limit = (3.0 / dim) ** 0.5
    return jax.random.uniform(key, (num_codes, dim), jnp.float32, -limit, limit)


def check_commitment(commitment: float) -> None:
    """Raises ValueError if the weight of the commitment loss is negative."""
    check_number("commitment", commitment, 0.0)
