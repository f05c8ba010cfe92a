"""Keys of everything random in a run."""

from __future__ import annotations

from typing import NamedTuple

import jax


class Keys(NamedTuple):
    """Keys of one model of a run."""

    training: jax.Array
    fitting: jax.Array  # fits after the training: a prior over the codes, the predictors of scores
    evaluation: jax.Array  # measurements and pictures at the end
    figures: jax.Array
    further_evaluation: jax.Array  # measurements of `vae-jax evaluate`


def keys_of(seed: int) -> Keys:
    """Keys of the model of a seed."""
    return Keys(*jax.random.split(jax.random.key(seed), 5))
