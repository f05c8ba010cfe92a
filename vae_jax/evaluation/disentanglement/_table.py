"""Code tables: every image of a data set with known factors, encoded once for all scores."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import UndefinedError, mean_of
from vae_jax.evaluation._batches import in_batches
from vae_jax.evaluation._latents import kl_of_dimensions
from vae_jax.models._model import Model, bind
from vae_jax.params import Params

# Number of images per call of the program, and per iteration of its loops, which render and encode.
_IMAGES_PER_CALL, _IMAGES_RENDERED, _IMAGES_ENCODED = 8192, 512, 32


class CodeTable(NamedTuple):
    """Codes of all combinations of K factors."""

    means: jax.Array  # [N, D] posterior means, N the product of the sizes, row-major, the last factor fastest
    factor_sizes: tuple[int, ...]  # number of values of each factor
    kl_per_dimension: jax.Array | None = None  # [D], a mean over the images; None if not defined

    @property
    def factors(self) -> jax.Array:
        """Factors of each image, int32 `[N, K]`."""
        return factors_at(jnp.arange(self.means.shape[0]), self.factor_sizes)


def code_table(means: ArrayLike, factor_sizes: Sequence[int], kl_per_dimension: ArrayLike | None = None) -> CodeTable:
    """Makes a code table from existing codes.

    Raises:
      ValueError: if means is not `[N, D]` with N the product of the sizes.
    """
    means, sizes = jnp.asarray(means), tuple(int(size) for size in factor_sizes)
    if means.ndim != 2 or means.shape[0] != math.prod(sizes):
        raise ValueError(
            f"means must be [N, D] with a row for each of the {math.prod(sizes):,} combinations of factors of sizes "
            f"{', '.join(map(str, sizes))}, got shape {means.shape}"
        )
    return CodeTable(means, sizes, None if kl_per_dimension is None else jnp.asarray(kl_per_dimension))


def factors_at(indices: jax.Array, factor_sizes: Sequence[int]) -> jax.Array:
    """The factors `[..., K]` at flat indices `[...]`."""
    return jnp.stack(jnp.unravel_index(indices, tuple(factor_sizes)), axis=-1).astype(jnp.int32)


def encode_table(
    model: Model,
    params: Params,
    render: Callable[[Any, jax.Array], Any],
    factor_sizes: Sequence[int],
    on_images: Callable[[int], None] = lambda count: None,
    source: Any = (),
) -> CodeTable:
    """Renders and encodes every image in one program; returns the table of posterior means.

    Args:
      model: a model whose posterior mean is a vector.
      params: the model's parameters.
      render: (source, flat index) -> preprocessed image `[H, W, C]`, in an `Example` for a `Conditional`; compiled once
        if the same function is passed.
      factor_sizes: number of values of each factor.
      on_images: called with the number of images that have just been encoded.
      source: a pytree of arrays that images are rendered from; an argument of the program.

    Raises:
      UndefinedError: if the posterior has no mean.
      ValueError: if the mean is not a vector.
    """
    count = math.prod(factor_sizes)

    means, kl = in_batches(
        lambda indices: _encode_images(model, render, params, source, indices),
        count,
        _IMAGES_PER_CALL,
        lambda batch: on_images(len(batch[0])),
    )
    chex.assert_rank(means, 2)
    return code_table(means, factor_sizes, None if kl is None else jnp.mean(kl, axis=0))


@functools.partial(jax.jit, static_argnames=("model", "render"))
def _encode_images(
    model: Model, render: Callable[[Any, jax.Array], Any], params: Params, source: Any, indices: jax.Array
) -> tuple[jax.Array, Any]:
    """Posterior means, and KL divergences of the dimensions or None, each with a leading axis of the indices."""

    def encode(example: Any) -> tuple[jax.Array, Any]:
        vae, x = bind(model, example, "render")
        posterior = vae.encode(params, x)
        mean = mean_of(posterior)
        if not isinstance(mean, jax.Array) or mean.ndim != 1:
            found = f"an array of shape {mean.shape}" if isinstance(mean, jax.Array) else f"a {type(mean).__name__}"
            raise ValueError(f"model: disentanglement scores need a posterior mean that is one vector, got {found}")
        try:
            return mean, kl_of_dimensions(posterior, vae.prior(params))
        except UndefinedError:
            return mean, None

    def chunk(indices: jax.Array) -> tuple[jax.Array, Any]:
        # Rendering and encoding are separated: fused, XLA would render an image again for every read of the encoder.
        xs = jax.lax.optimization_barrier(jax.vmap(render, in_axes=(None, 0))(source, indices))
        return jax.lax.map(encode, xs, batch_size=min(_IMAGES_ENCODED, len(indices)))

    size = math.gcd(len(indices), _IMAGES_RENDERED)
    results = jax.lax.map(chunk, indices.reshape(-1, size))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), results)
