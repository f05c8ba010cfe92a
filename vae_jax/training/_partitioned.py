"""Different optimizers for different parts of one model's params."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optax


def partitioned(
    default: optax.GradientTransformation, by_name: Mapping[str, optax.GradientTransformation]
) -> optax.GradientTransformation:
    """Combines optimizers: one for each named top-level part of params, such as a discriminator, and one for the rest.

        partitioned(optax.adam(1e-4), {"discriminator": optax.adam(1e-4, b1=0.5, b2=0.9)})

    Args:
      default: optimizer of all parts that by_name does not name.
      by_name: top-level key in params -> optimizer of the parameters under that key.

    Raises:
      ValueError: at `init`, if params lack a key of by_name.
    """
    rest = "the other parts"

    def labels(params: Mapping[str, Any]) -> dict[str, str]:
        if unknown := sorted(set(by_name) - set(params)):
            raise ValueError(
                f"by_name must name top-level keys of params ({', '.join(sorted(params))}), got {', '.join(unknown)}"
            )
        return {name: name if name in by_name else rest for name in params}

    return optax.partition({**by_name, rest: default}, labels)
