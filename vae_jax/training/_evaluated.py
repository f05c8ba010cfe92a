"""Parameters that a fit validates and keeps, such as a moving average of the trained parameters."""

from __future__ import annotations

from collections.abc import Callable

import optax

from vae_jax.params import Params, join_buffers, split_buffers
from vae_jax.training._step import TrainState

# (optimizer state, trained parameters) -> parameters of the same structure; both without buffers
Evaluated = Callable[[optax.OptState, Params], Params]


def as_trained(opt_state: optax.OptState, params: Params) -> Params:
    """The trained parameters, unchanged."""
    del opt_state
    return params


def evaluated_params(evaluated: Evaluated, state: TrainState) -> Params:
    """Parameters that `fit(..., evaluated=evaluated)` validates at a state, with the buffers of the state.

    The parameters validated after the last epoch, which need not be the best, are
    `evaluated_params(evaluated, progress.state)`; for all models of an ensemble,
    `jax.vmap(functools.partial(evaluated_params, evaluated))(progress.state)`.

    Args:
      evaluated: as `fit` takes it.
      state: state of a fit whose optimizer suits `evaluated`.
    """
    trained, buffers = split_buffers(state.params)
    return join_buffers(evaluated(state.opt_state, trained), buffers)
