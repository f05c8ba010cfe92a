"""Checks that a posterior has the properties an objective needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vae_jax.distributions import Distribution, UndefinedError, log_prob_terms_of


@contextmanager
def requiring(what: str, remedy: str = "") -> Iterator[None]:
    """Adds the requirement `what` before the message of an UndefinedError raised inside, and `remedy` after it."""
    try:
        yield
    except UndefinedError as error:
        raise UndefinedError(f"{what}: {error}{remedy and '; '}{remedy}") from error


def require_vector(name: str, z: Any) -> None:
    """Raises TypeError unless the z of one example is an array of one axis."""
    shape = getattr(z, "shape", None)
    if shape is None or len(shape) != 1:
        what = type(z).__name__ if shape is None else f"an array of shape {shape}"
        raise TypeError(f"{name} needs a model whose z is a vector, such as gaussian_vae, got {what}")


def require_independent_dimensions(name: str, posterior: Distribution, z: Any) -> None:
    """Raises TypeError unless the posterior of one example is over a vector z of independent dimensions."""
    require_vector(name, z)
    with requiring(f"{name} needs a posterior with independent dimensions, such as gaussian_vae's"):
        log_prob_terms_of(posterior, z)
