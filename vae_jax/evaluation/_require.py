"""What an estimate of log p(x) needs, checked before anything long begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from vae_jax.distributions import Distribution, UndefinedError, sample_and_log_prob_of
from vae_jax.distributions._checks import check_count


def require_at_least_one(**sizes: int) -> None:
    """Raises ValueError, naming the argument, where one of the sizes is below 1; TypeError where it is no integer."""
    for name, size in sizes.items():
        check_count(name, size)


def type_made_by(make: Callable[[], Any]) -> type:
    """The type of what it makes; traced only, nothing is computed. A distribution need not be a pytree."""
    types: list[type] = []
    jax.eval_shape(lambda: types.append(type(make())))
    return types[0]


def require_density(argument: str, make: Callable[[], Distribution], remedy: str) -> None:
    """Raises TypeError, naming the argument, where a draw of the distribution that it makes has no log-density.

    Args:
      argument: what the caller passed that decides the distribution, in words.
      make: makes it; traced only, nothing is computed.
      remedy: what would be right.
    """
    name = type_made_by(make).__name__
    try:
        jax.eval_shape(lambda: sample_and_log_prob_of(make(), jax.random.key(0)))
    except UndefinedError as error:
        raise TypeError(f"{argument} must have a density, but a {name} has none: {remedy}") from error
