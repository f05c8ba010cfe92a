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

    optimizer: optax.OptState  # state of the optimizer whose parameters are averaged
    mean: Params  # in float32 at least; before the first step, the initial parameters
    weight: jax.Array  # sum of the weights of all steps so far; the weight of the last step is 1


def averaged(optimizer: optax.GradientTransformation, decay: float | jax.Array) -> optax.GradientTransformation:
    """Adds a moving average of the parameters to an optimizer, whose updates stay the same.

        mean_t = sum_{i=1}^t decay^(t - i) params_i / sum_{i=1}^t decay^(t - i),   params_i after step i

    With `evaluated=averaged_params`, `fit` validates and keeps the average:

        fit(model, objective, averaged(optax.adam(1e-3), 0.999), ..., evaluated=averaged_params)

    It must be the outermost transformation, `averaged(partitioned(...), decay)`: a transformation chained after it
    would change the update after it was averaged.

    Args:
      optimizer: any optax gradient transformation.
      decay: weight of the parameters one step ago relative to the present parameters, in [0, 1); may be traced. The
        average spans about 1 / (1 - decay) steps.

    Raises:
      ValueError: if decay is out of range.

    Source: Polyak & Juditsky 1992 [polyak1992acceleration] for the average of parameters; Kingma & Ba 2015
    (arXiv:1412.6980), section 3, for the correction of its initialization bias.
    """
    check_number("decay", decay)
    if not isinstance(decay, jax.core.Tracer) and not 0.0 <= decay < 1.0:
        raise ValueError(f"decay must be in [0, 1), got {decay}")
    extended = optax.with_extra_args_support(optimizer)

    def init(params: Params) -> AveragedState:
        # A copy, because training donates both the parameters and their mean.
        copy = lambda leaf: jnp.array(leaf, jnp.promote_types(leaf.dtype, jnp.float32))
        return AveragedState(optimizer.init(params), jax.tree.map(copy, params), jnp.float32(0.0))

    def update(updates: Any, state: AveragedState, params: Any = None, **extra: Any) -> tuple[Any, AveragedState]:
        updates, inner = extended.update(updates, state.optimizer, params, **extra)
        weight = jnp.asarray(decay, jnp.float32) * state.weight + 1.0
        # A running mean: the rounded weights in decay * mean + (1 - decay) * new do not add up to 1, which makes
        # optax.ema wrong by 2e-4 of every parameter at a decay of 0.9999. Unchanged values, even -inf, are kept.
        follow = lambda mean, new: jnp.where(new == mean, mean, mean + (new - mean) / weight)
        mean = jax.tree.map(follow, state.mean, optax.apply_updates(params, updates))
        return updates, AveragedState(inner, mean, weight)

    return optax.GradientTransformationExtraArgs(init, update)


def averaged_params(opt_state: optax.OptState, params: Params) -> Params:
    """Moving average kept by an `averaged` optimizer, in the dtypes of the parameters; for `evaluated` of `fit`.

    Args:
      opt_state: the state of an optimizer made by `averaged`.
      params: the trained parameters.

    Raises:
      TypeError: if opt_state is the state of another optimizer.
    """
    if not isinstance(opt_state, AveragedState):
        raise TypeError(
            f"opt_state must be the state of an optimizer made by training.averaged, got a {type(opt_state).__name__}"
        )
    return jax.tree.map(lambda mean, leaf: mean.astype(leaf.dtype), opt_state.mean, params)
