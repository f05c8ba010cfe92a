"""Latent codes on grids: z, posterior and prior of a quantized model.

z is a tuple of one `Codes` per level, beginning with the level next to the data. The event is the indices of a level;
the vectors are looked up in the codebook, and carry the gradient from the decoder to the encoder.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.distributions import DiscreteUniform, Distribution
from vae_jax.params import Params, join_buffers, split_buffers
from vae_jax.quantizers import Quantized, Quantizer, code_counts, perplexity


class Codes(NamedTuple):
    """A grid of codes. The decoder reads the vectors; `CodebookPrior.lookup` makes `Codes` from given indices."""

    indices: jax.Array  # int32 [h, w, P]
    vectors: jax.Array  # float32 [h, w, D]: the quantizer's vectors of the indices


class Level(NamedTuple):
    """A grid, and the quantizer of its places. Make each level once, when the model is built."""

    name: str  # key in params["quantizers"]
    quantizer: Quantizer
    grid: tuple[int, int]  # h, w

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape [h, w, P] of the indices."""
        return (*self.grid, len(self.quantizer.num_codes))

    def params_of(self, params: Params) -> Params:
        """Parameters and buffers of the quantizer, from the parameters of the model."""
        buffers = (split_buffers(params)[1] or {}).get("quantizers", {})
        return join_buffers(params["quantizers"][self.name], buffers.get(self.name))

    def quantize(self, params: Params, inputs: jax.Array) -> QuantizedGrid:
        """Quantizes vectors `[h, w, D]`; params are those of the model."""
        chex.assert_shape(inputs, (*self.grid, self.quantizer.dim))
        quantize = partial(_quantize_finite, self.quantizer, self.params_of(params))
        places: Quantized = jax.vmap(jax.vmap(quantize))(inputs)
        return QuantizedGrid(inputs, Codes(places.indices, places.value), jnp.sum(places.loss))

    def lookup(self, params: Params, indices: jax.Array) -> Codes:
        """`Codes` of indices `[h, w, P]`; params are those of the model."""
        chex.assert_shape(indices, self.shape)
        lookup = partial(self.quantizer.lookup, self.params_of(params))
        return Codes(indices, jax.vmap(jax.vmap(lookup))(indices))


class QuantizedGrid(NamedTuple):
    """Quantized vectors of an encoder at one grid."""

    inputs: jax.Array  # [h, w, D], the vectors before quantization
    codes: Codes
    loss: jax.Array  # a scalar, summed over the places


def _quantize_finite(quantizer: Quantizer, params: Params, z: jax.Array) -> Quantized:
    """Quantizes z; a z that is not finite gives the value NaN and the index K, so that divergence is detected."""
    quantized, finite = quantizer.quantize(params, z), jnp.all(jnp.isfinite(z))
    return quantized._replace(
        value=jnp.where(finite, quantized.value, jnp.nan),
        indices=jnp.where(finite, quantized.indices, jnp.asarray(quantizer.num_codes, jnp.int32)),
    )


def init_quantizers(key: jax.Array, levels: tuple[Level, ...]) -> tuple[Params, Any]:
    """Initial `params["quantizers"]`, and the initial buffers (None if no level has any)."""
    keys = jax.random.split(key, len(levels))
    split = {level.name: split_buffers(level.quantizer.init(k)) for level, k in zip(levels, keys, strict=True)}
    buffers = {name: level_buffers for name, (_, level_buffers) in split.items() if level_buffers is not None}
    return {name: trained for name, (trained, _) in split.items()}, {"quantizers": buffers} if buffers else None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class QuantizedPosterior(Distribution):
    """q(z | x), a point mass at one z: log q(z | x) = 0 there, and KL(q || p) = -log p(z).

    The `batch_*` methods are for a posterior whose arrays have the leading axis of a batch.
    """

    grids: tuple[QuantizedGrid, ...]  # one per level
    levels: tuple[Level, ...] = dataclasses.field(metadata={"static": True})

    @property
    def mean(self) -> tuple[Codes, ...]:
        """The z with all the mass."""
        return tuple(grid.codes for grid in self.grids)

    @property
    def loss(self) -> jax.Array:
        """Sum of the quantizers' losses of this example over places and levels."""
        return jnp.sum(jnp.stack([grid.loss for grid in self.grids]), axis=0)

    def sample(self, key: jax.Array) -> tuple[Codes, ...]:
        del key  # nothing is random
        return self.mean

    def supports(self, value: tuple[Codes, ...]) -> jax.Array:
        return self.log_prob(value) == 0.0

    def log_prob(self, value: tuple[Codes, ...]) -> jax.Array:
        equal = [jnp.all(codes.indices == other.indices) for codes, other in zip(self.mean, value, strict=True)]
        return jnp.where(jnp.all(jnp.stack(equal)), 0.0, -jnp.inf)

    def sample_and_log_prob(self, key: jax.Array) -> tuple[tuple[Codes, ...], jax.Array]:
        return self.sample(key), jnp.zeros(())

    def kl(self, other: Distribution) -> jax.Array | None:
        return -other.log_prob(self.mean) if isinstance(other, CodebookPrior) else None

    def batch_loss(self, params: Params) -> jax.Array:
        """Sum of the quantizers' losses of the whole batch, in nats per example; params are those of the model.

        The batch loss of a quantizer is a mean over vectors, and is multiplied by the number of places: the other
        losses are sums over the places, and the relative weight must not depend on the size of the grid.
        """
        losses = [
            math.prod(level.grid) * level.quantizer.batch_loss(level.params_of(params), _rows(grid.inputs))
            for level, grid in zip(self.levels, self.grids, strict=True)
        ]
        return jnp.sum(jnp.stack(losses))

    def batch_perplexity(self) -> jax.Array:
        """Perplexity of the codes in the batch, averaged over the codebooks."""
        perplexities = [
            perplexity(code_counts(grid.codes.indices[..., part], size))
            for level, grid in zip(self.levels, self.grids, strict=True)
            for part, size in enumerate(level.quantizer.num_codes)
        ]
        return jnp.mean(jnp.stack(perplexities))

    def batch_update(self, params: Params, key: jax.Array) -> Any:
        """Buffers of the model after this batch, or None if it has no buffers."""
        buffers = split_buffers(params)[1]
        if buffers is None or "quantizers" not in buffers:
            return buffers
        keys, updated = jax.random.split(key, len(self.levels)), dict(buffers["quantizers"])
        for level, grid, level_key in zip(self.levels, self.grids, keys, strict=True):
            if level.name in updated:
                rows = _rows(grid.inputs), _rows(grid.codes.indices)
                updated[level.name] = level.quantizer.batch_update(level.params_of(params), level_key, *rows)
        return {**buffers, "quantizers": updated}


def _rows(places: jax.Array) -> jax.Array:
    """`[B, h, w, n]` -> `[B * h * w, n]`."""
    return places.reshape(-1, places.shape[-1])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CodebookPrior(Distribution):
    """p(z) by a distribution over the sequence of all indices, int32 `[T]`.

    The order is: levels, beginning with the level farthest from the data; rows; columns; the P indices of a place.
    """

    sequence: Distribution
    params: Params  # parameters and buffers of the quantizers, as in the params of the model
    levels: tuple[Level, ...] = dataclasses.field(metadata={"static": True})

    def sample(self, key: jax.Array) -> tuple[Codes, ...]:
        return self.lookup(self.sequence.sample(key))

    def supports(self, value: tuple[Codes, ...]) -> jax.Array:
        return self.sequence.supports(sequence_of(value))

    def log_prob(self, value: tuple[Codes, ...]) -> jax.Array:
        return self.sequence.log_prob(sequence_of(value))

    def lookup(self, sequence: ArrayLike) -> tuple[Codes, ...]:
        """Returns the z of a sequence of indices `[T]`.

        Raises:
          TypeError: if the indices are not integers.
          ValueError: if an index is outside [0, K) of its codebook; under `jit` its vector is NaN instead.
        """
        sequence = jnp.asarray(sequence)
        sizes = sequence_sizes(self.levels)
        chex.assert_shape(sequence, sizes.shape)
        if not jnp.issubdtype(sequence.dtype, jnp.integer):
            raise TypeError(f"indices must be integers, got {sequence.dtype}")
        if not isinstance(sequence, jax.core.Tracer):
            outside = (np.asarray(sequence) < 0) | (np.asarray(sequence) >= sizes)
            if outside.any():
                worst = np.asarray(sequence)[outside][0]
                raise ValueError(f"indices must be between 0 and K - 1 = {sizes[outside][0] - 1}, got {worst}")
        levels, start = [], 0
        for level in reversed(self.levels):
            end = start + math.prod(level.shape)
            levels.append(level.lookup(self.params, sequence[start:end].reshape(level.shape)))
            start = end
        return tuple(levels[::-1])


def sequence_of(z: tuple[Codes, ...]) -> jax.Array:
    """All indices of z, int32 `[T]`, in the order of `CodebookPrior`."""
    return jnp.concatenate([codes.indices.ravel() for codes in z[::-1]])


def sequence_sizes(levels: tuple[Level, ...]) -> np.ndarray:
    """K at each place of the sequence, `[T]`."""
    return np.concatenate([np.tile(level.quantizer.num_codes, math.prod(level.grid)) for level in levels[::-1]])


def uniform_prior(params: Params, levels: tuple[Level, ...]) -> CodebookPrior:
    """Uniform prior over all codes: log p(z) = -sum log K."""
    # Without the params of the networks, which may hold the context of an example: the prior must not depend on it.
    buffers = (split_buffers(params)[1] or {}).get("quantizers")
    quantizers = join_buffers(
        {"quantizers": params["quantizers"]}, None if buffers is None else {"quantizers": buffers}
    )
    return CodebookPrior(DiscreteUniform(jnp.asarray(sequence_sizes(levels), jnp.int32)), quantizers, levels)
