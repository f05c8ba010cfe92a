"""Random keys of the models of a run."""

from __future__ import annotations

from typing import NamedTuple

import jax


class Keys(NamedTuple):
    """Random keys of one model of a run."""

    training: jax.Array
    fitting: jax.Array  # for fits after the training: a prior over the codes, the predictors of scores
    evaluation: jax.Array  # for measurements after the training
    figures: jax.Array
    further_evaluation: jax.Array  # for the measurements of `vae-jax evaluate`


def keys_of(seed: int) -> Keys:
    """Random keys of the model with this seed."""
    return Keys(*jax.random.split(jax.random.key(seed), 5))
