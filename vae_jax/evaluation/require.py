"""What an estimate of log p(x) needs, checked before anything long begins."""

from __future__ import annotations

from collections.abc import Callable

import jax

from vae_jax.distributions import Distribution, UndefinedError, sample_and_log_prob_of


def require_at_least_one(**sizes: int) -> None:
    """Raises ValueError, naming the argument, where one of the sizes is below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def require_density(argument: str, make: Callable[[], Distribution], remedy: str) -> None:
    """Raises TypeError, naming the argument, where a draw of the distribution that it makes has no log-density.

    Args:
      argument: what the caller passed that decides the distribution, in words.
      make: makes it; traced only, nothing is computed.
      remedy: what would be right.
    """
    name = type(jax.eval_shape(make)).__name__
    try:
        jax.eval_shape(lambda: sample_and_log_prob_of(make(), jax.random.key(0)))
    except UndefinedError as error:
        raise TypeError(f"{argument} must have a density, but a {name} has none: {remedy}") from error
