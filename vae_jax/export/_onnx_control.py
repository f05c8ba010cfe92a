"""ONNX for loops and branches: a graph inside the graph for the body, which sees the values outside it."""

from __future__ import annotations

from typing import Any

import numpy as np

from vae_jax.export._onnx_call import Call, Handler
from vae_jax.export._onnx_graph import Graph, Spec, Value, constant, spec_of, tensor_info

BOOL, INT32, INT64 = np.dtype(bool), np.dtype(np.int32), np.dtype(np.int64)


def variables(graph: Graph, specs: list[Spec], name: str) -> list[Value]:
    """What a body is given each time."""
    return [Value(spec.shape, spec.dtype, graph.weights.new_name(name)) for spec in specs]


def closed(graph: Graph, inputs: list[Value], outputs: list[Value], name: str) -> Any:
    """The graph as an attribute of a node. Its outputs are its own: each is copied to a name in it."""
    from onnx import helper

    copies = [graph.node("Identity", [value], value.shape, value.dtype) for value in outputs]
    before, after = ([tensor_info(v.name, v.shape, v.dtype) for v in values] for values in (inputs, copies))
    return helper.make_graph(graph.nodes, graph.weights.new_name(name), before, after)


def scan(call: Call) -> list[Value]:
    """ONNX's Scan: carried values, and sequences along axis 0 that are read and written row by row."""
    num_consts, num_carry = sizes_of_scan(call.params)
    jaxpr, length, backward = call.params["jaxpr"], call.params["length"], int(call.params["reverse"])
    consts, carry = call.inputs[:num_consts], call.inputs[num_consts : num_consts + num_carry]
    sequences, carried = call.inputs[num_consts + num_carry :], [spec_of(a) for a in jaxpr.out_avals[:num_carry]]
    # Scan needs a sequence to know its length by.
    read = sequences or [constant(np.zeros(length, np.int32))]
    body = call.graph.inside()
    state = variables(body, carried, "carry")
    rows = variables(body, [Spec(x.shape[1:], x.dtype) for x in read], "row")
    results = call.convert(body, jaxpr, [*consts, *state, *rows[: len(sequences)]])
    written = {"scan_output_directions": [backward] * (len(results) - num_carry)} if len(results) > num_carry else {}
    return call.graph.emit(
        "Scan",
        [*carry, *read],
        call.outputs,
        body=closed(body, [*state, *rows], results, "scan_body"),
        num_scan_inputs=len(read),
        scan_input_directions=[backward] * len(read),
        **written,
    )


def sizes_of_scan(params: dict[str, Any]) -> tuple[int, int]:
    """Numbers of the constants and of the carried values; behind them in its operands are the sequences."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    consts, carry, _ = params["ft_in"].unpack()  # since JAX 0.12
    return len(list(consts)), len(list(carry))


def while_loop(call: Call) -> list[Value]:
    of_condition, of_body = call.params["cond_nconsts"], call.params["body_nconsts"]
    condition_consts, body_consts = call.inputs[:of_condition], call.inputs[of_condition : of_condition + of_body]
    carry = call.inputs[of_condition + of_body :]
    goes_on = lambda graph, values: call.convert(graph, call.params["cond_jaxpr"], [*condition_consts, *values])
    body = call.graph.inside()
    state = variables(body, call.outputs, "carry")
    (turn,), (before,) = variables(body, [Spec((), INT64)], "turn"), variables(body, [Spec((), BOOL)], "goes_on")
    results = call.convert(body, call.params["body_jaxpr"], [*body_consts, *state])
    again = goes_on(body, results)
    return call.graph.emit(
        "Loop",
        [None, *goes_on(call.graph, carry), *carry],
        call.outputs,
        body=closed(body, [turn, before, *state], [*again, *results], "loop_body"),
    )


def branch(call: Call) -> list[Value]:
    """The branch of an index, the first or last where it lies outside: an If for all but the last, one in another."""
    index, *operands = call.inputs
    return chosen(call, call.graph, index, operands, 0)


def chosen(call: Call, graph: Graph, index: Value, operands: list[Value], number: int) -> list[Value]:
    branches = call.params["branches"]
    if number == len(branches) - 1:
        return call.convert(graph, branches[number], operands)
    this, others = graph.inside(), graph.inside()
    taken = call.convert(this, branches[number], operands)
    left = chosen(call, others, index, operands, number + 1)
    limit = constant(np.asarray(number, np.int32))
    is_this = graph.node("LessOrEqual", [graph.cast(index, INT32), limit], (), BOOL)
    return graph.emit(
        "If",
        [is_this],
        call.outputs,
        then_branch=closed(this, [], taken, "branch"),
        else_branch=closed(others, [], left, "branch"),
    )


CONTROL: dict[str, Handler] = {"scan": scan, "while": while_loop, "cond": branch}
