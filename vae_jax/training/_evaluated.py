"""Parameters that a fit validates and keeps, if they are not those that it trains."""

from __future__ import annotations

from collections.abc import Callable

import optax

from vae_jax.params import Params, join_buffers, split_buffers
from vae_jax.training._step import TrainState

# (the optimizer's state, trained parameters) -> parameters of the same structure; neither has the buffers
Evaluated = Callable[[optax.OptState, Params], Params]


def as_trained(opt_state: optax.OptState, params: Params) -> Params:
    """The trained parameters themselves."""
    del opt_state
    return params


def evaluated_params(evaluated: Evaluated, state: TrainState) -> Params:
    """Parameters that `fit(..., evaluated=evaluated)` validates at a state, with the buffers of the state.

    Those of the last epoch, which need not be the best, are `evaluated_params(evaluated, progress.state)`; of every
    model of an ensemble, `jax.vmap(functools.partial(evaluated_params, evaluated))(progress.state)`.

    Args:
      evaluated: as `fit` takes it.
      state: of a fit with an optimizer that `evaluated` is made for.
    """
    trained, buffers = split_buffers(state.params)
    return join_buffers(evaluated(state.opt_state, trained), buffers)
