"""Parameter dicts: empty parameters, and buffers, the leaves under "buffers" that are not trained by gradient."""

from __future__ import annotations

from typing import Any

import jax

Params = Any  # a plain dict of arrays; leaves not trained by gradient are under the top-level key "buffers"


def no_params(key: jax.Array) -> Params:
    """Returns empty parameters: an `init` for functions without parameters."""
    del key
    return {}


def split_buffers(params: Params) -> tuple[Params, Any]:
    """Splits params into the leaves trained by gradient and `params["buffers"]` (None if there is no such key)."""
    if not isinstance(params, dict) or "buffers" not in params:
        return params, None
    return {name: value for name, value in params.items() if name != "buffers"}, params["buffers"]


def join_buffers(trained: Params, buffers: Any) -> Params:
    """Joins trained leaves and buffers, the inverse of `split_buffers`."""
    return trained if buffers is None else {**trained, "buffers": buffers}
