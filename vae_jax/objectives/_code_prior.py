"""Objective for training a prior over codes with `fit`."""

from __future__ import annotations

import math
from typing import Any

import jax

from vae_jax.models._model import Example
from vae_jax.models.code_priors._code_prior import CodePrior
from vae_jax.objectives._batch import Metrics, mean_over_batch
from vae_jax.params import Params


def _code_prior_loss(prior: CodePrior, params: Params, key: jax.Array, codes: Any) -> tuple[jax.Array, Metrics]:
    """Loss `prior.loss` of codes `[B, T]`, a mean over the batch in nats per example.

    A class-conditional prior (num_classes above 0) is trained on `Example(codes, labels)`, labels integers `[B]`.

    Metrics: `bits_per_code`, or `masked_bits_per_code` for a prior without a likelihood, whose loss is not a bound.

    Raises:
      TypeError: if a class-conditional prior is given no labels, or an unconditional prior is given labels.
    """
    codes, label = codes if isinstance(codes, Example) else (codes, None)
    loss = prior.loss(params, key, codes, label)
    name = "masked_bits_per_code" if prior.log_prob is None else "bits_per_code"
    return loss, {name: loss / (prior.length * math.log(2))}


def _with_label(prior: CodePrior, example: Any, name: str) -> tuple[CodePrior, Any]:
    if bool(prior.num_classes) != isinstance(example, Example):
        wanted = "Example(codes, labels)" if prior.num_classes else "codes without labels"
        raise TypeError(f"{name}: a prior with num_classes = {prior.num_classes} is trained on {wanted}")
    return prior, example


# A prior over codes is not a model: one function takes its codes and their label.
code_prior_loss = mean_over_batch(_code_prior_loss, _with_label)
