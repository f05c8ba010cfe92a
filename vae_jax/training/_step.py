"""One training step as a pure function."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from vae_jax.distributions._checks import check_count
from vae_jax.models._model import num_examples
from vae_jax.objectives import Objective, at_step
from vae_jax.objectives._batch import Aux, Metrics, keys_of_examples
from vae_jax.objectives._wrapped import is_mean_over_examples, preprocessed
from vae_jax.params import Params, join_buffers, split_buffers


class Trainable(Protocol):
    """Anything with an `init`: the part of a model that training uses; the objective uses the rest."""

    @property
    def init(self) -> Callable[[jax.Array], Params]: ...


class TrainState(NamedTuple):
    """State of training: everything that a step changes."""

    step: jax.Array  # int32, number of steps done
    params: Params  # the model's parameters, buffers included
    opt_state: optax.OptState


TrainStep = Callable[[TrainState, jax.Array, Any], tuple[TrainState, Metrics]]


def init_train_state(model: Trainable, optimizer: optax.GradientTransformation, key: jax.Array) -> TrainState:
    """Initial parameters, and the optimizer's state for them, at step 0."""
    # Copies: training donates the memory of its state, but the next `init` returns the model's constants (an output
    # bias set to the data's mean) again.
    params = jax.tree.map(jnp.copy, model.init(key))
    trained, _ = split_buffers(params)
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(trained))


def make_train_step(
    model: Trainable, objective: Objective, optimizer: optax.GradientTransformation, microbatches: int = 1
) -> TrainStep:
    """Returns a pure training step `(state, key, batch) -> (state, metrics)`, to be jitted, scanned or vmapped.

    `key` is the run's key, the same at every step: the step draws from `fold_in(key, state.step)`, so that any step
    can be repeated alone. `params["buffers"]` is neither differentiated nor passed to the optimizer; it is replaced by
    the buffers that the objective returns. The metrics are those of the objective and `loss`, means over the batch, in
    nats.

    Args:
      model: any record with an `init` that the objective accepts.
      objective: (model, params, key, batch) -> (loss, Aux), one of `vae_jax.objectives` or your own; a
        `Scheduled` objective is evaluated at `state.step`.
      optimizer: any optax gradient transformation; the loss is passed to it as `value` if it takes that argument.
      microbatches: number of parts of a batch for gradient accumulation: their gradients are computed one after
        another and averaged, in the memory of one part. Every example keeps the key that it has in the whole batch,
        and the batch is preprocessed as a whole: the result equals that of microbatches = 1 up to rounding.

    Raises:
      ValueError: if microbatches is below 1, or above 1 for an objective that is not a mean over examples; by the step,
        if microbatches does not divide the batch, or the objective returns buffers of another structure.
    """
    check_microbatches(objective, microbatches)
    extended = optax.with_extra_args_support(optimizer)

    def step(state: TrainState, key: jax.Array, batch: Any) -> tuple[TrainState, Metrics]:
        trained, buffers = split_buffers(state.params)
        (loss, aux), gradient = differentiated(model, objective, state, key, batch, microbatches)
        given, kept = (str(jax.tree.structure(tree)) for tree in (aux.buffers, buffers))
        if given != kept:
            raise ValueError(
                f"the objective returned Aux.buffers of the structure {given}, but params['buffers'] has {kept} (None: "
                "no buffers); to leave the buffers unchanged, return vae_jax.params.split_buffers(params)[1]"
            )
        updates, opt_state = extended.update(gradient, state.opt_state, trained, value=loss)
        params = join_buffers(optax.apply_updates(trained, updates), aux.buffers)
        return TrainState(state.step + 1, params, opt_state), {"loss": loss, **aux.metrics}

    return step


def differentiated(
    model: Trainable, objective: Objective, state: TrainState, key: jax.Array, batch: Any, microbatches: int = 1
) -> tuple[tuple[jax.Array, Aux], Any]:
    """((loss, aux), gradient of the trained parameters) of the training step from a state."""
    trained, buffers = split_buffers(state.params)
    objective, step_key, batch = inputs_of_step(objective, state.step, key, batch)

    def value_and_gradient(key: jax.Array, batch: Any) -> tuple[tuple[jax.Array, Aux], Any]:
        loss_of = lambda trained: objective(model, join_buffers(trained, buffers), key, batch)
        return jax.value_and_grad(loss_of, has_aux=True)(trained)

    if microbatches == 1:
        return value_and_gradient(step_key, batch)

    size = num_examples("batch", batch)
    check_microbatches(objective, microbatches, size)
    # Each microbatch takes every m-th example, not a block: a batch is split over devices in blocks, and each device
    # then holds its share of every microbatch.
    in_parts = lambda leaf: leaf.reshape(size // microbatches, microbatches, *leaf.shape[1:]).swapaxes(0, 1)
    parts = jax.tree.map(in_parts, (keys_of_examples(step_key, size), batch))

    def add(total: Params, part: tuple[jax.Array, Any]) -> tuple[Params, tuple[jax.Array, Metrics]]:
        (loss, aux), gradient = value_and_gradient(*part)
        return jax.tree.map(jnp.add, total, gradient), (loss, aux.metrics)

    total, values = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, trained), parts)
    loss, metrics = jax.tree.map(partial(jnp.mean, axis=0), values)
    return (loss, Aux(metrics, buffers)), jax.tree.map(lambda leaf: leaf / microbatches, total)


def inputs_of_step(objective: Objective, step: Any, key: jax.Array, batch: Any) -> tuple[Objective, jax.Array, Any]:
    """The objective, the key and the preprocessed batch of a training step, given its number and the run's key."""
    return preprocessed(at_step(objective, step), jax.random.fold_in(key, step), batch)


def check_microbatches(objective: Objective, microbatches: int, batch_size: int | None = None) -> None:
    """Raises ValueError if a batch of this size (None: not known yet) cannot be computed in this many microbatches."""
    check_count("microbatches", microbatches)
    if microbatches > 1 and not is_mean_over_examples(objective):
        raise ValueError(
            f"microbatches must be 1 for an objective that needs its whole batch, got {microbatches}: only a mean "
            "over examples (objectives.mean_over_batch) may be computed in parts"
        )
    if batch_size is not None and batch_size % microbatches:
        raise ValueError(f"microbatches must divide the batch size, {batch_size}, got {microbatches}")
