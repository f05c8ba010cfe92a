"""Checks of settings and data before training."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vae_jax.distributions._checks import check_count
from vae_jax.models._checks import WrongShape, check_examples
from vae_jax.models._model import VAE, Conditional, Example, check_contexts, check_takes_context, num_examples, path_of
from vae_jax.objectives import Objective, at_step, warm_up_steps_of
from vae_jax.objectives._wrapped import without_preprocessing
from vae_jax.params import Params, split_buffers
from vae_jax.training._evaluated import Evaluated
from vae_jax.training._examples import Examples, batch_at, rows
from vae_jax.training._plan import Plan, split_key
from vae_jax.training._step import check_microbatches, inputs_of_step


def check_fit(plan: Plan, epochs: int, train: Examples, validation: Examples, key: jax.Array) -> None:
    """Raises and warns as documented in `fit`; a warning points to the line that called `fit`."""
    check_plan(plan, epochs, stacklevel=4)
    _check_order(plan, train, key)
    _check_same_structure(*(_shapes_at(examples, key, 1) for examples in (train, validation)))
    check_examples_of(plan, key, "train", train)
    check_examples_of(plan, key, "validation", validation)


def check_plan(plan: Plan, epochs: int, stacklevel: int = 3) -> None:
    """Raises and warns as documented in `fit`, except for the checks of the examples."""
    check_count("epochs", epochs)
    num_steps = epochs * plan.steps_per_epoch
    check_count("the number of training steps, epochs times steps per epoch,", num_steps)
    if plan.patience is not None:
        check_count("patience", plan.patience)
    if num_steps < (warm_up_steps := warm_up_steps_of(plan.objective)):
        warnings.warn(
            f"the objective's warm-up takes {warm_up_steps} steps, but this run ends after {num_steps} steps "
            f"({epochs} epochs of {plan.steps_per_epoch}): no epoch counts as the best, early stopping is off, and the "
            "parameters of the last epoch are kept; train for more epochs, or warm up in fewer steps",
            stacklevel=stacklevel,
        )
    check_microbatches(plan.objective, plan.microbatches, plan.batch_size)
    _ = plan.out_shardings  # raises for a batch size that the mesh does not divide, and for impossible rules
    state = jax.eval_shape(plan.init, jax.random.key(0)).state
    trained, _ = split_buffers(state.params)
    _check_optimizer(plan.optimizer, state.opt_state, trained)
    _check_evaluated(plan.evaluated, state.opt_state, trained)


def _check_optimizer(optimizer: optax.GradientTransformation, opt_state: Any, trained: Params) -> None:
    """Raises ValueError if the optimizer needs more arguments than a training step passes."""
    extended = optax.with_extra_args_support(optimizer)
    update = lambda gradient, opt_state, trained: extended.update(gradient, opt_state, trained, value=jnp.float32(0.0))
    try:
        jax.eval_shape(update, trained, opt_state, trained)
    except Exception as error:  # any type: a missing or unknown argument, or gradients of each example
        raise ValueError(
            "optimizer must compute its update from the gradient, the parameters and the loss (value) of a step, as "
            f"optax.adamw does, got one that fails with these: {_first_line(error)}"
        ) from error


def _check_evaluated(evaluated: Evaluated, opt_state: Any, trained: Params) -> None:
    """Raises ValueError if the function cannot take the optimizer's state, or returns parameters of other types."""
    try:
        found = jax.eval_shape(evaluated, opt_state, trained)
    except Exception as error:  # any type: the function may be the user's
        raise ValueError(f"evaluated must take the state of this optimizer: {_first_line(error)}") from error
    types = lambda tree: {path: f"{leaf.dtype}{leaf.shape}" for path, leaf in jax.tree.leaves_with_path(tree)}
    given, returned = types(trained), types(found)
    for path in given | returned:
        if (was := given.get(path, "nothing")) != (now := returned.get(path, "nothing")):
            raise ValueError(f"evaluated must return params{path_of(path)} with its type unchanged, {was}, got {now}")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def check_examples_of(plan: Plan, key: jax.Array, name: str, examples: Examples) -> None:
    """Raises if `at` returns a wrong number of examples, values are not finite, or the first batch is unsuitable."""
    if (found := num_examples(name, _shapes_at(examples, key, plan.batch_size))) != plan.batch_size:
        raise ValueError(f"{name}.at must return one example for each index, {plan.batch_size}, got {found}")
    key = split_key(key).train
    first = np.arange(min(plan.batch_size, examples.count), dtype=np.int32)
    batch = jax.jit(batch_at)(examples, key, 0, first)  # jitted: the single operations would take longer to compile
    checked = examples.data if examples.at is rows else batch
    check_finite(name, checked)
    check_contexts(plan.model, name, checked)
    _check_first_batch(plan.model, plan.objective, key, name, batch)


def _shapes_at(examples: Examples, key: jax.Array, size: int) -> Any:
    return jax.eval_shape(lambda key: batch_at(examples, key, 0, jnp.arange(size)), key)


def _check_order(plan: Plan, examples: Examples, key: jax.Array) -> None:
    wanted = plan.steps_per_epoch, plan.batch_size
    order = lambda key: examples.order(key, 0, plan.steps_per_epoch, examples.count, plan.batch_size)
    shape = getattr(jax.eval_shape(order, key), "shape", None)
    if shape != wanted:
        raise ValueError(f"train.order must return indices of shape [num_steps, batch_size], {wanted}, got {shape}")


def _check_same_structure(train: Any, validation: Any) -> None:
    """Raises ValueError if two batches, given by their shapes, differ in structure or in the shape of examples."""
    leaves = {
        name: dict(jax.tree.leaves_with_path(tree)) for name, tree in (("train", train), ("validation", validation))
    }
    for name, other in (("train", "validation"), ("validation", "train")):
        for path in leaves[name]:
            if path not in leaves[other]:
                raise ValueError(f"validation must have the structure of train: {other} lacks {name}{path_of(path)}")
    for path, leaf in leaves["train"].items():
        found = leaves["validation"][path].shape[1:]
        if leaf.shape[1:] != found:
            raise ValueError(
                f"validation{path_of(path)} must hold examples of train{path_of(path)}'s shape, {leaf.shape[1:]}, got "
                f"{found}"
            )


def check_finite(name: str, examples: Any) -> None:
    """Raises ValueError, naming the first place, if a pytree of arrays `[N, ...]` has values that are not finite."""
    for path, leaf in jax.tree.leaves_with_path(examples):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            continue
        # Computed on the device of the array: the data are not copied back to the host.
        if bool(np.isfinite(leaf).all() if isinstance(leaf, np.ndarray) else _all_finite(leaf)):
            continue
        wrong = ~np.isfinite(np.asarray(leaf, np.float32 if leaf.dtype.itemsize <= 4 else None))
        count, (example, *position) = int(wrong.sum()), np.argwhere(wrong)[0].tolist()
        values = "1 value that is" if count == 1 else f"{count} values that are"
        place = f", position {tuple(position)}" if position else ""
        raise ValueError(f"{name}{path_of(path)} holds {values} not finite (first at example {example}{place})")


@jax.jit  # the compiled program stores no array of booleans
def _all_finite(examples: jax.Array) -> jax.Array:
    return jnp.all(jnp.isfinite(examples))


def _check_first_batch(model: Any, objective: Objective, key: jax.Array, name: str, batch: Any) -> None:
    """Raises if a batch is, after the objective's preprocessing, outside the support of the model's likelihood.

    Raises also if the examples have neither the model's shape nor a shape that the objective takes (a label beside the
    image), and if the batch has contexts and the model takes none, or has none and the model takes them. The batch of
    an objective of the user's own is not checked, because it may contain preprocessing. Integers that no preprocessing
    has changed are not checked here, because the model refuses them.
    """
    if not (getattr(without_preprocessing(objective), "__module__", None) or "").startswith("vae_jax.objectives"):
        return
    if isinstance(model, VAE | Conditional):
        try:
            check_takes_context(model, isinstance(batch, Example))
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
    preprocessed = jax.jit(lambda key, batch: inputs_of_step(objective, 0, key, batch)[2])(key, batch)
    xs = jax.tree.leaves(preprocessed.x if isinstance(preprocessed, Example) else preprocessed)
    if not any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in xs):
        return
    try:
        check_examples(model, preprocessed, name)
    except WrongShape as error:
        try:
            jax.eval_shape(lambda key, batch: at_step(objective, 0)(model, model.init(key), key, batch), key, batch)
        except Exception:  # any type: the objective fails for this shape in its own way
            raise error from None
