"""Checks of the requirements of an estimate of log p(x), made before long computations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from vae_jax.distributions import Distribution, UndefinedError, sample_and_log_prob_of
from vae_jax.distributions._checks import check_count


def require_at_least_one(**sizes: int) -> None:
    """Raises ValueError, naming the argument, if a size is below 1; TypeError if it is not an integer."""
    for name, size in sizes.items():
        check_count(name, size)


def type_made_by(make: Callable[[], Any]) -> type:
    """Type of the return value of `make`, which is only traced, not computed; it need not be a pytree."""
    types: list[type] = []
    jax.eval_shape(lambda: types.append(type(make())))
    return types[0]


def require_density(argument: str, make: Callable[[], Distribution], remedy: str) -> None:
    """Raises TypeError, naming the argument, if draws of a distribution have no log-density.

    Args:
      argument: description of the argument that determines the distribution.
      make: returns the distribution; only traced, not computed.
      remedy: description of a correct argument.
    """
    name = type_made_by(make).__name__
    try:
        jax.eval_shape(lambda: sample_and_log_prob_of(make(), jax.random.key(0)))
    except UndefinedError as error:
        raise TypeError(f"{argument} must have a density, but a {name} has none: {remedy}") from error
