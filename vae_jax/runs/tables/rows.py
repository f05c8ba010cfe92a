"""Rows drawn from a model of a table, and arrays of columns for figures and files."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.data import Encoding
from vae_jax.models._model import Model, given
from vae_jax.params import Params

_AT_ONCE = 1_000  # rows


def complete(encoding: Encoding) -> dict[str, np.ndarray]:
    """Mask of a row without missing cells."""
    return {group: np.ones(shape, bool) for group, shape in encoding.shapes.items()}


def draw_rows(model: Model, params: Params, key: jax.Array, encoding: Encoding, count: int) -> dict[str, np.ndarray]:
    """Draws encoded rows `{group: [count, n]}` from the model: z ~ p(z), x ~ p(x | z).

    Row i depends on the key and on i alone.
    """
    mask = complete(encoding)

    @jax.jit
    def draw(indices: jax.Array) -> Any:
        def one(index: jax.Array) -> Any:
            z_key, x_key = jax.random.split(jax.random.fold_in(key, index))
            vae = given(model, mask)
            return vae.decode(params, vae.prior(params).sample(z_key)).sample(x_key)

        return jax.vmap(one)(indices)

    size = min(_AT_ONCE, count)
    parts = [jax.tree.map(np.asarray, draw(start + jnp.arange(size))) for start in range(0, count, size)]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)


def as_numbers(encoding: Encoding, values: dict[str, Any], observed: dict[str, Any]) -> dict[str, np.ndarray]:
    """Float `[N]` of each column: decoded numbers, or places among the levels; NaN for missing cells."""
    cells, seen = encoding.by_column(values), encoding.by_column(observed)
    numbers = {}
    for column in encoding.columns:
        own = cells[column.name] if column.levels else column.decoded(cells[column.name])
        numbers[column.name] = np.where(seen[column.name], np.asarray(own, np.float64), np.nan)
    return numbers
