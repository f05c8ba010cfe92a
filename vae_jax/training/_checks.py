"""Checks of numbers and data before anything is trained on them."""

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
from vae_jax.training._step import as_computed, check_microbatches


def check_fit(plan: Plan, epochs: int, train: Examples, validation: Examples, key: jax.Array) -> None:
    """Raises or warns as `fit` says; a warning points to the line that called `fit`."""
    check_plan(plan, epochs, stacklevel=4)
    _check_order(plan, train, key)
    _check_alike(*(_shapes_at(examples, key, 1) for examples in (train, validation)))
    check_examples_of(plan, key, "train", train)
    check_examples_of(plan, key, "validation", validation)


def check_plan(plan: Plan, epochs: int, stacklevel: int = 3) -> None:
    """Raises or warns as `fit` says, for everything but the examples."""
    check_count("epochs", epochs)
    num_steps = epochs * plan.steps_per_epoch
    check_count("the number of training steps, epochs times those of an epoch,", num_steps)
    if plan.patience is not None:
        check_count("patience", plan.patience)
    if num_steps < (warm_up_steps := warm_up_steps_of(plan.objective)):
        warnings.warn(
            f"the objective's warm-up takes {warm_up_steps} steps, and this run ends before it, after {num_steps} "
            f"({epochs} epochs of {plan.steps_per_epoch}): no epoch counts as the best or stops the run early, and the "
            "parameters of the last are kept; train for more epochs, or warm up in fewer steps",
            stacklevel=stacklevel,
        )
    check_microbatches(plan.objective, plan.microbatches, plan.batch_size)
    _ = plan.out_shardings  # refuses a batch that the mesh does not divide, and rules that cannot hold
    state = jax.eval_shape(plan.init, jax.random.key(0)).state
    trained, _ = split_buffers(state.params)
    _check_optimizer(plan.optimizer, state.opt_state, trained)
    _check_evaluated(plan.evaluated, state.opt_state, trained)


def _check_optimizer(optimizer: optax.GradientTransformation, opt_state: Any, trained: Params) -> None:
    """Refuses an optimizer that asks for more than a training step gives it."""
    extended = optax.with_extra_args_support(optimizer)
    update = lambda gradient, opt_state, trained: extended.update(gradient, opt_state, trained, value=jnp.float32(0.0))
    try:
        jax.eval_shape(update, trained, opt_state, trained)
    except Exception as error:  # each asks in its own way: an argument missing or unknown, gradients of each example
        raise ValueError(
            "optimizer must be one that updates from the gradient, the parameters and the loss (value) of a step, as "
            f"optax.adamw does; this one does not: {_first_line(error)}"
        ) from error


def _check_evaluated(evaluated: Evaluated, opt_state: Any, trained: Params) -> None:
    """Refuses a function that cannot take the optimizer's state, or returns other parameters than the model's."""
    try:
        found = jax.eval_shape(evaluated, opt_state, trained)
    except Exception as error:  # of a function of the user's
        raise ValueError(f"evaluated must take the state of this optimizer: {_first_line(error)}") from error
    types = lambda tree: {path: f"{leaf.dtype}{leaf.shape}" for path, leaf in jax.tree.leaves_with_path(tree)}
    given, returned = types(trained), types(found)
    for path in given | returned:
        if (was := given.get(path, "nothing")) != (now := returned.get(path, "nothing")):
            raise ValueError(f"evaluated must return params{path_of(path)} of the type it is given, {was}, got {now}")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def check_examples_of(plan: Plan, key: jax.Array, name: str, examples: Examples) -> None:
    """Refuses a wrong number of examples from `at`, values that are not finite, and a first batch that is unfit."""
    if (found := num_examples(name, _shapes_at(examples, key, plan.batch_size))) != plan.batch_size:
        raise ValueError(f"{name}.at must return one example for each index, {plan.batch_size}, got {found}")
    key = split_key(key).train
    first = np.arange(min(plan.batch_size, examples.count), dtype=np.int32)
    batch = jax.jit(batch_at)(examples, key, 0, first)  # one program: operations one by one take longer to compile
    known = examples.data if examples.at is rows else batch
    check_finite(name, known)
    check_contexts(plan.model, name, known)
    _check_first_batch(plan.model, plan.objective, key, name, batch)


def _shapes_at(examples: Examples, key: jax.Array, size: int) -> Any:
    return jax.eval_shape(lambda key: batch_at(examples, key, 0, jnp.arange(size)), key)


def _check_order(plan: Plan, examples: Examples, key: jax.Array) -> None:
    wanted = plan.steps_per_epoch, plan.batch_size
    order = lambda key: examples.order(key, 0, plan.steps_per_epoch, examples.count, plan.batch_size)
    shape = getattr(jax.eval_shape(order, key), "shape", None)
    if shape != wanted:
        raise ValueError(f"train.order must return indices of shape [num_steps, batch_size], {wanted}, got {shape}")


def _check_alike(train: Any, validation: Any) -> None:
    """Raises ValueError if the batches, known by their shapes alone, are of another structure or shape."""
    one, other = (dict(jax.tree.leaves_with_path(tree)) for tree in (train, validation))
    for name, of_name, lacking, those in (("train", one, "validation", other), ("validation", other, "train", one)):
        for path in of_name:
            if path not in those:
                raise ValueError(f"validation must have the structure of train: {lacking} lacks {name}{path_of(path)}")
    for path, leaf in one.items():
        if leaf.shape[1:] != other[path].shape[1:]:
            raise ValueError(
                f"validation{path_of(path)} must hold examples of train{path_of(path)}'s shape, {leaf.shape[1:]}, got "
                f"{other[path].shape[1:]}"
            )


def check_finite(name: str, examples: Any) -> None:
    """Raises ValueError if a pytree of arrays `[N, ...]` has a value that is not finite, saying where the first is."""
    for path, leaf in jax.tree.leaves_with_path(examples):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            continue
        # Where the array lies: data on the device are not copied back for it.
        if bool(np.isfinite(leaf).all() if isinstance(leaf, np.ndarray) else _all_finite(leaf)):
            continue
        wrong = ~np.isfinite(np.asarray(leaf, np.float32 if leaf.dtype.itemsize <= 4 else None))
        count, (example, *position) = int(wrong.sum()), np.argwhere(wrong)[0].tolist()
        values = "1 value that is" if count == 1 else f"{count} values that are"
        place = f", position {tuple(position)}" if position else ""
        raise ValueError(f"{name}{path_of(path)} holds {values} not finite (first at example {example}{place})")


@jax.jit  # as one program, which makes no array of as many booleans
def _all_finite(examples: jax.Array) -> jax.Array:
    return jnp.all(jnp.isfinite(examples))


def _check_first_batch(model: Any, objective: Objective, key: jax.Array, name: str, batch: Any) -> None:
    """Refuses a batch that is, after the objective's preprocessing, outside the support of the model's likelihood.

    Also one whose examples are neither of the model's shape nor of one that the objective takes (a label beside the
    image), and one with contexts for a model that takes none, or the other way round. An objective of the user's own
    may preprocess by itself, where nobody sees it: its batch is not checked. Nor are integers that no preprocessing has
    changed: the model refuses them.
    """
    if not (getattr(without_preprocessing(objective), "__module__", None) or "").startswith("vae_jax.objectives"):
        return
    if isinstance(model, VAE | Conditional):
        try:
            check_takes_context(model, isinstance(batch, Example))
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
    seen = jax.jit(lambda key, batch: as_computed(objective, 0, key, batch)[2])(key, batch)
    xs = jax.tree.leaves(seen.x if isinstance(seen, Example) else seen)
    if not any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in xs):
        return
    try:
        check_examples(model, seen, name)
    except WrongShape as error:
        try:
            jax.eval_shape(lambda key, batch: at_step(objective, 0)(model, model.init(key), key, batch), key, batch)
        except Exception:  # whatever it makes of a shape that does not suit it
            raise error from None
