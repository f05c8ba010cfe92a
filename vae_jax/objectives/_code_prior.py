"""The objective of a prior over codes, as `fit` takes it."""

from __future__ import annotations

import math
from typing import Any

import jax

from vae_jax.models._model import Example
from vae_jax.models.code_priors._code_prior import CodePrior
from vae_jax.objectives._batch import Metrics, mean_over_batch
from vae_jax.params import Params


def _code_prior_loss(prior: CodePrior, params: Params, key: jax.Array, codes: Any) -> tuple[jax.Array, Metrics]:
    """A prior's own loss of codes `[B, T]`, a mean over the batch in nats per example.

    A class-conditional prior (num_classes above 0) is trained on `Example(codes, labels)`, labels integers `[B]`.

    Metrics: `bits_per_code`, or `masked_bits_per_code` of a prior without a likelihood, whose loss bounds nothing.

    Raises:
      TypeError: if a class-conditional prior is given no labels, or another one is given some.
    """
    codes, label = codes if isinstance(codes, Example) else (codes, None)
    loss = prior.loss(params, key, codes, label)
    name = "masked_bits_per_code" if prior.log_prob is None else "bits_per_code"
    return loss, {name: loss / (prior.length * math.log(2))}


def _with_label(prior: CodePrior, example: Any, name: str) -> tuple[CodePrior, Any]:
    if bool(prior.num_classes) != isinstance(example, Example):
        wanted = "Example(codes, labels)" if prior.num_classes else "codes alone"
        raise TypeError(f"{name}: a prior of {prior.num_classes} classes is trained on {wanted}")
    return prior, example


# A prior is trained as a model is, but is none: its label goes with its codes into one function.
code_prior_loss = mean_over_batch(_code_prior_loss, _with_label)
