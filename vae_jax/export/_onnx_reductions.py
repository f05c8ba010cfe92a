"""ONNX for the primitives of JAX that reduce axes: sums, extrema and their indices."""

from __future__ import annotations

import numpy as np

from vae_jax.export._onnx_call import Call, Handler
from vae_jax.export._onnx_graph import Value, constant

INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)


def reduction(operator: str) -> Handler:
    def handler(call: Call) -> Value:
        axes = constant(np.asarray(call.params["axes"], np.int64))
        if call.dtype != np.dtype(bool):
            return call.node(operator, [call.inputs[0], axes], keepdims=0)
        numbers = call.graph.cast(call.inputs[0], INT32)
        reduced = call.graph.node(operator, [numbers, axes], call.shape, INT32, keepdims=0)
        return call.graph.cast(reduced, call.dtype)

    return handler


def arg_extremum(operator: str) -> Handler:
    def handler(call: Call) -> Value:
        (axis,) = call.params["axes"]
        places = call.graph.node(operator, call.inputs, call.shape, INT64, axis=axis, keepdims=0)
        return call.graph.cast(places, call.dtype)

    return handler


REDUCTIONS: dict[str, Handler] = {
    "reduce_sum": reduction("ReduceSum"),
    "reduce_max": reduction("ReduceMax"),
    "reduce_min": reduction("ReduceMin"),
    "reduce_prod": reduction("ReduceProd"),
    "reduce_and": reduction("ReduceMin"),
    "reduce_or": reduction("ReduceMax"),
    "argmax": arg_extremum("ArgMax"),
    "argmin": arg_extremum("ArgMin"),
}
