"""The objective of a prior over codes, as `fit` takes it."""

from __future__ import annotations

import math
from typing import cast

import jax

from vae_jax.models.code_prior import CodePrior
from vae_jax.models.vae import Params
from vae_jax.objectives.batch import ExampleObjective, Metrics, mean_over_batch


def _code_prior_loss(prior: CodePrior, params: Params, key: jax.Array, codes: jax.Array) -> tuple[jax.Array, Metrics]:
    """A prior's own loss of sequences `[B, T]` without labels, a mean over the batch in nats an example.

    Metrics: `bits_per_code`, or `masked_bits_per_code` of a prior without a likelihood, whose loss bounds nothing.
    """
    loss = prior.loss(params, key, codes, None)
    name = "masked_bits_per_code" if prior.log_prob is None else "bits_per_code"
    return loss, {name: loss / (prior.length * math.log(2))}


# A prior is trained as a model is: the objective alone looks into either.
code_prior_loss = mean_over_batch(cast(ExampleObjective, _code_prior_loss))
