"""Explanation of a divergence: the step that is not finite, found by repeating the epoch from the last kept state."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.models._model import Example, num_examples, path_of
from vae_jax.objectives import Objective
from vae_jax.objectives._batch import Metrics, keys_of_examples
from vae_jax.params import join_buffers, split_buffers
from vae_jax.training._history import Row
from vae_jax.training._plan import Keys, Plan, is_finite_step
from vae_jax.training._step import TrainState, differentiated, inputs_of_step

_TERMS = {"rate": "the rate, KL(q(z | x) || p(z)),", "distortion": "the distortion, -log p(x | z),"}
_SUMS = ("elbo", "loss")  # sums of other terms, which are more informative
_STANDARD = 10.0  # data with a mean or standard deviation above this are not standardized


class Divergence(NamedTuple):
    """Place and cause of a divergence."""

    epoch: int  # from 1
    step: int  # first step that is not finite, from 1; the state before it is kept
    term: str  # name of the term of the loss that is not finite
    example: int | None  # index of the example in the training data; None if it is not known
    position: int | None  # index of the example in the batch; None if no single example is the cause
    message: str


class Diverged(FloatingPointError):
    """Raised if the training or validation loss is not finite; the last finite parameters have been saved."""


# (step, from 0) -> the batch, and the index of each of its examples in the training data (None: not known)
BatchOf = Callable[[int], tuple[Any, np.ndarray | None]]


class Replay(NamedTuple):
    """Plan, keys and batches of a fit, to repeat any of its steps."""

    plan: Plan
    keys: Keys
    batch_of: BatchOf

    def step(self, state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        """Repeats the training step from a state."""
        return self.plan.step(state, self.keys.train, batch)

    def inputs_of_step(self, state: TrainState, batch: Any) -> tuple[Objective, jax.Array, Any]:
        """The objective, the key and the preprocessed batch of the step from a state."""
        return inputs_of_step(self.plan.objective, state.step, self.keys.train, batch)


def explain(replay: Replay, state: TrainState, last_row: Row) -> tuple[TrainState, Divergence]:
    """The last finite state of a model that diverged, and the cause of the step from it that is not finite.

    Given the last finite state, it returns that state and the same explanation again.

    Args:
      replay: the fit.
      state: any state of the epoch that diverged, before the step that diverged.
      last_row: the last row of the history, for the epoch that is not finite.
    """
    if math.isfinite(last_row["train/loss"]):
        return state, _explain_validation(last_row, int(state.step))
    # A state at the epoch's end was kept because no step had failed when the epoch was repeated.
    state, failed = _find_failing_step(replay, state) if int(state.step) < last_row["step"] else (state, False)
    number = int(state.step)
    if not failed:
        epoch = int(last_row["epoch"])
        message = (
            f"the training loss is not finite in epoch {epoch} ({last_row['train/loss']:g}), but every step is finite "
            "when it is repeated alone; the parameters at the end of the epoch are kept: lower the learning rate"
        )
        return state, Divergence(epoch, number, "the training loss", None, None, message)
    batch, indices = replay.batch_of(number)
    size = num_examples("batch", batch)
    term, value, positions = _cause(replay, state, batch)
    num_steps = replay.plan.steps_per_epoch
    epoch, step_of_epoch = divmod(number, num_steps)
    position, example, whose = None, None, "for its batch as a whole"
    if positions:
        position = positions[0]
        example = None if indices is None else int(indices[position])
        place = f"position {position} of the batch"
        first = f"at {place}" if example is None else f"at example {example} of train ({place})"
        alone = len(positions) == 1
        whose = first if alone else f"at {len(positions)} of the {size} examples of its batch, first {first}"
    message = (
        f"training diverged in epoch {epoch + 1} at step {number + 1} (step {step_of_epoch + 1} of {num_steps}): "
        f"{term} is not finite ({value:g}), {whose}; the parameters before that step are kept: "
        f"{_advice(replay, state, batch, len(positions))}"
    )
    return state, Divergence(epoch + 1, number + 1, term.rstrip(","), example, position, message)


def _explain_validation(row: Row, step: int) -> Divergence:
    values = {name.removeprefix("validation/"): row[name] for name in row if name.startswith("validation/")}
    term, value = _first_term(values)
    epoch = int(row["epoch"])
    message = (
        f"the validation loss is not finite after epoch {epoch} (step {step}), though the training loss is "
        f"({row['train/loss']:g}): {term} of the validation examples is {value:g}; the parameters after that epoch are "
        "kept: look for extreme values in validation, or lower the learning rate"
    )
    return Divergence(epoch, step, f"{term.rstrip(',')} of the validation examples", None, None, message)


def _find_failing_step(replay: Replay, state: TrainState) -> tuple[TrainState, bool]:
    """Repeats the epoch step by step; returns the state before the first step that fails, and True if a step fails."""

    @jax.jit
    def checked(state: TrainState, batch: Any) -> tuple[TrainState, jax.Array]:
        new, metrics = replay.step(state, batch)
        return new, is_finite_step(state, new, metrics["loss"])

    num_steps = replay.plan.steps_per_epoch
    for number in range(first := int(state.step), (first // num_steps + 1) * num_steps):
        following, finite = checked(state, replay.batch_of(number)[0])
        if not bool(finite):
            return state, True
        state = following
    return state, False


def _cause(replay: Replay, state: TrainState, batch: Any) -> tuple[str, float, tuple[int, ...]]:
    """The term that is not finite, its value, and the positions in the batch of the examples that cause it."""
    plan, key = replay.plan, replay.keys.train
    compute = lambda state, batch: differentiated(plan.model, plan.objective, state, key, batch, plan.microbatches)
    (loss, aux), gradient = jax.jit(compute)(state, batch)
    values = {name: float(value) for name, value in {**aux.metrics, "loss": loss}.items() if jnp.ndim(value) == 0}
    if not math.isfinite(float(loss)):
        return *_first_term(values), _examples(replay, state, batch, with_gradient=False)
    name = _first_nonfinite_leaf(gradient)
    if name is not None:
        return f"the gradient of {name}", math.nan, _examples(replay, state, batch, with_gradient=True)
    name = _first_nonfinite_leaf(split_buffers(jax.jit(replay.step)(state, batch)[0].params)[0])
    return f"the optimizer's update of {name or 'the parameters'}", math.nan, ()


def _first_term(values: dict[str, float]) -> tuple[str, float]:
    names = [name for name, value in values.items() if not math.isfinite(value)]
    # Terms before sums of terms, and the distortion before other terms.
    name = min(names, key=lambda name: (name in _SUMS, name != "distortion", name != "rate"), default="loss")
    return _TERMS.get(name, f"the {name}"), values.get(name, math.nan)


def _first_nonfinite_leaf(tree: Any) -> str | None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and not bool(jnp.all(jnp.isfinite(leaf))):
            return jax.tree_util.keystr(path, simple=True, separator="/")
    return None


def _examples(replay: Replay, state: TrainState, batch: Any, with_gradient: bool) -> tuple[int, ...]:
    """Positions of the examples for which the objective is not finite; empty if it takes no single example."""
    trained, buffers = split_buffers(state.params)

    def is_finite(trained: Any, objective: Objective, key: jax.Array, example: Any) -> jax.Array:
        batch_of_one = jax.tree.map(lambda leaf: leaf[None], example)
        loss_of = lambda trained: objective(replay.plan.model, join_buffers(trained, buffers), key, batch_of_one)
        if not with_gradient:
            return jnp.isfinite(loss_of(trained)[0])
        gradient = jax.grad(loss_of, has_aux=True)(trained)[0]
        return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient)]))

    @partial(jax.jit, static_argnums=2)
    def are_finite(trained: Any, batch: Any, own_keys: bool) -> jax.Array:
        objective, key, preprocessed = replay.inputs_of_step(state, batch)
        keys = keys_of_examples(key, num_examples("batch", batch))[:, None]
        key_of = lambda keys: keys if own_keys else key
        return jax.lax.map(lambda args: is_finite(trained, objective, key_of(args[0]), args[1]), (keys, preprocessed))

    # First with the key that each example has in the batch, then, for an objective that takes one key, with that key.
    for own_keys in (True, False):
        try:
            finite = np.asarray(are_finite(trained, batch, own_keys))
        except Exception:  # any type: an objective of the user's may take only one key, or only several examples
            continue
        return tuple(np.flatnonzero(~finite).tolist())
    return ()


def _advice(replay: Replay, state: TrainState, batch: Any, num_causes: int) -> str:
    preprocessed = replay.inputs_of_step(state, batch)[2]
    general = "lower the learning rate, or clip the gradient (optax.clip_by_global_norm)"
    if num_causes == 1:
        general = "look at that example, or lower the learning rate"
    leaves = jax.tree.leaves_with_path(preprocessed.x if isinstance(preprocessed, Example) else preprocessed)
    for path, leaf in leaves:  # noqa: B007, the path of the leaf at which the loop ended
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            continue
        # Scaled, because squares of large values may overflow; computed on the devices, because each process may hold
        # only a part of the batch.
        scale = jnp.maximum(jnp.max(jnp.abs(leaf)), 1.0).astype(jnp.float32)
        scaled = leaf.astype(jnp.float32) / scale
        mean, deviation = float(scale * scaled.mean()), float(scale * scaled.std())
        if abs(mean) > _STANDARD or deviation > _STANDARD:
            break
    else:
        return general
    first_state, (first_batch, _) = replay.plan.init(replay.keys.init).state, replay.batch_of(0)
    loss = float(jax.jit(replay.step)(first_state, first_batch)[1]["loss"])
    if math.isfinite(loss) and abs(loss) <= 100.0 * sum(math.prod(leaf.shape[1:]) for _, leaf in leaves):
        return general
    return (
        f"the first loss is {loss:.3g}: the data{path_of(path)} have mean {mean:.3g} and standard deviation "
        f"{deviation:.3g}; standardize them, or scale them to [0, 1]"
    )
