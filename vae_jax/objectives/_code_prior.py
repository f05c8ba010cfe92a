"""The objective of a prior over codes, as `fit` takes it."""

from __future__ import annotations

import math
from typing import cast

import jax

from vae_jax.models._code_prior import CodePrior
from vae_jax.objectives._batch import ExampleObjective, Metrics, mean_over_batch
from vae_jax.params import Params


def _code_prior_loss(prior: CodePrior, params: Params, key: jax.Array, codes: jax.Array) -> tuple[jax.Array, Metrics]:
    """A prior's own loss of sequences `[B, T]`, a mean over the batch in nats an example.

    Of a class-conditional prior (num_classes above 0) an example is its label and then its codes, `[B, 1 + T]`:
    `jnp.concatenate([labels[:, None], sequences], axis=1)`.

    Metrics: `bits_per_code`, or `masked_bits_per_code` of a prior without a likelihood, whose loss bounds nothing.
    """
    label = None
    if prior.num_classes:
        if codes.shape != (1 + prior.length,):
            raise ValueError(
                f"a prior of {prior.num_classes} classes is trained on the label and the {prior.length} codes of an "
                f"image, of shape {(1 + prior.length,)}, got {codes.shape}"
            )
        label, codes = codes[0], codes[1:]
    loss = prior.loss(params, key, codes, label)
    name = "masked_bits_per_code" if prior.log_prob is None else "bits_per_code"
    return loss, {name: loss / (prior.length * math.log(2))}


# A prior is trained as a model is: the objective alone looks into either.
code_prior_loss = mean_over_batch(cast(ExampleObjective, _code_prior_loss))
