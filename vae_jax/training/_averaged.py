"""Exponential moving average of the parameters that an optimizer trains."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from vae_jax.distributions._checks import check_number
from vae_jax.params import Params


class AveragedState(NamedTuple):
    """State of an optimizer that also averages the parameters."""

    optimizer: optax.OptState  # of the optimizer whose parameters are averaged
    mean: Params  # in float32 at least; before the first step the parameters themselves
    weight: jax.Array  # sum of the weights of all steps so far, that of the last being 1


def averaged(optimizer: optax.GradientTransformation, decay: float | jax.Array) -> optax.GradientTransformation:
    """An optimizer that trains as the given one does, and keeps a moving average of the parameters beside it.

        mean_t = sum_{i=1}^t decay^(t - i) params_i / sum_{i=1}^t decay^(t - i),   params_i those after step i

    A fit validates and keeps the average if it is told to:

        fit(model, objective, averaged(optax.adam(1e-3), 0.999), ..., evaluated=averaged_params)

    It must be the outermost transformation, as what is chained behind it would change the step that it has averaged:
    `averaged(partitioned(...), decay)`, not the other way round.

    Args:
      optimizer: any optax gradient transformation.
      decay: weight of the parameters one step ago, relative to the present ones, in [0, 1): the average spans about
        1 / (1 - decay) steps. It may be traced.

    Raises:
      ValueError: if decay is out of range.

    Source: Polyak & Juditsky 1992 [polyak1992acceleration] for the average of parameters; Kingma & Ba 2015
    (arXiv:1412.6980), section 3, for the moving average without the bias of its start.
    """
    check_number("decay", decay)
    if not isinstance(decay, jax.core.Tracer) and not 0.0 <= decay < 1.0:
        raise ValueError(f"decay must be in [0, 1), got {decay}")
    extended = optax.with_extra_args_support(optimizer)

    def init(params: Params) -> AveragedState:
        # A copy: training donates both.
        copy = lambda leaf: jnp.array(leaf, jnp.promote_types(leaf.dtype, jnp.float32))
        return AveragedState(optimizer.init(params), jax.tree.map(copy, params), jnp.float32(0.0))

    def update(updates: Any, state: AveragedState, params: Any = None, **extra: Any) -> tuple[Any, AveragedState]:
        updates, inner = extended.update(updates, state.optimizer, params, **extra)
        weight = jnp.asarray(decay, jnp.float32) * state.weight + 1.0
        # A running mean: the weights of decay * mean + (1 - decay) * new, each rounded, do not add up to 1, so that
        # optax.ema is off by 2e-4 of every parameter at a decay of 0.9999. What has not moved, even -inf, is kept.
        follow = lambda mean, new: jnp.where(new == mean, mean, mean + (new - mean) / weight)
        mean = jax.tree.map(follow, state.mean, optax.apply_updates(params, updates))
        return updates, AveragedState(inner, mean, weight)

    return optax.GradientTransformationExtraArgs(init, update)


def averaged_params(opt_state: optax.OptState, params: Params) -> Params:
    """The average that an `averaged` optimizer keeps, in the types of the parameters; for `evaluated` of a fit.

    Args:
      opt_state: the state of the optimizer that `averaged` has made.
      params: the trained parameters.

    Raises:
      TypeError: if it is the state of another optimizer.
    """
    if not isinstance(opt_state, AveragedState):
        raise TypeError(
            f"averaged_params takes the state of an optimizer made by training.averaged, got {type(opt_state).__name__}"
        )
    return jax.tree.map(lambda mean, leaf: mean.astype(leaf.dtype), opt_state.mean, params)
