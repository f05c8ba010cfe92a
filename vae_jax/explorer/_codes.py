"""Latent spaces of codes on grids, for the explorer's page."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import DiscreteUniform, mean_of
from vae_jax.evaluation import encode_sequences
from vae_jax.explorer._encoding import packed_array
from vae_jax.models import VAE, CodebookPrior
from vae_jax.models._codes import Level
from vae_jax.params import Params

NUM_DRAWS = 128
_BATCH = 64  # pictures decoded at once
_MOST_CODES = 4096  # largest codebook that the page lists


class Layer(NamedTuple):
    """Grid of indices: position (r, c) is at `start + step * (r * width + c)` of the sequence."""

    name: str
    height: int
    width: int
    codes: int  # K
    start: int
    step: int

    @property
    def places(self) -> slice:
        return slice(self.start, self.start + self.step * self.height * self.width, self.step)


class CodeSpace(NamedTuple):
    """Latent space of sequences of T indices, with the sequences of the images and a picture of each code."""

    layers: tuple[Layer, ...]  # in the order of the sequence
    indices: np.ndarray  # int32 [n, T], codes of the images
    usage: tuple[np.ndarray, ...]  # int [K] for each layer: counts of its codes in the images
    swatches: np.ndarray  # uint8 [sum of K, h, w, C]
    prior: str  # description
    draws: np.ndarray  # int32 [128, T], samples of the prior

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": "codes",
            "length": self.indices.shape[1],
            "layers": [layer._asdict() for layer in self.layers],
            "indices": packed_array(self.indices),
            "usage": [counts.tolist() for counts in self.usage],
            "swatches": packed_array(self.swatches),
            "prior": {"name": self.prior, "draws": packed_array(self.draws)},
        }


def code_space(model: VAE, params: Params, xs: jax.Array, key: jax.Array) -> CodeSpace:
    """Latent space of a model of codes.

    Args:
      model: A model of codes, such as `models.vq_vae`.
      params: Its parameters.
      xs: `[n, H, W, C]` preprocessed images.
      key: PRNG key for samples of the prior, consumed.

    Raises:
      ValueError: If a codebook has more than 4,096 codes.
    """
    prior = model.prior(params)
    assert isinstance(prior, CodebookPrior)
    layers = layers_of(prior.levels)
    if (most := max(layer.codes for layer in layers)) > _MOST_CODES:
        raise ValueError(f"model must have at most {_MOST_CODES:,} codes per codebook to be explored, got {most:,}")
    indices = np.asarray(encode_sequences(model, params, xs), np.int32)
    usage = tuple(np.bincount(indices[:, layer.places].ravel(), minlength=layer.codes) for layer in layers)
    draw = jax.jit(lambda key: prior.sequence.sample(key))
    draws = np.stack([np.asarray(draw(k), np.int32) for k in jax.random.split(key, NUM_DRAWS)])
    swatches = _swatches(model, params, layers, usage, indices.shape[1])
    return CodeSpace(layers, indices, usage, swatches, _description(prior), draws)


def _description(prior: CodebookPrior) -> str:
    return "all codes equally likely" if isinstance(prior.sequence, DiscreteUniform) else "learned prior over all codes"


def layers_of(levels: tuple[Level, ...]) -> tuple[Layer, ...]:
    """Layers of the sequence: the coarsest grid first; a grid with several codes per position has a layer for each."""
    layers: list[Layer] = []
    start = 0
    for number, level in enumerate(reversed(levels)):
        height, width, parts = level.shape
        for part, size in enumerate(level.quantizer.num_codes):
            names = ([f"grid {number + 1}"] if len(levels) > 1 else []) + ([f"part {part + 1}"] if parts > 1 else [])
            layers.append(Layer(", ".join(names) or "codes", height, width, int(size), start + part, parts))
        start += math.prod(level.shape)
    return tuple(layers)


def _swatches(
    model: VAE, params: Params, layers: tuple[Layer, ...], usage: tuple[np.ndarray, ...], length: int
) -> np.ndarray:
    """Center of the picture with one code at all positions of a layer and the most common codes in other layers."""
    common = np.zeros(length, np.int32)
    for layer, counts in zip(layers, usage, strict=True):
        common[layer.places] = int(np.argmax(counts))
    rows = []
    for layer in layers:
        filled = np.tile(common, (layer.codes, 1))
        filled[:, layer.places] = np.arange(layer.codes)[:, None]
        rows.append(filled)
    sequences = np.concatenate(rows)
    padded = np.concatenate([sequences, np.tile(common, (-len(sequences) % _BATCH, 1))]).reshape(-1, _BATCH, length)
    prior = model.prior(params)
    assert isinstance(prior, CodebookPrior)
    decode = jax.jit(jax.vmap(lambda i: mean_of(model.decode(params, prior.lookup(i)))))
    pictures = np.concatenate([np.asarray(decode(jnp.asarray(chunk))) for chunk in padded])[: len(sequences)]
    # A crop of two by two positions of the finest grid, without the borders.
    height = min(pictures.shape[1], 2 * math.ceil(pictures.shape[1] / max(layer.height for layer in layers)))
    width = min(pictures.shape[2], 2 * math.ceil(pictures.shape[2] / max(layer.width for layer in layers)))
    top, left = (pictures.shape[1] - height) // 2, (pictures.shape[2] - width) // 2
    cropped = pictures[:, top : top + height, left : left + width]
    return np.rint(np.clip(cropped, 0.0, 1.0) * 255).astype(np.uint8)
