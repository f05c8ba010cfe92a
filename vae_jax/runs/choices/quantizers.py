"""Quantizers of the VQ-VAE, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from vae_jax.quantizers import (
    Quantizer,
    binary_spherical_quantizer,
    cosine_vector_quantizer,
    ema_vector_quantizer,
    factorized_quantizer,
    finite_scalar_quantizer,
    head_dim,
    lookup_free_quantizer,
    product_quantizer,
    residual_quantizer,
    rotation_trick,
    sim_vector_quantizer,
    vector_quantizer,
)
from vae_jax.runs.choices._choice import Axis, Choice


def levels_near(num_codes: int) -> tuple[int, ...]:
    """Levels whose product is nearest to num_codes, from Mentzer et al. 2023 (arXiv:2309.15505, table 1) or smaller."""
    known = ((5, 3), (8, 5), (8, 6, 5), (8, 8, 8), (8, 5, 5, 5), (7, 5, 5, 5, 5), (8, 8, 8, 6, 5), (8, 8, 8, 5, 5, 5))
    return min(known, key=lambda levels: abs(math.log(math.prod(levels) / num_codes)))


def _bits(num_codes: int) -> int:
    if num_codes < 2 or num_codes & (num_codes - 1):
        raise ValueError(f"--num-codes must be a power of 2 for --quantizer lookup_free and spherical, got {num_codes}")
    return num_codes.bit_length() - 1


def _ema(dim: int, *, num_codes: int, commitment: float, revival: float) -> Quantizer:
    return ema_vector_quantizer(num_codes, dim, commitment, revival=revival)


def _rotation(dim: int, *, num_codes: int, commitment: float, revival: float) -> Quantizer:
    return ema_vector_quantizer(num_codes, dim, commitment, revival=revival, gradient=rotation_trick)


def _residual(dim: int, *, num_codes: int, commitment: float, revival: float) -> Quantizer:
    return residual_quantizer(_ema(dim, num_codes=num_codes, commitment=commitment, revival=revival), 2)


def _product(dim: int, *, num_codes: int, commitment: float, revival: float) -> Quantizer:
    if dim % 2:
        raise ValueError(f"--latent-dim must be even for --quantizer product, which halves the vectors, got {dim}")
    return product_quantizer(_ema(head_dim(dim, 2), num_codes=num_codes, commitment=commitment, revival=revival), 2)


def _codebook(make: Callable[..., Quantizer], dim: int, *, num_codes: int, commitment: float) -> Quantizer:
    return make(num_codes, dim, commitment)


def _finite_scalar(dim: int, *, num_codes: int) -> Quantizer:
    return factorized_quantizer(finite_scalar_quantizer(levels_near(num_codes)), dim)


def _signs(make: Callable[..., Quantizer], dim: int, *, num_codes: int, commitment: float) -> Quantizer:
    return factorized_quantizer(make(_bits(num_codes), commitment), dim)


QUANTIZERS = Axis(
    "quantizer",
    Choice("ema", _ema, "codebook of moving averages; codes out of use are replaced", (ema_vector_quantizer,)),
    Choice("vector", partial(_codebook, vector_quantizer), "codebook trained by gradient descent", (vector_quantizer,)),
    Choice(
        "rotation", _rotation, "ema, with the rotation trick for the gradient", (ema_vector_quantizer, rotation_trick)
    ),
    Choice(
        "cosine",
        partial(_codebook, cosine_vector_quantizer),
        "codebook on the unit sphere, nearest by cosine",
        (cosine_vector_quantizer,),
    ),
    Choice(
        "sim",
        partial(_codebook, sim_vector_quantizer),
        "SimVQ, a fixed codebook behind a trained linear map",
        (sim_vector_quantizer,),
    ),
    Choice("residual", _residual, "residual quantization, 2 stages of ema", (ema_vector_quantizer, residual_quantizer)),
    Choice("product", _product, "product quantization, 2 heads of ema", (ema_vector_quantizer, product_quantizer)),
    Choice(
        "finite_scalar",
        _finite_scalar,
        "FSQ, each dimension rounded to a few levels",
        (factorized_quantizer, finite_scalar_quantizer),
    ),
    Choice(
        "lookup_free",
        partial(_signs, lookup_free_quantizer),
        "LFQ, the sign of each dimension",
        (factorized_quantizer, lookup_free_quantizer),
    ),
    Choice(
        "spherical",
        partial(_signs, binary_spherical_quantizer),
        "BSQ, the sign of each dimension on the unit sphere",
        (factorized_quantizer, binary_spherical_quantizer),
    ),
)
