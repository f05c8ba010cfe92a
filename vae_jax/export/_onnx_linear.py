"""ONNX for matrix products and convolutions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vae_jax.export._onnx_call import Call, Handler
from vae_jax.export._onnx_graph import Value


def dot_general(call: Call) -> Value:
    """Writes a MatMul of `[batch, rows, summed]` and `[batch, summed, columns]`."""
    (left_sum, right_sum), (left_batch, right_batch) = call.params["dimension_numbers"]
    graph, (left, right) = call.graph, call.inputs
    left_free = [a for a in range(left.rank) if a not in (*left_sum, *left_batch)]
    right_free = [a for a in range(right.rank) if a not in (*right_sum, *right_batch)]
    batch = [left.shape[a] for a in left_batch]
    sizes = [left.shape[a] for a in left_sum]
    rows, columns = [left.shape[a] for a in left_free], [right.shape[a] for a in right_free]
    left = graph.transpose(left, [*left_batch, *left_free, *left_sum])
    right = graph.transpose(right, [*right_batch, *right_sum, *right_free])
    # MatMul accepts several axes of rows if the right side has no batch.
    kept = rows if not batch and rows else [math.prod(rows)]
    left = graph.reshape(left, (*batch, *kept, math.prod(sizes)))
    right = graph.reshape(right, (*batch, math.prod(sizes), math.prod(columns)))
    product = graph.node("MatMul", [left, right], (*batch, *kept, math.prod(columns)), call.dtype)
    return graph.reshape(product, call.shape)


def single_model_operands(call: Call) -> tuple[Value, Value]:
    """Images and kernel of this package's convolution primitives, without the axis of models, which has length 1.

    Raises:
      ValueError: If there are several models.
    """
    images, kernel = call.inputs
    if kernel.shape[0] != 1:
        raise ValueError(
            f"convolutions of {kernel.shape[0]} models at once are not supported; export one model at a time"
        )
    return call.graph.reshape(images, images.shape[1:]), call.graph.reshape(kernel, kernel.shape[1:])


def convolution_output(call: Call) -> Value:
    x, kernel = single_model_operands(call)
    geometry = call.params["geometry"]
    result = convolve(call, "Conv", x, call.graph.transpose(kernel, (3, 2, 0, 1)), call.shape[1:], geometry)
    return call.graph.reshape(result, call.shape)


def convolution_image(call: Call) -> Value:
    y, kernel = single_model_operands(call)
    geometry = call.params["geometry"]
    # Number of pixels at the end of each axis that no kernel position covers.
    missing = [
        size - (geometry.stride * (count - 1) + k - 2 * geometry.padding)
        for size, count, k in zip(geometry.image, geometry.output, geometry.kernel, strict=True)
    ]
    weights = call.graph.transpose(kernel, (3, 2, 0, 1))
    result = convolve(call, "ConvTranspose", y, weights, call.shape[1:], geometry, output_padding=missing)
    return call.graph.reshape(result, call.shape)


def convolve(call: Call, operator: str, x: Value, weights: Value, shape: Any, geometry: Any, **more: Any) -> Value:
    """Applies a convolution operator of ONNX, which has channels first, to `[N, H, W, C]`."""
    graph = call.graph
    channels_first = (shape[0], shape[3], shape[1], shape[2])
    result = graph.node(
        operator,
        [graph.transpose(x, (0, 3, 1, 2)), weights],
        channels_first,
        call.dtype,
        kernel_shape=list(geometry.kernel),
        strides=[geometry.stride] * 2,
        pads=[geometry.padding] * 4,
        **more,
    )
    return graph.transpose(result, (0, 2, 3, 1))


def conv_general_dilated(call: Call) -> Value:
    (x, kernel), params, graph = call.inputs, call.params, call.graph
    numbers = params["dimension_numbers"]
    if any(d != 1 for d in params["lhs_dilation"]) or params["batch_group_count"] != 1:
        raise ValueError("a convolution with lhs_dilation or batch groups is not supported")
    order = numbers.out_spec
    shape = tuple(call.shape[axis] for axis in order)
    low, high = zip(*params["padding"], strict=True)
    result = graph.node(
        "Conv",
        [graph.transpose(x, numbers.lhs_spec), graph.transpose(kernel, numbers.rhs_spec)],
        shape,
        call.dtype,
        kernel_shape=[kernel.shape[axis] for axis in numbers.rhs_spec[2:]],
        strides=list(params["window_strides"]),
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
        pads=[*low, *high],
    )
    return graph.transpose(result, np.argsort(order).tolist())


LINEAR: dict[str, Handler] = {
    "dot_general": dot_general,
    "conv_general_dilated": conv_general_dilated,
    "convolution_output": convolution_output,
    "convolution_image": convolution_image,
}
