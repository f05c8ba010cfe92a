"""Descriptions of posterior collapse for reports."""

from __future__ import annotations

from collections.abc import Sequence

import chex
import numpy as np
from jax.typing import ArrayLike

COLLAPSED_NATS = 0.01  # a dimension that carries less cannot distinguish two images

_REMEDIES = "try a KL warm-up, free bits, a smaller beta or a weaker decoder"


def collapse_by_kl(kl: ArrayLike, active: int | None = None, threshold: float = COLLAPSED_NATS) -> str:
    """Describes in plain words the dimensions that have collapsed onto the prior, and the consequences.

    A posterior that is the same for every image but differs from the prior has a KL divergence, yet no information
    about the image; the number of active units reveals this case.

    Args:
      kl: `[D]`, nats of each dimension, as returned by `kl_per_dimension`. Dimensions are named from "z1" on.
      active: number of units whose mean depends on the image, as returned by `active_units`; None: not known.
      threshold: nats below which a dimension counts as collapsed.
    """
    sentence = _describe_kl(kl, threshold)
    used = int(np.sum(np.asarray(kl) >= threshold))
    if active is None or active >= used:
        return sentence
    if active:
        return f"{sentence} But the posterior's mean depends on the image in only {active} of them."
    return (
        f"{sentence} But the posterior's mean does not depend on the image: z carries no information about it; "
        f"{_REMEDIES}."
    )


def _describe_kl(kl: ArrayLike, threshold: float) -> str:
    nats = np.asarray(kl, np.float64)
    chex.assert_rank(nats, 1)
    total = len(nats)
    if undefined := int(np.sum(~np.isfinite(nats))):
        return (
            f"{undefined} of {total} dimensions have a KL divergence that is not finite: the parameters or the "
            "examples are not finite."
        )
    collapsed = np.flatnonzero(nats < threshold)
    used = total - len(collapsed)
    if not len(collapsed):
        return f"All {total} dimensions are used: each carries {nats.min():.2g} nats or more."
    if not used:
        return (
            f"All {total} dimensions carry less than {threshold:g} nats each: the posterior has collapsed onto the "
            f"prior for every image, and the decoder ignores z; {_REMEDIES}."
        )
    names = ", ".join(f"z{index + 1}" for index in collapsed)
    sentence = f"{used} of {total} dimensions are used; {len(collapsed)} carry less than {threshold:g} nats: {names}."
    if 2 * used < total:
        sentence += f" Most dimensions have collapsed onto the prior; for more detailed reconstructions, {_REMEDIES}."
    return sentence


def collapse_by_activity(active: Sequence[int], sizes: Sequence[int]) -> str:
    """Describes posterior collapse by the active units of each layer, for units without a KL divergence of their own.

    Args:
      active: number of active units of each stochastic layer, the layer next to the data first.
      sizes: number of units of each layer.
    """
    layers = [f"{count} of {size}" for count, size in zip(active, sizes, strict=True)]
    if len(layers) == 1:
        sentence = f"{layers[0]} units are active."
    else:
        counts = ", ".join(f"{layer} in layer {number}" for number, layer in enumerate(layers, start=1))
        sentence = f"Active units: {counts}."
    dead = [number for number, count in enumerate(active, start=1) if not count]
    if len(dead) == len(layers):
        return f"{sentence} The posterior's mean does not depend on the image: the decoder ignores z; {_REMEDIES}."
    if dead:
        names = " and ".join(f"layer {number}" for number in dead)
        return f"{sentence} The model does not use {names}: the mean does not depend on the image; {_REMEDIES}."
    return sentence
