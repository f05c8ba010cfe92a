"""Checks that values are in the support of a distribution."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from vae_jax.distributions._distribution import Distribution


def check_support(distribution: Distribution, value: Any, name: str = "x") -> None:
    """Checks that an event is in the support of a distribution, if its values are concrete.

    Under the caller's `jit`, `vmap` or `grad` the values are not known, and nothing is checked here.

    Args:
      distribution: any distribution; without `supports` (another library's), every value is accepted.
      value: one event.
      name: name of the argument that holds the value, for the message.

    Raises:
      ValueError: if a value is outside the support.
    """
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)) or not hasattr(
        distribution, "supports"
    ):
        return
    supported = distribution.supports(value)
    if not isinstance(supported, jax.core.Tracer) and not bool(supported):
        raise ValueError(outside_support(distribution, value, name))


def outside_support(distribution: Distribution, values: Any, name: str) -> str:
    """Error message for values outside the support of a distribution or of a batch of distributions."""
    kind, support = type(distribution).__name__, getattr(distribution, "support", "its support")
    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(values)]
    count = sum(int(np.sum(~np.isfinite(a))) for a in arrays if np.issubdtype(a.dtype, np.inexact))
    if count:
        return f"{name} holds {'1 value that is' if count == 1 else f'{count} values that are'} not finite"
    least, most = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
    remedy = f"; scale them to {support}, or take likelihoods.normal" if support == "[0, 1]" else ""
    return f"{name} holds values outside {support} for a {kind}: from {least:g} to {most:g}{remedy}"
