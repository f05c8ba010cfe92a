"""Data sets with known factors: images as functions of a flat index, rendered where they are used."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.data._checks import whole, whole_number

_IMAGES_AT_ONCE = 8  # of a batch, on a CPU
_MOST_DRAWN = 2**24  # images of a batch


@dataclasses.dataclass(frozen=True, eq=False)
class FactorData:
    """A data set that holds an image for every combination of its factors.

    Attributes:
      name: What was asked for, e.g. `sprites`.
      factor_names: Of the K factors.
      factor_sizes: The number of values of each.
      image_shape: (H, W, C).
      render: `(key, index) -> float32 [H, W, C]` in [0, 1], pure: the image at a flat index, row-major, the last factor
        fastest. The key is for what is no factor (colour, noise).
      note: Provenance in a sentence, to stand beside any number measured on the images.
    """

    name: str
    factor_names: tuple[str, ...]
    factor_sizes: tuple[int, ...]
    image_shape: tuple[int, int, int]
    render: Callable[[jax.Array, jax.Array], jax.Array]
    note: str

    @property
    def num_images(self) -> int:
        return math.prod(self.factor_sizes)

    def images(self, key: jax.Array, indices: ArrayLike) -> jax.Array:
        """The images at `[B]` flat indices, float32 `[B, H, W, C]`; index by index, each with a key of its own.

        Raises:
          ValueError: where an index that is not traced is outside the data set.
        """
        check_indices("indices", indices, self.num_images)
        indices = jnp.asarray(indices)
        keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(indices)
        return _rendered(self.render, keys, indices)

    def draw(self, key: jax.Array, count: int) -> jax.Array:
        """`count` images, all combinations equally likely, float32 `[count, H, W, C]`: a batch for a training step.

        Raises:
          ValueError: If count is below 1 or no batch has so many.
          TypeError: If it is no whole number.
        """
        count = whole_number("count", count, 1, _MOST_DRAWN)
        draw_key, render_key = jax.random.split(key)
        indices = jax.random.randint(draw_key, (count,), 0, self.num_images)
        return _rendered(self.render, jax.random.split(render_key, count), indices)

    def draw_pairs(self, key: jax.Array, count: int, num_changed: int | None) -> jax.Array:
        """Pairs of images that share all but a few factors, float32 `[count, 2, H, W, C]`.

        The factors that may differ are drawn without replacement, and given new values (by chance at times the old).

        Args:
          key: PRNG key, consumed.
          count: of the pairs.
          num_changed: how many factors may differ, 1 to K - 1; None: a number between those, drawn for each pair.

        Raises:
          ValueError: If count or num_changed is out of range.

        Source: Locatello et al. 2020 (arXiv:2002.02886), section 5.
        """
        total, count = len(self.factor_sizes), whole_number("count", count, 1, _MOST_DRAWN)
        if num_changed is not None:
            num_changed = whole("num_changed", num_changed)
        if num_changed is not None and not 1 <= num_changed < total:
            raise ValueError(f"num_changed must be between 1 and {total - 1}, of {total} factors, got {num_changed}")

        def pair(key: jax.Array) -> jax.Array:
            first_key, second_key, number_key, order_key = jax.random.split(key, 4)
            first, second = (
                factors_of(jax.random.randint(k, (), 0, self.num_images), self.factor_sizes)
                for k in (first_key, second_key)
            )
            number = jax.random.randint(number_key, (), 1, total) if num_changed is None else num_changed
            changed = jax.random.permutation(order_key, total) < number
            other = index_of(jnp.where(changed, second, first), self.factor_sizes)
            return jnp.stack([index_of(first, self.factor_sizes), other])

        draw_key, render_key = jax.random.split(key)
        indices = jax.vmap(pair)(jax.random.split(draw_key, count)).ravel()
        images = _rendered(self.render, jax.random.split(render_key, 2 * count), indices)
        return images.reshape(count, 2, *self.image_shape)


def _rendered(render: Callable[[jax.Array, jax.Array], jax.Array], keys: jax.Array, indices: jax.Array) -> jax.Array:
    """`render` of every key and index. On a CPU in a loop, else XLA renders an image again wherever it is read."""
    if jax.default_backend() != "cpu":
        return jax.vmap(render)(keys, indices)
    return jax.lax.map(lambda pair: render(*pair), (keys, indices), batch_size=min(_IMAGES_AT_ONCE, len(indices)))


def factors_of(index: ArrayLike, factor_sizes: Sequence[int]) -> jax.Array:
    """The factors at flat indices `[...]`, int32 `[K, ...]`: row-major, the last factor fastest.

    Raises:
      ValueError: If an index that is not traced is outside the data set.
      TypeError: If the indices are not whole numbers.
    """
    check_indices("index", index, math.prod(factor_sizes))
    return jnp.stack([part.astype(jnp.int32) for part in jnp.unravel_index(jnp.asarray(index), tuple(factor_sizes))])


def index_of(factors: ArrayLike, factor_sizes: Sequence[int]) -> jax.Array:
    """The flat index of factors `[K, ...]`, the inverse of `factors_of`.

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
    """Raises where flat indices are no whole numbers, or, where they are not traced, outside a data set of `count`."""
    traced = isinstance(indices, jax.core.Tracer)
    values = np.zeros(0, jnp.result_type(indices)) if traced else np.asarray(indices)
    if not np.issubdtype(values.dtype, np.integer):
        if values.dtype != object and np.isnan(values).any():
            raise ValueError(f"{name} must be between 0 and {count - 1}, got NaN")
        raise TypeError(f"{name} must be whole numbers, got {values.dtype}")
    if values.size and not (values.min() >= 0 and values.max() < count):
        raise ValueError(f"{name} must be between 0 and {count - 1}, got values from {values.min()} to {values.max()}")
