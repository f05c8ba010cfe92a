"""Conversion of JAX functions to ONNX models; the table `HANDLERS` has an entry for each supported primitive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from vae_jax.export._onnx_call import Call, Handler
from vae_jax.export._onnx_control import CONTROL
from vae_jax.export._onnx_elementwise import ELEMENTWISE
from vae_jax.export._onnx_graph import (
    IR_VERSION,
    OPSET,
    Graph,
    Spec,
    Value,
    constant,
    exact_type,
    is_static,
    spec_of,
    tensor_info,
)
from vae_jax.export._onnx_indexing import INDEXING
from vae_jax.export._onnx_linear import LINEAR
from vae_jax.export._onnx_reductions import REDUCTIONS
from vae_jax.export._onnx_shapes import SHAPES

HANDLERS: dict[str, Handler] = {**ELEMENTWISE, **SHAPES, **LINEAR, **REDUCTIONS, **INDEXING, **CONTROL}

# Primitives that only call a jaxpr, and the parameter that holds it.
CALLS = {
    "jit": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat2": "jaxpr",
}

# Constants with more elements than this, and than twice their operands have, are computed in the graph.
MAX_FOLDED = 1 << 16


def to_onnx(function: Callable[..., Any], inputs: Mapping[str, jax.ShapeDtypeStruct], name: str) -> Any:
    """Converts a function of batches to an `onnx.ModelProto` for any number N of examples.

    Args:
      function: A function that takes one array for each input, in order, and returns a dict of arrays by name. It holds
        everything else that it needs, such as params.
      inputs: Shape and type of ONE example of each input, by name.
      name: Name of the graph.

    Returns:
      A model of float32, int32 and bool that `onnx.checker` accepts. bfloat16 in the function becomes float32. If NaN
      is compared (maximum, minimum, argmax, argmin, sort), the result is that of the runtime and may differ from JAX's.

    Raises:
      ValueError: If the function uses a primitive that is not in `vae_jax.export._onnx_convert.HANDLERS`, or in a way
        for which ONNX has no operator.
    """
    from onnx import checker, helper, numpy_helper, shape_inference

    (batch,) = jax.export.symbolic_shape("N", constraints=["N >= 1"])
    arguments = [jax.ShapeDtypeStruct((batch, *one.shape), one.dtype) for one in inputs.values()]
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    graph = Graph(batch, next(iter(inputs)))
    values = [Value(a.shape, np.dtype(a.dtype), name) for name, a in zip(inputs, arguments, strict=True)]
    try:
        results = convert(graph, closed, values)
    except ValueError as error:
        raise ValueError(f"the function {name!r} cannot be written as ONNX: {error}") from error
    # JAX sorts the names of a dict.
    for output, value in zip(sorted(shapes), results, strict=True):
        graph.nodes.append(helper.make_node("Identity", [graph.name_of(value)], [output], output))
    nodes = used_nodes(graph.nodes, set(shapes))
    written = helper.make_graph(
        nodes,
        name,
        [tensor_info(n, v.shape, v.dtype) for n, v in zip(inputs, values, strict=True)],
        [tensor_info(n, v.shape, v.dtype) for n, v in zip(sorted(shapes), results, strict=True)],
        [numpy_helper.from_array(array, n) for n, array in graph.weights.arrays.items() if n in read_by(nodes)],
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(written, opset_imports=[opset], ir_version=IR_VERSION, producer_name="vae_jax")
    try:
        checker.check_model(model, full_check=True)
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        raise ValueError(f"the function {name!r} cannot be written as ONNX: {error}") from error
    return model


def read_by(nodes: list[Any]) -> set[str]:
    """Names of the values that nodes and their subgraphs read."""
    names = {name for node in nodes for name in node.input}
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                names |= read_by(list(attribute.g.node)) | {output.name for output in attribute.g.output}
    return names


def used_nodes(nodes: list[Any], outputs: set[str]) -> list[Any]:
    """Nodes on which an output depends."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= read_by([node])
    return kept[::-1]


def convert(graph: Graph, closed: Any, arguments: list[Value]) -> list[Value]:
    """Adds the nodes of a closed jaxpr to the graph and returns its outputs."""
    jaxpr, consts = closed.jaxpr, [constant(c) for c in closed.consts]
    known: dict[Any, Value] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))

    def read(atom: Any) -> Value:
        if isinstance(atom, core.Literal):
            return constant(np.asarray(atom.val, spec_of(atom.aval).dtype))
        return known[atom]

    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        for variable, value in zip(equation.outvars, outputs_of(graph, equation, operands), strict=True):
            known[variable] = value
    return [read(atom) for atom in jaxpr.outvars]


def outputs_of(graph: Graph, equation: Any, operands: list[Value]) -> list[Value]:
    """Outputs of an equation, by conversion of its inner jaxpr, as constants, or by its handler."""
    primitive, outputs = equation.primitive.name, [spec_of(variable.aval) for variable in equation.outvars]
    if primitive in CALLS:
        inner = equation.params[CALLS[primitive]]
        return convert(graph, inner if hasattr(inner, "jaxpr") else core.ClosedJaxpr(inner, []), operands)
    if primitive != "dim_as_value" and can_fold(operands, outputs):
        return folded(equation, operands)
    if primitive not in HANDLERS:
        table = "vae_jax.export._onnx_convert.HANDLERS"
        raise ValueError(f"the primitive {primitive!r} is not supported; add an entry to {table}")
    result = HANDLERS[primitive](Call(graph, operands, outputs, equation.params, convert))
    return result if isinstance(result, list) else [result]


def can_fold(operands: list[Value], outputs: list[Spec]) -> bool:
    if any(operand.constant is None for operand in operands) or not all(is_static(o.shape) for o in outputs):
        return False
    size = lambda values: sum(int(np.prod(v.shape)) for v in values)
    return size(outputs) <= max(MAX_FOLDED, 2 * size(operands))


def folded(equation: Any, operands: list[Value]) -> list[Value]:
    """Outputs of an equation of constants, computed by JAX."""
    of_type = lambda value: exact_type(value) if isinstance(value, type | np.dtype) else value
    params = {name: of_type(value) for name, value in equation.params.items()}
    results = equation.primitive.bind(*[jnp.asarray(o.constant) for o in operands], **params)
    return [constant(r) for r in (results if equation.primitive.multiple_results else [results])]
