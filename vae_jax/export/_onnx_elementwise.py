"""ONNX for the primitives of JAX that work element by element."""

from __future__ import annotations

import numpy as np

from vae_jax.export._onnx_call import Call, Handler
from vae_jax.export._onnx_graph import Value, constant

BOOL, INT32 = np.dtype(bool), np.dtype(np.int32)

# Operators with the same operands and meaning. Both JAX and ONNX broadcast axes of length 1.
SAME = {
    "add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow",
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "tanh": "Tanh", "logistic": "Sigmoid", "erf": "Erf", "neg": "Neg",
    "abs": "Abs", "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "sin": "Sin", "cos": "Cos", "tan": "Tan",
    "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "asinh": "Asinh",
    "acosh": "Acosh", "atanh": "Atanh",
    "eq": "Equal",
}  # fmt: skip
ORDERS = {"lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual"}


def same(operator: str) -> Handler:
    return lambda call: call.node(operator, call.inputs)


def by_type(bool_operator: str, number_operator: str) -> Handler:
    return lambda call: call.node(bool_operator if call.dtype == BOOL else number_operator, call.inputs)


def order(operator: str) -> Handler:
    """Comparison of numbers. Bools are cast to integers, because ONNX does not order them."""
    number = lambda call, value: call.graph.cast(value, INT32) if value.dtype == BOOL else value
    return lambda call: call.node(operator, [number(call, value) for value in call.inputs])


def scalar(value: float, like: Value) -> Value:
    return constant(np.asarray(value, like.dtype))


def maximum(call: Call) -> Value:
    if call.dtype == BOOL:
        return call.node("Or", call.inputs)
    for x, other in (call.inputs, call.inputs[::-1]):
        # The runtime fuses a convolution and its Relu.
        if x.dtype == np.float32 and x.shape == call.shape and other.constant is not None and not other.numbers().any():
            return call.node("Relu", [x])
    return call.node("Max", call.inputs)


def not_equal(call: Call) -> Value:
    return call.node("Not", [call.node("Equal", call.inputs)])


def rsqrt(call: Call) -> Value:
    return call.node("Reciprocal", [call.node("Sqrt", call.inputs)])


def square(call: Call) -> Value:
    return call.node("Mul", call.inputs * 2)


def integer_pow(call: Call) -> Value:
    (x,), power = call.inputs, call.params["y"]
    if power == 2:
        return square(call)
    return call.node("Pow", [x, scalar(float(power), x)])


def log1p(call: Call) -> Value:
    """log(u) x / (u - 1) with u = 1 + x, in which the error of u cancels (Goldberg 1991, theorem 4)."""
    (x,) = call.inputs
    one = scalar(1.0, x)
    u = call.node("Add", [x, one])
    exact = call.node("Mul", [call.node("Log", [u]), call.node("Div", [x, call.node("Sub", [u, one])])])
    infinite = call.boolean("IsInf", [u])
    tiny = call.boolean("Equal", [u, one])
    return call.node("Where", [tiny, x, call.node("Where", [infinite, call.node("Log", [u]), exact])])


def expm1(call: Call) -> Value:
    """(u - 1) x / log(u) with u = exp(x), in which the error of u cancels (Higham 2002, section 1.14.1)."""
    (x,) = call.inputs
    one = scalar(1.0, x)
    u = call.node("Exp", [x])
    less = call.node("Sub", [u, one])
    exact = call.node("Mul", [less, call.node("Div", [x, call.node("Log", [u])])])
    # Far from 0 the difference is accurate; u may then be infinite, or 0 with an infinite logarithm.
    near = call.boolean("Less", [call.node("Abs", [x]), one])
    tiny = call.boolean("Equal", [u, one])
    return call.node("Where", [tiny, x, call.node("Where", [near, exact, less])])


def is_finite(call: Call) -> Value:
    (x,) = call.inputs
    return call.node("Not", [call.node("Or", [call.node("IsNaN", [x]), call.node("IsInf", [x])])])


def rounded(call: Call) -> Value:
    (x,) = call.inputs
    if int(call.params["rounding_method"]) == 1:  # half to even
        return call.node("Round", [x])
    up = call.node("Floor", [call.node("Add", [call.node("Abs", [x]), scalar(0.5, x)])])
    return call.node("Mul", [call.node("Sign", [x]), up])


def clamp(call: Call) -> Value:
    low, x, high = call.inputs
    return call.node("Min", [call.node("Max", [x, low]), high])


def select(call: Call) -> Value:
    which, *cases = call.inputs
    if which.dtype == BOOL:
        return call.where(which, cases[1], cases[0])
    result = cases[0]
    for index, case in enumerate(cases[1:], start=1):
        this = call.graph.node("Equal", [which, scalar(index, which)], which.shape, BOOL)
        result = call.where(this, case, result)
    return result


def logical_not(call: Call) -> Value:
    return call.node("Not" if call.dtype == BOOL else "BitwiseNot", call.inputs)


ELEMENTWISE: dict[str, Handler] = {
    **{primitive: same(operator) for primitive, operator in SAME.items()},
    **{primitive: order(operator) for primitive, operator in ORDERS.items()},
    "and": by_type("And", "BitwiseAnd"),
    "or": by_type("Or", "BitwiseOr"),
    "xor": by_type("Xor", "BitwiseXor"),
    "not": logical_not,
    "max": maximum,
    "min": by_type("And", "Min"),
    "ne": not_equal,
    "rsqrt": rsqrt,
    "square": square,
    "integer_pow": integer_pow,
    "exp2": lambda call: call.node("Pow", [scalar(2.0, call.inputs[0]), *call.inputs]),
    "log1p": log1p,
    "expm1": expm1,
    "is_finite": is_finite,
    "round": rounded,
    "rem": lambda call: call.node("Mod", call.inputs, fmod=1),
    "clamp": clamp,
    "select_n": select,
    "convert_element_type": lambda call: call.graph.cast(call.inputs[0], call.dtype),
}
