"""z as codes on grids: what a quantized model's posterior and prior are distributions of.

z is a tuple of one `Codes` for each level, the one next to the data first. A level's indices are the event; its vectors
are what they stand for, and carry the gradient from the decoder to the encoder.
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
    """One grid of codes. The decoder reads the vectors: of indices of your own, `CodebookPrior.lookup` makes both."""

    indices: jax.Array  # int32 [h, w, P]
    vectors: jax.Array  # float32 [h, w, D]: what the quantizer looks up for the indices


class Level(NamedTuple):
    """A grid, and the quantizer of its places. Make each once, where the model is built."""

    name: str  # in params["quantizers"]
    quantizer: Quantizer
    grid: tuple[int, int]  # h, w

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the indices, [h, w, P]."""
        return (*self.grid, len(self.quantizer.num_codes))

    def params_of(self, params: Params) -> Params:
        """The quantizer's part of a model's params, with its buffers."""
        buffers = (split_buffers(params)[1] or {}).get("quantizers", {})
        return join_buffers(params["quantizers"][self.name], buffers.get(self.name))

    def quantize(self, params: Params, inputs: jax.Array) -> QuantizedGrid:
        """Vectors `[h, w, D]` at their codes; params are the model's."""
        chex.assert_shape(inputs, (*self.grid, self.quantizer.dim))
        own = self.params_of(params)
        places: Quantized = jax.vmap(jax.vmap(partial(_quantize_finite, self.quantizer, own)))(inputs)
        return QuantizedGrid(inputs, Codes(places.indices, places.value), jnp.sum(places.loss))

    def lookup(self, params: Params, indices: jax.Array) -> Codes:
        """Indices `[h, w, P]` with their vectors; params are the model's."""
        chex.assert_shape(indices, self.shape)
        own = self.params_of(params)
        return Codes(indices, jax.vmap(jax.vmap(lambda i: self.quantizer.lookup(own, i)))(indices))


class QuantizedGrid(NamedTuple):
    """A grid of an encoder's vectors, quantized."""

    inputs: jax.Array  # [h, w, D], before quantization
    codes: Codes
    loss: jax.Array  # a scalar, summed over the places


def _quantize_finite(quantizer: Quantizer, params: Params, z: jax.Array) -> Quantized:
    """z at its code; of a z that is not finite no code, K, and NaN: an encoder that diverged must not look well."""
    quantized, finite = quantizer.quantize(params, z), jnp.all(jnp.isfinite(z))
    return quantized._replace(
        value=jnp.where(finite, quantized.value, jnp.nan),
        indices=jnp.where(finite, quantized.indices, jnp.asarray(quantizer.num_codes, jnp.int32)),
    )


def init_quantizers(key: jax.Array, levels: tuple[Level, ...]) -> tuple[Params, Any]:
    """What belongs under `params["quantizers"]`, and the buffers' (None where no level has any)."""
    keys = jax.random.split(key, len(levels))
    split = {level.name: split_buffers(level.quantizer.init(k)) for level, k in zip(levels, keys, strict=True)}
    buffers = {name: own for name, (_, own) in split.items() if own is not None}
    return {name: trained for name, (trained, _) in split.items()}, {"quantizers": buffers} if buffers else None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class QuantizedPosterior(Distribution):
    """q(z | x): all its mass on one z, so that KL(q || p) = -log p(z) and log q(z | x) = 0 there.

    What the `batch_*` functions return is of a posterior whose arrays have a leading axis, that of a batch.
    """

    grids: tuple[QuantizedGrid, ...]  # one for each level
    levels: tuple[Level, ...] = dataclasses.field(metadata={"static": True})

    @property
    def mean(self) -> tuple[Codes, ...]:
        """The one z."""
        return tuple(grid.codes for grid in self.grids)

    @property
    def loss(self) -> jax.Array:
        """The quantizers' losses of this example, summed over places and levels."""
        return jnp.sum(jnp.stack([grid.loss for grid in self.grids]), axis=0)

    def sample(self, key: jax.Array) -> tuple[Codes, ...]:
        del key  # nothing is random
        return self.mean

    def supports(self, value: tuple[Codes, ...]) -> jax.Array:
        return self.log_prob(value) == 0.0

    def log_prob(self, value: tuple[Codes, ...]) -> jax.Array:
        same = [jnp.all(own.indices == other.indices) for own, other in zip(self.mean, value, strict=True)]
        return jnp.where(jnp.all(jnp.stack(same)), 0.0, -jnp.inf)

    def sample_and_log_prob(self, key: jax.Array) -> tuple[tuple[Codes, ...], jax.Array]:
        return self.sample(key), jnp.zeros(())

    def kl(self, other: Distribution) -> jax.Array | None:
        return -other.log_prob(self.mean) if isinstance(other, CodebookPrior) else None

    def batch_loss(self, params: Params) -> jax.Array:
        """The quantizers' losses of the batch as a whole, in nats an example; params are the model's.

        A quantizer's is a mean over vectors. An example has as many as there are places, over which its other losses
        are sums: times their number, so that the weights between the two do not change with the grid.
        """
        of_levels = [
            math.prod(level.grid) * level.quantizer.batch_loss(level.params_of(params), _rows(grid.inputs))
            for level, grid in zip(self.levels, self.grids, strict=True)
        ]
        return jnp.sum(jnp.stack(of_levels))

    def batch_perplexity(self) -> jax.Array:
        """exp of the entropy of the codes in the batch, a mean over the codebooks."""
        of_codebooks = [
            perplexity(code_counts(grid.codes.indices[..., part], size))
            for level, grid in zip(self.levels, self.grids, strict=True)
            for part, size in enumerate(level.quantizer.num_codes)
        ]
        return jnp.mean(jnp.stack(of_codebooks))

    def batch_update(self, params: Params, key: jax.Array) -> Any:
        """The model's buffers after this batch; None where it has none."""
        buffers = split_buffers(params)[1]
        if buffers is None or "quantizers" not in buffers:
            return buffers
        keys, own = jax.random.split(key, len(self.levels)), dict(buffers["quantizers"])
        for level, grid, level_key in zip(self.levels, self.grids, keys, strict=True):
            if level.name in own:
                rows = _rows(grid.inputs), _rows(grid.codes.indices)
                own[level.name] = level.quantizer.batch_update(level.params_of(params), level_key, *rows)
        return {**buffers, "quantizers": own}


def _rows(places: jax.Array) -> jax.Array:
    """`[B, h, w, n]` -> `[B * h * w, n]`."""
    return places.reshape(-1, places.shape[-1])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CodebookPrior(Distribution):
    """p(z) by a distribution of the sequence of all indices, int32 `[T]`: level by level, the one farthest from the
    data first, row by row, and the P indices of a place one after another."""

    sequence: Distribution
    params: Params  # the quantizers' part of the model's params: what the indices stand for
    levels: tuple[Level, ...] = dataclasses.field(metadata={"static": True})

    def sample(self, key: jax.Array) -> tuple[Codes, ...]:
        return self.lookup(self.sequence.sample(key))

    def supports(self, value: tuple[Codes, ...]) -> jax.Array:
        return self.sequence.supports(sequence_of(value))

    def log_prob(self, value: tuple[Codes, ...]) -> jax.Array:
        return self.sequence.log_prob(sequence_of(value))

    def lookup(self, sequence: ArrayLike) -> tuple[Codes, ...]:
        """The z of a sequence of indices `[T]`.

        Raises:
          ValueError: if an index is not below its codebook's K; under `jit`, where it cannot be seen, its vector is
            NaN.
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
                raise ValueError(f"indices must be from 0 to {sizes[outside][0] - 1}, one below K, got {worst}")
        found, start = [], 0
        for level in reversed(self.levels):
            end = start + math.prod(level.shape)
            found.append(level.lookup(self.params, sequence[start:end].reshape(level.shape)))
            start = end
        return tuple(found[::-1])


def sequence_of(z: tuple[Codes, ...]) -> jax.Array:
    """All indices of z, int32 `[T]`, in the order of `CodebookPrior`."""
    return jnp.concatenate([codes.indices.ravel() for codes in z[::-1]])


def sequence_sizes(levels: tuple[Level, ...]) -> np.ndarray:
    """`[T]`: K at each place of the sequence."""
    return np.concatenate([np.tile(level.quantizer.num_codes, math.prod(level.grid)) for level in levels[::-1]])


def uniform_prior(params: Params, levels: tuple[Level, ...]) -> CodebookPrior:
    """Every code as likely as every other: log p(z) = -sum log K, the cost of codes of which nothing is known."""
    # The quantizers' params alone: those of the networks hold an example's context, of which the prior does not depend.
    buffers = (split_buffers(params)[1] or {}).get("quantizers")
    own = join_buffers({"quantizers": params["quantizers"]}, None if buffers is None else {"quantizers": buffers})
    return CodebookPrior(DiscreteUniform(jnp.asarray(sequence_sizes(levels), jnp.int32)), own, levels)
