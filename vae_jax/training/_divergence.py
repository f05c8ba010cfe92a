"""Explanation of a divergence: the step that is not finite, found from the last state that is kept."""

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
from vae_jax.training._step import TrainState, as_computed, differentiated

_TERMS = {"rate": "the rate, KL(q(z | x) || p(z)),", "distortion": "the distortion, -log p(x | z),"}
_SUMS = ("elbo", "loss")  # of other terms, which say more
_STANDARD = 10.0  # means and standard deviations above it are not of standardized data


class Divergence(NamedTuple):
    """Place and cause of a divergence."""

    epoch: int  # from 1
    step: int  # the one that is not finite, from 1; the state that is kept is the one before it
    term: str  # of the loss, in words
    example: int | None  # its index in the training data; None if it is not known
    position: int | None  # its index in the batch; None if no single example is to blame
    message: str


class Diverged(FloatingPointError):
    """Raised if the training or validation loss is not finite; the last finite parameters have been saved."""


# (step, from 0) -> its batch, and the index of each of its examples in the training data (None: not known)
BatchOf = Callable[[int], tuple[Any, np.ndarray | None]]


class Replay(NamedTuple):
    """Plan, keys and batches of a fit, to repeat any of its steps."""

    plan: Plan
    keys: Keys
    batch_of: BatchOf

    def step(self, state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        """The step from a state, as it was taken."""
        return self.plan.step(state, self.keys.train, batch)

    def as_computed(self, state: TrainState, batch: Any) -> tuple[Objective, jax.Array, Any]:
        """The objective, the key and the batch, preprocessed, of the step from a state."""
        return as_computed(self.plan.objective, state.step, self.keys.train, batch)


def explain(replay: Replay, state: TrainState, last_row: Row) -> tuple[TrainState, Divergence]:
    """The last finite state of a model that diverged, and why the step from it is not finite.

    Given the last finite state itself, it returns the same state and the same explanation.

    Args:
      replay: the fit.
      state: any state of the epoch that diverged, before the step that did.
      last_row: of the history, the epoch that is not finite.
    """
    if math.isfinite(last_row["train/loss"]):
        return state, _of_validation(last_row, int(state.step))
    # A state at the epoch's end was kept because none of its steps had failed when it was taken again.
    state, failed = _walk(replay, state) if int(state.step) < last_row["step"] else (state, False)
    number = int(state.step)
    if not failed:
        epoch = int(last_row["epoch"])
        message = (
            f"the training loss is not finite in epoch {epoch} ({last_row['train/loss']:g}), but each of its steps is "
            "when it is taken again alone; the parameters at its end are kept: lower the learning rate"
        )
        return state, Divergence(epoch, number, "the training loss", None, None, message)
    batch, indices = replay.batch_of(number)
    size = num_examples("batch", batch)
    term, value, positions = _cause(replay, state, batch)
    num_steps = replay.plan.steps_per_epoch
    epoch, of_epoch = divmod(number, num_steps)
    position, example, whose = None, None, "for its batch as a whole"
    if positions:
        position = positions[0]
        example = None if indices is None else int(indices[position])
        place = f"position {position} of the batch"
        first = f"at {place}" if example is None else f"at example {example} of train ({place})"
        alone = len(positions) == 1
        whose = first if alone else f"at {len(positions)} of the {size} examples of its batch, first {first}"
    message = (
        f"training diverged in epoch {epoch + 1} at step {number + 1} (step {of_epoch + 1} of {num_steps}): {term} is "
        f"not finite ({value:g}), {whose}; the parameters before that step are kept: "
        f"{_advice(replay, state, batch, len(positions))}"
    )
    return state, Divergence(epoch + 1, number + 1, term.rstrip(","), example, position, message)


def _of_validation(row: Row, step: int) -> Divergence:
    values = {name.removeprefix("validation/"): row[name] for name in row if name.startswith("validation/")}
    term, value = _first_term(values)
    epoch = int(row["epoch"])
    message = (
        f"the validation loss is not finite after epoch {epoch} (step {step}), though the training loss is "
        f"({row['train/loss']:g}): {term} of the validation examples is {value:g}; the parameters after that epoch are "
        "kept: look for extreme values in validation, or lower the learning rate"
    )
    return Divergence(epoch, step, f"{term.rstrip(',')} of the validation examples", None, None, message)


def _walk(replay: Replay, state: TrainState) -> tuple[TrainState, bool]:
    """Repeats the epoch step by step; returns the state before the step that fails, and whether one does."""

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
    """The term that is not finite, its value, and the positions in the batch of the examples whose own it is."""
    plan, key = replay.plan, replay.keys.train
    compute = lambda state, batch: differentiated(plan.model, plan.objective, state, key, batch, plan.microbatches)
    (loss, aux), gradient = jax.jit(compute)(state, batch)
    values = {name: float(value) for name, value in {**aux.metrics, "loss": loss}.items() if jnp.ndim(value) == 0}
    if not math.isfinite(float(loss)):
        return *_first_term(values), _examples(replay, state, batch, with_gradient=False)
    name = _first_leaf(gradient)
    if name is not None:
        return f"the gradient of {name}", math.nan, _examples(replay, state, batch, with_gradient=True)
    name = _first_leaf(split_buffers(jax.jit(replay.step)(state, batch)[0].params)[0])
    return f"the optimizer's update of {name or 'the parameters'}", math.nan, ()


def _first_term(values: dict[str, float]) -> tuple[str, float]:
    names = [name for name, value in values.items() if not math.isfinite(value)]
    # Parts before their sums, and the distortion before other parts.
    name = min(names, key=lambda name: (name in _SUMS, name != "distortion", name != "rate"), default="loss")
    return _TERMS.get(name, f"the {name}"), values.get(name, math.nan)


def _first_leaf(tree: Any) -> str | None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and not bool(jnp.all(jnp.isfinite(leaf))):
            return jax.tree_util.keystr(path, simple=True, separator="/")
    return None


def _examples(replay: Replay, state: TrainState, batch: Any, with_gradient: bool) -> tuple[int, ...]:
    """The examples on which alone the objective is not finite; none if it takes no example alone."""
    trained, buffers = split_buffers(state.params)

    def is_finite(trained: Any, objective: Objective, key: jax.Array, example: Any) -> jax.Array:
        one = jax.tree.map(lambda leaf: leaf[None], example)
        loss_of = lambda trained: objective(replay.plan.model, join_buffers(trained, buffers), key, one)
        if not with_gradient:
            return jnp.isfinite(loss_of(trained)[0])
        gradient = jax.grad(loss_of, has_aux=True)(trained)[0]
        return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient)]))

    @partial(jax.jit, static_argnums=2)
    def of_all(trained: Any, batch: Any, own_keys: bool) -> jax.Array:
        objective, key, prepared = replay.as_computed(state, batch)
        keys = keys_of_examples(key, num_examples("batch", batch))[:, None]
        key_of = lambda keys: keys if own_keys else key
        return jax.lax.map(lambda args: is_finite(trained, objective, key_of(args[0]), args[1]), (keys, prepared))

    # With the key that each example has in the batch, or for an objective that takes but one key, with that.
    for own_keys in (True, False):
        try:
            finite = np.asarray(of_all(trained, batch, own_keys))
        except Exception:  # whatever an objective of the user's raises that takes one key, or more than one example
            continue
        return tuple(np.flatnonzero(~finite).tolist())
    return ()


def _advice(replay: Replay, state: TrainState, batch: Any, to_blame: int) -> str:
    seen = replay.as_computed(state, batch)[2]
    general = "lower the learning rate, or clip the gradient (optax.clip_by_global_norm)"
    if to_blame == 1:
        general = "look at that example, or lower the learning rate"
    leaves = jax.tree.leaves_with_path(seen.x if isinstance(seen, Example) else seen)
    for path, leaf in leaves:  # noqa: B007, the path of the leaf at which the loop ended
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            continue
        # Scaled, for squares of values that are far from standardized may overflow; on the devices, of which each
        # process may have a part of the batch.
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
