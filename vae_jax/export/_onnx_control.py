"""ONNX for loops and branches: the body is a graph inside the graph, and can read the values of the outer graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from vae_jax.export._onnx_call import Call, Handler
from vae_jax.export._onnx_graph import Graph, Spec, Value, constant, spec_of, tensor_info

BOOL, INT32, INT64 = np.dtype(bool), np.dtype(np.int32), np.dtype(np.int64)


def variables(graph: Graph, specs: list[Spec], name: str) -> list[Value]:
    """Inputs of a body: new values with these shapes and types."""
    return [Value(spec.shape, spec.dtype, graph.weights.new_name(name)) for spec in specs]


def body_attribute(graph: Graph, inputs: list[Value], outputs: list[Value], name: str) -> Any:
    """Returns the graph as an attribute of a node. Outputs are copied, because they must be values of the body."""
    from onnx import helper

    copies = [graph.node("Identity", [value], value.shape, value.dtype) for value in outputs]
    before, after = ([tensor_info(v.name, v.shape, v.dtype) for v in values] for values in (inputs, copies))
    return helper.make_graph(graph.nodes, graph.weights.new_name(name), before, after)


def scan(call: Call) -> list[Value]:
    """Writes a Scan: carried values, and sequences along axis 0 that are read and written row by row."""
    num_consts, num_carry = sizes_of_scan(call.params)
    jaxpr, length, backward = call.params["jaxpr"], call.params["length"], int(call.params["reverse"])
    consts, carry = call.inputs[:num_consts], call.inputs[num_consts : num_consts + num_carry]
    sequences, carried = call.inputs[num_consts + num_carry :], [spec_of(a) for a in jaxpr.out_avals[:num_carry]]
    # Scan takes its length from a sequence, so that there must be one.
    read = sequences or [constant(np.zeros(length, np.int32))]
    body = call.graph.subgraph()
    state = variables(body, carried, "carry")
    rows = variables(body, [Spec(x.shape[1:], x.dtype) for x in read], "row")
    results = call.convert(body, jaxpr, [*consts, *state, *rows[: len(sequences)]])
    written = {"scan_output_directions": [backward] * (len(results) - num_carry)} if len(results) > num_carry else {}
    return call.graph.emit(
        "Scan",
        [*carry, *read],
        call.outputs,
        body=body_attribute(body, [*state, *rows], results, "scan_body"),
        num_scan_inputs=len(read),
        scan_input_directions=[backward] * len(read),
        **written,
    )


def sizes_of_scan(params: dict[str, Any]) -> tuple[int, int]:
    """Numbers of constants and of carried values, which precede the sequences among the operands."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    consts, carry, _ = params["ft_in"].unpack()  # since JAX 0.12
    return len(list(consts)), len(list(carry))


def while_loop(call: Call) -> list[Value]:
    num_condition, num_body = call.params["cond_nconsts"], call.params["body_nconsts"]
    condition_consts, body_consts = call.inputs[:num_condition], call.inputs[num_condition : num_condition + num_body]
    carry = call.inputs[num_condition + num_body :]
    condition = lambda graph, values: call.convert(graph, call.params["cond_jaxpr"], [*condition_consts, *values])
    body = call.graph.subgraph()
    state = variables(body, call.outputs, "carry")
    (step,), (proceed,) = variables(body, [Spec((), INT64)], "step"), variables(body, [Spec((), BOOL)], "proceed")
    results = call.convert(body, call.params["body_jaxpr"], [*body_consts, *state])
    next_condition = condition(body, results)
    return call.graph.emit(
        "Loop",
        [None, *condition(call.graph, carry), *carry],
        call.outputs,
        body=body_attribute(body, [step, proceed, *state], [*next_condition, *results], "loop_body"),
    )


def branch(call: Call) -> list[Value]:
    """Writes the branch of an index, clipped to the existing branches, as nested Ifs."""
    index, *operands = call.inputs
    return branches_from(call, call.graph, index, operands, 0)


def branches_from(call: Call, graph: Graph, index: Value, operands: list[Value], number: int) -> list[Value]:
    """Writes the choice among the branches from `number` on."""
    branches = call.params["branches"]
    if number == len(branches) - 1:
        return call.convert(graph, branches[number], operands)
    this, others = graph.subgraph(), graph.subgraph()
    this_outputs = call.convert(this, branches[number], operands)
    other_outputs = branches_from(call, others, index, operands, number + 1)
    limit = constant(np.asarray(number, np.int32))
    is_this = graph.node("LessOrEqual", [graph.cast(index, INT32), limit], (), BOOL)
    return graph.emit(
        "If",
        [is_this],
        call.outputs,
        then_branch=body_attribute(this, [], this_outputs, "branch"),
        else_branch=body_attribute(others, [], other_outputs, "branch"),
    )


CONTROL: dict[str, Handler] = {"scan": scan, "while": while_loop, "cond": branch}
