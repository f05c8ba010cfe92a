"""ONNX for the primitives of JAX that gather, scatter or sort elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vae_jax.export._onnx_call import Call, Handler
from vae_jax.export._onnx_graph import Graph, Spec, Value, constant, is_static

BOOL, INT32, INT64 = np.dtype(bool), np.dtype(np.int32), np.dtype(np.int64)


def fills(mode: Any) -> bool:
    """Returns True if elements at indices out of range get a fill value (or, in a scatter, are dropped)."""
    return "FILL" in str(mode)


def clipped(graph: Graph, indices: Value, largest: Any) -> Value:
    """Clips indices to [0, largest]; largest is a number, or one for each element of the last axis.

    Raises:
      ValueError: If largest depends on the batch.
    """
    if not isinstance(largest, np.ndarray) and not is_static([largest]):
        raise ValueError("an index along the batch is not supported")
    if indices.constant is not None:
        return constant(np.clip(indices.numbers(), 0, largest).astype(indices.dtype))
    least, most = constant(np.zeros((), indices.dtype)), constant(np.asarray(largest, indices.dtype))
    above = graph.node("Max", [indices, least], indices.shape, indices.dtype)
    return graph.node("Min", [above, most], indices.shape, indices.dtype)


def gather(call: Call) -> Value:
    numbers, sizes, graph = call.params["dimension_numbers"], call.params["slice_sizes"], call.graph
    operand, indices = call.inputs
    if indices.rank == 1 and not numbers.collapsed_slice_dims:
        return slice_from(
            call, operand, dict(zip(numbers.start_index_map, columns(graph, indices), strict=True)), sizes
        )
    indexed, batched = list(numbers.start_index_map), list(numbers.operand_batching_dims)
    if sorted(indexed) != sorted(numbers.collapsed_slice_dims):
        raise ValueError("a gather of slices is only supported for a single start index vector")
    rest = [axis for axis in range(operand.rank) if axis not in (*indexed, *batched)]
    largest = np.asarray([operand.shape[axis] - 1 for axis in indexed])
    inside = known = indices if "PROMISE" in str(call.params["mode"]) else clipped(graph, indices, largest)
    first = list(numbers.start_indices_batching_dims)
    places = [*first, *(axis for axis in range(indices.rank - 1) if axis not in first)]
    inside = graph.transpose(inside, [*places, indices.rank - 1])
    # Shape of the gathered elements: the axes of the indices, then the remaining axes of the operand.
    shape = (*inside.shape[:-1], *(operand.shape[axis] for axis in rest))
    table = graph.transpose(operand, [*batched, *indexed, *rest])
    if len(indexed) == 1 and not batched:
        found = graph.node("Gather", [table, graph.reshape(inside, inside.shape[:-1])], shape, call.dtype, axis=0)
    else:
        found = graph.node("GatherND", [table, graph.cast(inside, INT64)], shape, call.dtype, batch_dims=len(batched))
    outer = [axis for axis in range(len(shape)) if axis not in numbers.offset_dims]
    order = [*(outer[axis] for axis in places), *numbers.offset_dims]
    result = graph.transpose(found, np.argsort(order).tolist())
    if not fills(call.params["mode"]):
        return result
    same = graph.node("Equal", [indices, known], indices.shape, BOOL)
    in_range = all_true(graph, same, [indices.rank - 1])
    aligned = [1 if axis in numbers.offset_dims else size for axis, size in enumerate(call.shape)]
    missing = constant(np.asarray(call.params["fill_value"], call.dtype))
    return call.where(graph.reshape(in_range, tuple(aligned)), result, missing)


def all_true(graph: Graph, value: Value, axes: list[int]) -> Value:
    shape = tuple(size for axis, size in enumerate(value.shape) if axis not in axes)
    if all(value.shape[axis] == 1 for axis in axes):
        return graph.reshape(value, shape)
    along = constant(np.asarray(axes, np.int64))
    least = graph.node("ReduceMin", [graph.cast(value, INT32), along], shape, INT32, keepdims=0)
    return graph.cast(least, BOOL)


def columns(graph: Graph, indices: Value) -> list[Value]:
    """Elements of a vector, each `[1]`."""
    if indices.constant is not None:
        return [constant(number) for number in indices.numbers()[:, None]]
    if indices.shape == (1,):
        return [indices]
    at = lambda number: constant(np.asarray([number], np.int64))
    take = lambda i: graph.node("Gather", [indices, at(i)], (1,), indices.dtype, axis=0)
    return [take(i) for i in range(indices.shape[0])]


def slice_from(call: Call, operand: Value, starts: dict[int, Value], sizes: Any) -> Value:
    """Slice of these sizes from the starts `[1]`, which are clipped so that the slice fits."""
    if fills(call.params.get("mode")):
        raise ValueError("a slice at an index that may be out of range is not supported; clip the index")
    graph = call.graph
    for axis, start in starts.items():
        size, length = sizes[axis], operand.shape[axis]
        if size == length:
            continue
        start = clipped(graph, start, length - size)
        shape = (*operand.shape[:axis], size, *operand.shape[axis + 1 :])
        if size == 1:
            operand = graph.node("Gather", [operand, start], shape, call.dtype, axis=int(axis))
        else:
            end = graph.node("Add", [start, constant(np.asarray([size], start.dtype))], (1,), start.dtype)
            along = constant(np.asarray([axis], start.dtype))
            operand = graph.node("Slice", [operand, start, end, along], shape, call.dtype)
    return graph.reshape(operand, call.shape)


def dynamic_slice(call: Call) -> Value:
    operand, *starts = call.inputs
    by_axis = {axis: call.graph.reshape(start, (1,)) for axis, start in enumerate(starts)}
    return slice_from(call, operand, by_axis, call.params["slice_sizes"])


def update_from(call: Call, operand: Value, update: Value, starts: dict[int, Value]) -> Value:
    """Operand with the update written from the starts `[1]`, which are clipped so that the update fits."""
    graph, masks = call.graph, []
    for axis, start in starts.items():
        size, length = update.shape[axis], operand.shape[axis]
        if size == length:
            continue
        start = clipped(graph, start, length - size)
        behind = graph.node("Sub", [constant(np.arange(length, dtype=start.dtype)), start], (length,), start.dtype)
        inside = clipped(graph, behind, size - 1)
        column = tuple(length if a == axis else 1 for a in range(operand.rank))
        masks.append(graph.reshape(graph.node("Equal", [behind, inside], (length,), BOOL), column))
        if size > 1:
            shape = (*update.shape[:axis], length, *update.shape[axis + 1 :])
            update = graph.node("Gather", [update, inside], shape, call.dtype, axis=int(axis))
    for mask in masks:
        # Combined over the axes: outside the update's range in any axis the operand is unchanged.
        masked = np.broadcast_shapes(*(m.shape for m in masks))
        masks[0] = mask if mask is masks[0] else graph.node("And", [masks[0], mask], masked, BOOL)
    return call.where(masks[0], update, operand) if masks else update


def dynamic_update_slice(call: Call) -> Value:
    operand, update, *starts = call.inputs
    return update_from(call, operand, update, {a: call.graph.reshape(s, (1,)) for a, s in enumerate(starts)})


def scatter(call: Call) -> Value:
    """Writes a scatter of a window at one index (a mapped dynamic_update_slice), or of elements along one axis."""
    numbers, graph = call.params["dimension_numbers"], call.graph
    operand, indices, update = call.inputs
    axes = list(numbers.scatter_dims_to_operand_dims)
    if indices.rank == 1 and not numbers.inserted_window_dims and not fills(call.params["mode"]):
        return update_from(call, operand, update, dict(zip(axes, columns(graph, indices), strict=True)))
    batched = list(numbers.operand_batching_dims)
    if numbers.update_window_dims or len(axes) != 1 or batched != [a for a in range(operand.rank) if a != axes[0]]:
        raise ValueError("a scatter is only supported for single elements along one axis, or for one window")
    order = [*batched, *axes]
    if list(numbers.scatter_indices_batching_dims) != list(range(len(batched))):
        raise ValueError("a scatter whose indices have their batch axes behind others is not supported")
    # ScatterElements takes one axis of indices after the batch axes.
    along, length = len(batched), operand.shape[axes[0]]
    flat = (*update.shape[:along], math.prod(update.shape[along:]))
    places, update = graph.cast(graph.reshape(indices, flat), INT64), graph.reshape(update, flat)
    table, drops = graph.transpose(operand, order), False
    if "PROMISE" not in str(call.params["mode"]):
        known = clipped(graph, places, length - 1)
        drops = fills(call.params["mode"]) and not same_constant(places, known)
        if drops:
            # Elements out of range are written to an additional place at the end, which is then removed.
            inside = graph.node("Equal", [places, known], flat, BOOL)
            places = graph.node("Where", [inside, places, constant(np.asarray(length, np.int64))], flat, INT64)
            table = padded(graph, table, along)
        else:
            places = known
    result = graph.node("ScatterElements", [table, places, update], table.shape, call.dtype, axis=along)
    if drops:
        start, end, axis = (constant(np.asarray([number], np.int64)) for number in (0, length, along))
        result = graph.node("Slice", [result, start, end, axis], (*table.shape[:along], length), call.dtype)
    return graph.transpose(result, np.argsort(order).tolist())


def same_constant(first: Value, second: Value) -> bool:
    constants = first.constant is not None and second.constant is not None
    return constants and np.array_equal(first.numbers(), second.numbers())


def padded(graph: Graph, value: Value, axis: int) -> Value:
    """Appends an element to the last axis, which is `axis`."""
    widths = np.zeros(2 * value.rank, np.int64)
    widths[-1] = 1
    shape = (*value.shape[:axis], value.shape[axis] + 1)
    return graph.node("Pad", [value, constant(widths)], shape, value.dtype)


def sort(call: Call) -> list[Value]:
    if call.params["num_keys"] != 1:
        raise ValueError("a sort by more than one key is not supported")
    axis, (keys, *others) = call.params["dimension"], call.inputs
    count = constant(np.asarray([keys.shape[axis]], np.int64))
    # TopK keeps the order of equal keys, as a stable sort.
    specs = [Spec(keys.shape, keys.dtype), Spec(keys.shape, INT64)]
    values, places = call.graph.emit("TopK", [keys, count], specs, axis=axis, largest=0, sorted=1)
    arranged = lambda x: call.graph.node("GatherElements", [x, places], x.shape, x.dtype, axis=axis)
    return [values, *(arranged(other) for other in others)]


def stack(call: Call) -> Value:
    axis = call.params["axis"]
    shape = (*call.shape[:axis], 1, *call.shape[axis + 1 :])
    parts = [call.graph.reshape(x, shape) for x in call.inputs]
    return parts[0] if len(parts) == 1 else call.node("Concat", parts, axis=axis)


def unstack(call: Call) -> list[Value]:
    (x,), axis = call.inputs, call.params["axis"]
    specs = [Spec((*o.shape[:axis], 1, *o.shape[axis:]), o.dtype) for o in call.outputs]
    parts = call.graph.emit("Split", [x, constant(np.ones(len(specs), np.int64))], specs, axis=axis)
    return [call.graph.reshape(part, o.shape) for part, o in zip(parts, call.outputs, strict=True)]


INDEXING: dict[str, Handler] = {
    "gather": gather,
    "dynamic_slice": dynamic_slice,
    "dynamic_update_slice": dynamic_update_slice,
    "scatter": scatter,
    "sort": sort,
    "stack": stack,
    "unstack": unstack,  # since JAX 0.12
}
