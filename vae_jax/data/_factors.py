"""Data sets with known factors: images as functions of a flat index, rendered on demand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.data._checks import as_integer, integer_between

_RENDERED_AT_ONCE = 8  # images of a batch, on a CPU
_MOST_DRAWN = 2**24  # images per batch


# (table, key, index) -> float32 [H, W, C] in [0, 1]
Render = Callable[[Any, jax.Array, jax.Array], jax.Array]
_STATIC = ("name", "factor_names", "factor_sizes", "image_shape", "render", "note")


@partial(jax.tree_util.register_dataclass, data_fields=("table",), meta_fields=_STATIC)
@dataclasses.dataclass(frozen=True, eq=False)
class FactorData:
    """A data set with one image for every combination of its factors.

    It is a pytree whose only child is `table`. A jitted function should take the data set, or its table, as an
    argument, so that the compiled program holds no copy of it: `jax.jit(FactorData.images)(data, key, indices)`.

    Attributes:
      name: Name of the data set, e.g. `sprites`.
      factor_names: Names of the K factors.
      factor_sizes: Number of values of each factor.
      image_shape: (H, W, C).
      render: `(table, key, index) -> float32 [H, W, C]` in [0, 1], pure: the image at a flat index, row-major, the last
        factor fastest. The key is for variation outside the factors (color, noise).
      note: Provenance in a sentence, to be printed beside any number measured on the images.
      table: A pytree of arrays that images are rendered from; () if none is needed.
    """

    name: str
    factor_names: tuple[str, ...]
    factor_sizes: tuple[int, ...]
    image_shape: tuple[int, int, int]
    render: Render
    note: str
    table: Any = ()

    @property
    def num_images(self) -> int:
        return math.prod(self.factor_sizes)

    def images(self, key: jax.Array, indices: ArrayLike) -> jax.Array:
        """Images at flat indices `[B]`, float32 `[B, H, W, C]`; each index is folded into the key.

        Raises:
          ValueError: If an index that is not traced is outside the data set.
        """
        check_indices("indices", indices, self.num_images)
        indices = jnp.asarray(indices)
        keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(indices)
        return _rendered(self.render, self.table, keys, indices)

    def draw(self, key: jax.Array, count: int) -> jax.Array:
        """Draws `count` images, all combinations equally likely, float32 `[count, H, W, C]`.

        Raises:
          ValueError: If count is below 1 or above 2^24.
          TypeError: If count is not a whole number.
        """
        draw_key, render_key = jax.random.split(key)
        return render_images(self.render, self.table, render_key, self._drawn(draw_key, count))

    def draw_pairs(self, key: jax.Array, count: int, num_changed: int | None) -> jax.Array:
        """Draws pairs of images that share all but a few factors, float32 `[count, 2, H, W, C]`.

        Args:
          key: PRNG key, consumed.
          count: Number of pairs.
          num_changed: Number of factors that may differ, as for `render_pairs`.

        Raises:
          ValueError: If count or num_changed is out of range.
        """
        draw_key, render_key = jax.random.split(key)
        indices = self._drawn(draw_key, count)
        return render_pairs(self.render, self.factor_sizes, num_changed, self.table, render_key, indices)

    def _drawn(self, key: jax.Array, count: int) -> jax.Array:
        """Flat indices `[count]`."""
        return jax.random.randint(key, (integer_between("count", count, 1, _MOST_DRAWN),), 0, self.num_images)


def render_images(render: Render, table: Any, key: jax.Array, indices: jax.Array) -> jax.Array:
    """Renders the images at flat indices `[B]`, each with its own key, float32 `[B, H, W, C]`.

    `functools.partial(render_images, data.render)` is a function from indices to a training batch.
    """
    return _rendered(render, table, jax.random.split(key, len(indices)), indices)


def render_pairs(
    render: Render, factor_sizes: Sequence[int], num_changed: int | None, table: Any, key: jax.Array, indices: jax.Array
) -> jax.Array:
    """Renders pairs of images that share all but a few factors, float32 `[B, 2, H, W, C]`.

    The factors that may differ are drawn without replacement and get new random values (at times equal to the old).

    Args:
      render, table: Renderer and table of a `FactorData`.
      factor_sizes: Number of values of each of its K factors.
      num_changed: Number of factors that may differ, 1 to K - 1. Default: drawn uniformly for each pair.
      key: PRNG key, consumed.
      indices: `[B]`, flat indices of the first images.

    Raises:
      ValueError: If num_changed is out of range.

    Source: Locatello et al. 2020 (arXiv:2002.02886), section 5.
    """
    total, sizes = len(factor_sizes), tuple(factor_sizes)
    if num_changed is not None:
        num_changed = as_integer("num_changed", num_changed)
    if num_changed is not None and not 1 <= num_changed < total:
        raise ValueError(f"num_changed must be between 1 and {total - 1}, of {total} factors, got {num_changed}")

    def other_of(key: jax.Array, index: jax.Array) -> jax.Array:
        value_key, number_key, order_key = jax.random.split(key, 3)
        first = factors_of(index, sizes)
        second = factors_of(jax.random.randint(value_key, (), 0, math.prod(sizes)), sizes)
        number = jax.random.randint(number_key, (), 1, total) if num_changed is None else num_changed
        changed = jax.random.permutation(order_key, total) < number
        return index_of(jnp.where(changed, second, first), sizes)

    pair_key, render_key = jax.random.split(key)
    others = jax.vmap(other_of)(jax.random.split(pair_key, len(indices)), indices)
    images = render_images(render, table, render_key, jnp.stack([indices, others], axis=1).ravel())
    return images.reshape(len(indices), 2, *images.shape[1:])


def _rendered(render: Render, table: Any, keys: jax.Array, indices: jax.Array) -> jax.Array:
    """Maps `render` over keys and indices; on a CPU in a loop, since XLA would render an image anew at every use."""
    if jax.default_backend() != "cpu":
        return jax.vmap(render, in_axes=(None, 0, 0))(table, keys, indices)
    one = lambda pair: render(table, *pair)
    return jax.lax.map(one, (keys, indices), batch_size=min(_RENDERED_AT_ONCE, len(indices)))


def factors_of(index: ArrayLike, factor_sizes: Sequence[int]) -> jax.Array:
    """Factors at flat indices `[...]`, int32 `[K, ...]`: row-major, the last factor fastest.

    Raises:
      ValueError: If an index that is not traced is outside the data set.
      TypeError: If the indices are not whole numbers.
    """
    check_indices("index", index, math.prod(factor_sizes))
    return jnp.stack([part.astype(jnp.int32) for part in jnp.unravel_index(jnp.asarray(index), tuple(factor_sizes))])


def index_of(factors: ArrayLike, factor_sizes: Sequence[int]) -> jax.Array:
    """Flat index of factors `[K, ...]`, the inverse of `factors_of`.

    Raises:
      ValueError: If a factor that is not traced is outside its range.
      TypeError: If the factors are not whole numbers.
    """
    if not isinstance(factors, jax.core.Tracer):
        factors = np.asarray(factors)
        if not np.issubdtype(factors.dtype, np.integer) and np.isfinite(np.asarray(factors, float)).all():
            raise TypeError(f"factors must be whole numbers, got {factors.dtype}")
    if factors.shape[:1] != (len(factor_sizes),):
        raise ValueError(f"factors must begin with an axis of {len(factor_sizes)} factors, got shape {factors.shape}")
    if not isinstance(factors, jax.core.Tracer):
        for place, (values, size) in enumerate(zip(np.asarray(factors), factor_sizes, strict=True)):
            if values.size and not (values.min() >= 0 and values.max() < size):
                raise ValueError(f"factors[{place}] must be between 0 and {size - 1}, got {values}")
    return jnp.ravel_multi_index(tuple(jnp.asarray(factors)), tuple(factor_sizes), mode="clip")


def check_indices(name: str, indices: ArrayLike, count: int) -> None:
    """Raises if flat indices are not integers or, unless they are traced, not between 0 and count - 1."""
    traced = isinstance(indices, jax.core.Tracer)
    values = np.zeros(0, jnp.result_type(indices)) if traced else np.asarray(indices)
    if not np.issubdtype(values.dtype, np.integer):
        if values.dtype != object and np.isnan(values).any():
            raise ValueError(f"{name} must be between 0 and {count - 1}, got NaN")
        raise TypeError(f"{name} must be whole numbers, got {values.dtype}")
    if values.size and not (values.min() >= 0 and values.max() < count):
        raise ValueError(f"{name} must be between 0 and {count - 1}, got values from {values.min()} to {values.max()}")
