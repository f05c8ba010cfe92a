"""ONNX for the primitives of JAX that rearrange elements without changing them."""

from __future__ import annotations

import numpy as np

from vae_jax.export._onnx_call import Call, Handler
from vae_jax.export._onnx_graph import Value, constant, is_static

INT64 = np.dtype(np.int64)


def broadcast_in_dim(call: Call) -> Value:
    (x, *_), shape, axes = call.inputs, call.shape, call.params["broadcast_dimensions"]
    aligned = [1] * len(shape)
    for own, axis in enumerate(axes):
        aligned[int(axis)] = x.shape[own]
    return call.graph.expand(call.graph.reshape(x, tuple(aligned)), shape)


def iota(call: Call) -> Value:
    shape, axis = call.shape, call.params["dimension"]
    length = [1] * len(shape)
    length[axis] = shape[axis]
    if is_static(length):
        counted = constant(np.arange(shape[axis], dtype=call.dtype).reshape(length))
    else:
        end = call.graph.reshape(call.graph.size(shape[axis]), ())
        zero, one = constant(np.int64(0)), constant(np.int64(1))
        numbers = call.graph.node("Range", [zero, end, one], (shape[axis],), INT64)
        counted = call.graph.reshape(call.graph.cast(numbers, call.dtype), tuple(length))
    return call.graph.expand(counted, shape)


def size_of_dimension(call: Call) -> Value:
    """Length of a symbolic dimension, as a number."""
    number = call.graph.reshape(call.graph.size(call.params["dim"]), call.shape)
    return call.graph.cast(number, call.dtype)


def concatenate(call: Call) -> Value:
    return call.node("Concat", call.inputs, axis=call.params["dimension"])


def split(call: Call) -> list[Value]:
    sizes = constant(np.asarray(call.params["sizes"], np.int64))
    return call.graph.emit("Split", [call.inputs[0], sizes], call.outputs, axis=call.params["axis"])


def slice_(call: Call) -> Value:
    (x,), strides = call.inputs, call.params["strides"] or (1,) * call.inputs[0].rank
    starts, ends = call.params["start_indices"], call.params["limit_indices"]
    axes = [a for a in range(x.rank) if (starts[a], ends[a], strides[a]) != (0, x.shape[a], 1)]
    if not axes:
        return x
    if not is_static([v for a in axes for v in (starts[a], ends[a])]):
        raise ValueError("a slice along the batch is not supported")
    vectors = [constant(np.asarray([v[a] for a in axes], np.int64)) for v in (starts, ends)]
    rest = [constant(np.asarray(v, np.int64)) for v in (axes, [strides[a] for a in axes])]
    return call.node("Slice", [x, *vectors, *rest])


def reverse(call: Call) -> Value:
    axes = list(call.params["dimensions"])
    ends = [np.iinfo(np.int64).min] * len(axes)
    vectors = [constant(np.asarray(v, np.int64)) for v in ([-1] * len(axes), ends, axes, [-1] * len(axes))]
    return call.node("Slice", [call.inputs[0], *vectors])


def pad(call: Call) -> Value:
    x, value = call.inputs
    low, high, interior = zip(*call.params["padding_config"], strict=True)
    if any(interior):
        raise ValueError("pad with interior padding is not supported")
    return call.node("Pad", [x, constant(np.asarray([*low, *high], np.int64)), value], mode="constant")


def cumulative(call: Call) -> Value:
    axis = constant(np.asarray(call.params["axis"], np.int64))
    return call.node("CumSum", [call.inputs[0], axis], reverse=int(call.params["reverse"]))


SHAPES: dict[str, Handler] = {
    "reshape": lambda call: call.graph.reshape(call.inputs[0], call.shape),
    "squeeze": lambda call: call.graph.reshape(call.inputs[0], call.shape),
    "transpose": lambda call: call.graph.transpose(call.inputs[0], call.params["permutation"]),
    "broadcast_in_dim": broadcast_in_dim,
    "iota": iota,
    "dim_as_value": size_of_dimension,
    "concatenate": concatenate,
    "split": split,
    "slice": slice_,
    "rev": reverse,
    "pad": pad,
    "cumsum": cumulative,
    "copy": lambda call: call.inputs[0],
    "name": lambda call: call.inputs[0],
    "stop_gradient": lambda call: call.inputs[0],
    "optimization_barrier": lambda call: call.inputs,
}
