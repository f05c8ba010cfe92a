"""The VQ-VAE as an experiment: its settings, its quantisers by name, its model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar, Literal, get_args

import jax
import numpy as np
import tyro

from vae_jax.evaluation import measure_vq_vae
from vae_jax.experiment.method import Method, SecondStage
from vae_jax.experiment.problem import BITS_SEED, Problem, as_told
from vae_jax.experiment.second_stage import (
    CodeSettings,
    check_code_settings,
    has_prior,
    load_prior,
    train_prior,
    with_prior,
)
from vae_jax.models import VAE, output_bias, vq_vae, with_codes_fitted
from vae_jax.networks import halved, residual_decoder, residual_encoder
from vae_jax.objectives import vq_vae_loss
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

QuantizerName = Literal[
    "ema", "vector", "rotation", "cosine", "sim", "residual", "product", "finite_scalar", "lookup_free", "spherical"
]


@dataclasses.dataclass(frozen=True)
class VQSettings(CodeSettings):
    """What the VQ-VAE can be told."""

    quantizer: QuantizerName = "ema"
    """ema (moving averages, dead codes revived), vector (a trained codebook), rotation (ema with the rotation trick),
    cosine, sim (SimVQ), residual (2 stages of ema), product (2 heads of ema), finite_scalar, lookup_free, spherical"""
    num_codes: int = 32
    """K of a codebook; finite_scalar takes levels near it, for lookup_free and spherical it must be a power of 2"""
    latent_dim: int = 32
    """D, the length of a code's vector"""
    commitment: float = 0.25
    """weight of what draws the encoder to the codes; of the codebook's side it is 1"""
    revival: float = 0.1
    """an ema code used less than this share of the average is moved to a vector of the batch; 0: never"""
    k_means_images: int = 256
    """training images to whose first vectors the codes are fitted before training; 0: random codes"""
    network: tyro.conf.Suppress[Literal["mlp", "conv"]] = "conv"
    hidden: tyro.conf.Suppress[tuple[int, ...]] = (256,)
    channels: tuple[int, ...] = (32, 64)
    """channels of the 4x4 convolutions that halve the image down to the grid of codes"""
    residual_hidden: int = 32
    """channels inside a residual layer"""
    residual_layers: int = 2
    """residual layers of encoder and decoder"""
    epochs: int = 12
    """passes over the training images; with --resume another number is allowed if --schedule is constant"""
    default_batch_size: ClassVar[int] = 64
    batch_size: int | None = None
    """images per training step; None: 64, or all training images if there are fewer"""
    patience: int | None = None
    """stop after so many epochs without a better validation loss, in either stage; None: never"""


def levels_near(num_codes: int) -> tuple[int, ...]:
    """Levels with a product near num_codes: of Mentzer et al. 2023 (arXiv:2309.15505), table 1, and some smaller."""
    known = ((5, 3), (8, 5), (8, 6, 5), (8, 8, 8), (8, 5, 5, 5), (7, 5, 5, 5, 5), (8, 8, 8, 6, 5), (8, 8, 8, 5, 5, 5))
    return min(known, key=lambda levels: abs(math.log(math.prod(levels) / num_codes)))


def make_quantizer(settings: VQSettings) -> Quantizer:
    """The quantiser that the settings name.

    Raises:
      ValueError: where num_codes or latent_dim does not suit it.
    """
    k, dim, beta = settings.num_codes, settings.latent_dim, settings.commitment
    ema = lambda size: ema_vector_quantizer(k, size, beta, revival=settings.revival)
    of_signs = lambda make: factorized_quantizer(make(_bits(k)), dim)
    makers: dict[str, Callable[[], Quantizer]] = {
        "ema": lambda: ema(dim),
        "vector": lambda: vector_quantizer(k, dim, beta),
        "rotation": lambda: ema_vector_quantizer(k, dim, beta, revival=settings.revival, gradient=rotation_trick),
        "cosine": lambda: cosine_vector_quantizer(k, dim, beta),
        "sim": lambda: sim_vector_quantizer(k, dim, beta),
        "residual": lambda: residual_quantizer(ema(dim), 2),
        "product": lambda: product_quantizer(ema(head_dim(dim, 2)), 2),
        "finite_scalar": lambda: factorized_quantizer(finite_scalar_quantizer(levels_near(k)), dim),
        "lookup_free": lambda: of_signs(lambda bits: lookup_free_quantizer(bits, beta)),
        "spherical": lambda: of_signs(lambda bits: binary_spherical_quantizer(bits, beta)),
    }
    assert set(makers) == set(get_args(QuantizerName))
    return makers[settings.quantizer]()


def _bits(num_codes: int) -> int:
    if num_codes < 2 or num_codes & (num_codes - 1):
        raise ValueError(f"--num-codes must be a power of 2 for codes of signs, got {num_codes}")
    return num_codes.bit_length() - 1


def make_vq_vae(settings: VQSettings, problem: Problem) -> VAE:
    """The VQ-VAE that the settings describe.

    Raises:
      ValueError: If a number is out of range, or the images are too small.
    """
    check_code_settings(settings)
    image_shape = problem.train.shape[1:]
    layers = {"residual_hidden": settings.residual_hidden, "residual_layers": settings.residual_layers}
    encoder = residual_encoder(image_shape, settings.latent_dim, settings.channels, parts=1, **layers)
    outputs = problem.likelihood.output_shape(image_shape)
    bias = output_bias(problem.likelihood, problem.mean_image)
    decoder = residual_decoder(settings.latent_dim, outputs, settings.channels, output_bias=bias, **layers)
    grid = halved(image_shape, len(settings.channels))
    networks = as_told(settings, encoder), as_told(settings, decoder)
    model = vq_vae(*networks, make_quantizer(settings), grid, problem.likelihood)
    if not settings.k_means_images:
        return model
    count = min(settings.k_means_images, problem.train.shape[0])
    images = problem.train[:count] if isinstance(problem.train, np.ndarray) else problem.train.read(np.arange(count))
    return with_codes_fitted(model, problem.pixels.prepare(jax.random.key(BITS_SEED), images))


VQ_VAE = Method(
    "vq_vae",
    "VQ-VAE",
    make_vq_vae,
    lambda settings: vq_vae_loss,
    measure_vq_vae,
    second_stage=SecondStage(train_prior, load_prior, with_prior, has_prior),
    defaults=VQSettings(),
    description="The VQ-VAE of van den Oord et al. 2017 (arXiv:1711.00937), and a prior over its codes.",
)
