"""A dict of parameters: none at all, and the leaves that no gradient trains, under its top-level key "buffers"."""

from __future__ import annotations

from typing import Any

import jax

Params = Any  # a plain dict of arrays; untrained leaves, where there are any, under the top-level key "buffers"


def no_params(key: jax.Array) -> Params:
    """The `init` of what has no parameters of its own."""
    del key
    return {}


def split_buffers(params: Params) -> tuple[Params, Any]:
    """The trained leaves of params, and `params["buffers"]` (None where there is no such key)."""
    if not isinstance(params, dict) or "buffers" not in params:
        return params, None
    return {name: value for name, value in params.items() if name != "buffers"}, params["buffers"]


def join_buffers(trained: Params, buffers: Any) -> Params:
    """The inverse of `split_buffers`."""
    return trained if buffers is None else {**trained, "buffers": buffers}
