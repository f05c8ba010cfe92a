"""Priors over the codes of a VQ-VAE, by name."""

from __future__ import annotations

from vae_jax.models import VAE, CodePrior, masked_prior, pixel_cnn_prior, transformer_prior
from vae_jax.models.code_priors._with_code_prior import code_sizes, levels_of
from vae_jax.runs.choices._choice import Axis, Choice


def _transformer(model: VAE, *, prior_layers: int, prior_width: int, prior_heads: int) -> CodePrior:
    sizes = code_sizes(model)
    return transformer_prior(sizes, len(sizes), layers=prior_layers, width=prior_width, heads=prior_heads)


def _pixel_cnn(model: VAE, *, prior_layers: int, prior_width: int) -> CodePrior:
    return pixel_cnn_prior(code_sizes(model), _rows_and_columns(model), layers=prior_layers, channels=prior_width)


def _masked(model: VAE, *, prior_layers: int, prior_width: int, prior_heads: int) -> CodePrior:
    sizes = code_sizes(model)
    width = {"layers": prior_layers, "width": prior_width, "heads": prior_heads}
    return masked_prior(sizes, len(sizes), steps=min(8, len(sizes)), **width)


def _rows_and_columns(model: VAE) -> tuple[int, int]:
    """Rows and columns of the only grid of codes; several codes of one place lie beside one another."""
    level, *others = levels_of(model)
    if others:
        raise ValueError(f"--prior pixel_cnn needs a single grid of codes, and this model has {1 + len(others)}")
    return level.grid[0], level.grid[1] * len(level.quantizer.num_codes)


CODE_PRIORS = Axis(
    "prior",
    Choice("transformer", _transformer, "causal transformer, one code after another", (transformer_prior,)),
    Choice("pixel_cnn", _pixel_cnn, "gated PixelCNN, as in the VQ-VAE paper", (pixel_cnn_prior,)),
    Choice(
        "masked",
        _masked,
        "MaskGIT, which samples in a few passes and has no likelihood (bits for each code are not measured)",
        (masked_prior,),
    ),
)
