"""A large batch in the memory of a small one: the gradient is summed over microbatches, one after another."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

from vae_jax.models._model import VAE, model_input
from vae_jax.objectives._batch import Aux, Objective, keys_of_examples
from vae_jax.objectives._checks import check_at_least_1
from vae_jax.objectives._scheduled import Scheduled
from vae_jax.params import Params

# (what all examples share, one microbatch: its keys and examples) -> any tree of floating-point numbers
OfMicrobatch = Callable[[list, Any], Any]


def accumulated(objective: Objective, num_microbatches: int) -> Objective:
    """The objective of a batch of B as the mean over m microbatches of B / m: the same number, draw for draw.

    Where it is differentiated, the gradient of each microbatch is computed together with its loss and added up, so
    that only one microbatch's activations are held at any time, and no pass forward is done twice. Every example has
    the key that it has in the whole batch: loss, metrics and gradient are the objective's own up to rounding. Of a
    `Scheduled` objective it is one again.

    Metrics have no derivative. `on_prepared` goes around it, not inside: the batch is prepared as a whole.

    Args:
      objective: a mean over the examples, each with a key of its own, as `mean_over_batch` and `map_over_batch` make
        it. Not one of a statistic of its batch, such as `free_bits`: nothing tells the two apart, and this would be
        the mean of what it is for each microbatch. Not `quantized` with codebooks of moving averages, which is
        refused: a code is a quotient, and a revived one a vector of the batch. Other buffers that it changes are
        averaged over the microbatches, each from the same start: right for an update linear in a mean over the batch
        (a moving average of one).
      num_microbatches: m, at least 1; it divides B wherever the objective is differentiated. Without a derivative
        there is nothing to accumulate, and any B will do: validation ends with a smaller batch.

    Raises:
      ValueError: where m is below 1; by the objective, where it updates codebooks by its batch; when it is
        differentiated, where m does not divide B, or with respect to the batch.
      TypeError: by the objective, where it returns something other than floating-point numbers that is not one of its
        parameters unchanged: only those have a mean. In forward mode (`jax.jvp`), by JAX.
    """
    check_at_least_1("num_microbatches", num_microbatches)
    if num_microbatches == 1:
        return objective
    if isinstance(objective, Scheduled):
        at = objective.at
        return Scheduled(lambda step: accumulated(at(step), num_microbatches), objective.warm_up_steps)

    def of_batch(model: VAE, params: Params, key: jax.Array, batch: jax.Array) -> tuple[jax.Array, Aux]:
        batch = model_input("batch", batch)
        size = batch.shape[0]
        parts = math.gcd(size, num_microbatches)
        examples = (keys_of_examples(key, size), batch)
        # Every parts-th example, not a block of them: where the batch is split over devices in blocks, each device has
        # its share of every microbatch.
        in_parts = lambda leaf: leaf.reshape(size // parts, parts, *leaf.shape[1:]).swapaxes(0, 1)
        microbatches = jax.tree.map(in_parts, examples)
        first = jax.eval_shape(lambda tree: jax.tree.map(lambda leaf: leaf[0], tree), microbatches)
        # As a program of its inputs alone: whatever else the objective was made of (a traced beta, say) becomes one
        # of them, for a rule of differentiation must not close over what is traced.
        program, shapes = jax.make_jaxpr(lambda *args: objective(model, *args), return_shape=True)(params, *first)
        shared = [*program.consts, *jax.tree.leaves(params)]
        # An output that is such an input, as are buffers that pass through, stays as it is.
        same = dict(zip([*program.jaxpr.constvars, *program.jaxpr.invars], shared, strict=False))
        outvars = program.jaxpr.outvars
        varying = [i for i, var in enumerate(outvars) if i == 0 or isinstance(var, Literal) or var not in same]
        _check_have_means(shapes, varying)

        def one(shared: list, microbatch: Any) -> list:
            constants, leaves = shared[: len(program.consts)], shared[len(program.consts) :]
            outputs = jaxpr_as_fun(ClosedJaxpr(program.jaxpr, constants))(*leaves, *jax.tree.leaves(microbatch))
            return [outputs[i] for i in varying]

        loss, *others = _differentiable_mean(one, num_microbatches, size)(shared, microbatches)
        means = dict(zip(varying, [loss, *map(jax.lax.stop_gradient, others)], strict=True))
        outputs = [means[i] if i in means else same[var] for i, var in enumerate(outvars)]
        return jax.tree.unflatten(jax.tree.structure(shapes), outputs)

    return of_batch


def _differentiable_mean(one: OfMicrobatch, num_microbatches: int, size: int) -> OfMicrobatch:
    """The mean of `one`, its first output differentiable with respect to `shared`, the others not at all."""

    @jax.custom_vjp
    def mean(shared: list, microbatches: Any) -> list:
        return _mean(one, shared, microbatches)

    def forward(shared: list, microbatches: Any) -> tuple[list, list]:
        if size % num_microbatches:
            raise ValueError(f"num_microbatches must divide the batch size, {size}, got {num_microbatches}")
        if any(leaf.perturbed for leaf in jax.tree.leaves(microbatches)):
            raise ValueError(
                "batch: an accumulated objective has no derivative with respect to it, only to parameters; "
                "differentiate the objective itself"
            )
        values, wanted = [leaf.value for leaf in shared], [leaf.perturbed for leaf in shared]

        def with_gradient(shared: list, microbatch: Any) -> tuple[list, list]:
            def loss_of(chosen: list) -> tuple[jax.Array, list]:
                remaining = iter(chosen)
                merged = [next(remaining) if w else value for value, w in zip(shared, wanted, strict=True)]
                loss, *others = one(merged, microbatch)
                return loss, others

            chosen = [value for value, w in zip(shared, wanted, strict=True) if w]
            (loss, others), gradient = jax.value_and_grad(loss_of, has_aux=True)(chosen)
            return [loss, *others], gradient

        outputs, gradient = _mean(with_gradient, values, jax.tree.map(lambda leaf: leaf.value, microbatches))
        remaining = iter(gradient)
        return outputs, [next(remaining) if w else None for w in wanted]

    def backward(gradient: list, cotangents: list) -> tuple[list, None]:
        cotangent = cotangents[0]
        if isinstance(cotangent, SymbolicZero):
            return [None] * len(gradient), None
        # A parameter's gradient is of its own type, whatever that of the loss.
        return [None if g is None else (cotangent * g).astype(g.dtype) for g in gradient], None

    mean.defvjp(forward, backward, symbolic_zeros=True)
    return mean


def _mean(function: OfMicrobatch, shared: list, microbatches: Any) -> Any:
    num, first = jax.tree.leaves(microbatches)[0].shape[0], jax.tree.map(lambda leaf: leaf[0], microbatches)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(function, shared, first))
    add = lambda total, microbatch: (jax.tree.map(jnp.add, total, function(shared, microbatch)), None)
    total, _ = jax.lax.scan(add, zeros, microbatches)
    return jax.tree.map(lambda leaf: leaf / num, total)


def _check_have_means(shapes: Any, varying: list[int]) -> None:
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    for path, leaf in (leaves[i] for i in varying):
        if any(getattr(entry, "key", None) == "quantizers" for entry in path):
            raise ValueError(
                "objective: it updates codebooks by the batch as a whole, which is not the mean of updates by "
                "microbatches; use a smaller batch without accumulated"
            )
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"objective: its output {jax.tree_util.keystr(path)} changes and is of {leaf.dtype}, which has no mean "
                "over microbatches; only floating-point numbers do"
            )
