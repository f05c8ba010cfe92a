"""Posterior collapse, said in words."""

from __future__ import annotations

from collections.abc import Sequence

import chex
import numpy as np
from jax.typing import ArrayLike

COLLAPSED_NATS = 0.01  # a dimension that carries less tells no two images apart

_REMEDIES = "try a KL warm-up, free bits, a smaller beta or a weaker decoder"


def collapse_by_kl(kl: ArrayLike, active: int | None = None, threshold: float = COLLAPSED_NATS) -> str:
    """Which dimensions have collapsed onto the prior, and what that means, in plain words.

    A posterior that is the same for every image, but not the prior's, has a KL divergence and tells nothing; the active
    units tell it apart.

    Args:
      kl: `[D]`, the nats of each dimension, as of `kl_per_dimension`. Dimensions are counted from 1, as in "z1".
      active: units whose mean moves with the image, as of `active_units`; None: not known.
      threshold: nats under which a dimension counts as collapsed.
    """
    sentence = _by_kl(kl, threshold)
    used = int(np.sum(np.asarray(kl) >= threshold))
    if active is None or active >= used:
        return sentence
    if active:
        return f"{sentence} But the posterior's mean moves with the image in {active} of them only."
    return f"{sentence} But the posterior's mean does not move with the image, so z tells nothing of it; {_REMEDIES}."


def _by_kl(kl: ArrayLike, threshold: float) -> str:
    nats = np.asarray(kl, np.float64)
    chex.assert_rank(nats, 1)
    total = len(nats)
    if undefined := int(np.sum(~np.isfinite(nats))):
        return f"{undefined} of {total} dimensions carry no finite nats: the parameters or the examples are not finite."
    collapsed = np.flatnonzero(nats < threshold)
    used = total - len(collapsed)
    if not len(collapsed):
        return f"All {total} dimensions are used: each carries {nats.min():.2g} nats or more."
    if not used:
        return (
            f"All {total} dimensions carry less than {threshold:g} nats each: the posterior has collapsed onto the "
            f"prior, whatever the image, so the decoder ignores z; {_REMEDIES}."
        )
    names = ", ".join(f"z{index + 1}" for index in collapsed)
    sentence = f"{used} of {total} dimensions are used; {len(collapsed)} carry less than {threshold:g} nats: {names}."
    if 2 * used < total:
        sentence += f" Most of the code has collapsed onto the prior; where more detail is wanted, {_REMEDIES}."
    return sentence


def collapse_by_activity(active: Sequence[int], sizes: Sequence[int]) -> str:
    """The same where a unit has no KL divergence of its own: by the active units of each stochastic layer.

    Args:
      active: active units of each layer, the one next to the data first.
      sizes: units of each layer.
    """
    layers = [f"{count} of {size}" for count, size in zip(active, sizes, strict=True)]
    if len(layers) == 1:
        sentence = f"{layers[0]} units are active."
    else:
        counts = ", ".join(f"{layer} in layer {number}" for number, layer in enumerate(layers, start=1))
        sentence = f"Active units: {counts}."
    dead = [number for number, count in enumerate(active, start=1) if not count]
    if len(dead) == len(layers):
        return f"{sentence} The posterior's mean does not move with the image, so the decoder ignores z; {_REMEDIES}."
    if dead:
        names = " and ".join(f"layer {number}" for number in dead)
        return f"{sentence} The mean of {names} does not move with the image: the model does without; {_REMEDIES}."
    return sentence
