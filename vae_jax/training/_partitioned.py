"""Two optimizers for two parts of one model's params."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optax


def partitioned(
    default: optax.GradientTransformation, by_name: Mapping[str, optax.GradientTransformation]
) -> optax.GradientTransformation:
    """An optimizer of its own for some of the top-level parts of params, such as a discriminator's.

        partitioned(optax.adam(1e-4), {"discriminator": optax.adam(1e-4, b1=0.5, b2=0.9)})

    Args:
      default: of all other parts.
      by_name: key in params -> the optimizer of what is under it.

    Raises:
      ValueError: at `init`, if params have no part of that name.
    """
    rest = "the other parts"

    def labels(params: Mapping[str, Any]) -> dict[str, str]:
        if unknown := sorted(set(by_name) - set(params)):
            raise ValueError(f"by_name must name parts of params ({', '.join(sorted(params))}), got {unknown}")
        return {name: name if name in by_name else rest for name in params}

    return optax.partition({**by_name, rest: default}, labels)
