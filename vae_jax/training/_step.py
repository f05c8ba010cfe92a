"""One training step as a pure function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from vae_jax.models._model import VAE
from vae_jax.objectives import Objective, at_step
from vae_jax.objectives._batch import Aux, Metrics
from vae_jax.params import Params, join_buffers, split_buffers


class TrainState(NamedTuple):
    """All that a step changes."""

    step: jax.Array  # int32, steps done
    params: Params  # as the model takes them, buffers included
    opt_state: optax.OptState


TrainStep = Callable[[TrainState, jax.Array, jax.Array], tuple[TrainState, Metrics]]


def init_train_state(model: VAE, optimizer: optax.GradientTransformation, key: jax.Array) -> TrainState:
    """Fresh parameters and the optimizer's state for them, at step 0."""
    # Copies: training donates the memory of its state, and a constant of the model's (an output bias set to the data's
    # mean) is what the next `init` wants to give again.
    params = jax.tree.map(jnp.copy, model.init(key))
    trained, _ = split_buffers(params)
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(trained))


def make_train_step(model: VAE, objective: Objective, optimizer: optax.GradientTransformation) -> TrainStep:
    """A step `(state, key, batch) -> (state, metrics)`: pure, so jit it, scan it, vmap it as you need.

    `key` is the run's key, the same at every step: the step draws from `fold_in(key, state.step)`, so that any step
    can be replayed alone. `params["buffers"]` meets neither the gradient nor the optimizer; it takes the value that
    the objective returns for it. The metrics are the objective's own and `loss`, means over the batch, in nats.

    Args:
      model: the model.
      objective: (model, params, key, batch) -> (loss, Aux), one of `vae_jax.objectives` or your own; a `Scheduled` one
        is taken at `state.step`.
      optimizer: any optax gradient transformation; one that asks for the loss (`value`) is given it.

    Raises:
      ValueError: by the step, where the objective returns other buffers than the model has.
    """
    extended = optax.with_extra_args_support(optimizer)

    def step(state: TrainState, key: jax.Array, batch: jax.Array) -> tuple[TrainState, Metrics]:
        trained, buffers = split_buffers(state.params)
        (loss, aux), gradient = differentiated(model, objective, state, key, batch)
        _check_structure(aux.buffers, buffers)
        updates, opt_state = extended.update(gradient, state.opt_state, trained, value=loss)
        params = join_buffers(optax.apply_updates(trained, updates), aux.buffers)
        return TrainState(state.step + 1, params, opt_state), {"loss": loss, **aux.metrics}

    return step


def differentiated(
    model: VAE, objective: Objective, state: TrainState, key: jax.Array, batch: jax.Array
) -> tuple[tuple[jax.Array, Aux], Any]:
    """((loss, aux), gradient of the trained parameters) at a state, as the step from it computes them."""
    trained, buffers = split_buffers(state.params)
    step_key = jax.random.fold_in(key, state.step)

    def loss_of(trained: Params) -> tuple[jax.Array, Aux]:
        return at_step(objective, state.step)(model, join_buffers(trained, buffers), step_key, batch)

    return jax.value_and_grad(loss_of, has_aux=True)(trained)


def _check_structure(given: Any, buffers: Any) -> None:
    structures = [str(jax.tree.structure(tree)) for tree in (given, buffers)]
    if structures[0] != structures[1]:
        raise ValueError(
            f"the objective returned Aux.buffers of the structure {structures[0]}, but params['buffers'] has "
            f"{structures[1]} (None: the model has none); vae_jax.params.split_buffers(params)[1] keeps them as they are"
        )
