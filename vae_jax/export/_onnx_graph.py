"""Builder of an ONNX graph: its values, nodes and weights.

Shapes are those of JAX, with at most one symbol, N, the number of examples in a batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

OPSET = 18  # the first in which ReduceMax and ReduceMin take their axes as an input
IR_VERSION = 8  # version of ONNX 1.13, the first release with that opset

_SHORT = (jnp.bfloat16, jnp.float16)

Shape = tuple[Any, ...]  # ints and symbolic dimensions


@dataclasses.dataclass(frozen=True)
class Spec:
    """Shape and type of a value."""

    shape: Shape
    dtype: Any


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor of the graph: its name or, if it depends on no input, its value as a constant."""

    shape: Shape
    dtype: Any
    name: str | None = None
    constant: Any = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    def numbers(self) -> np.ndarray:
        """Elements of a constant, as an array."""
        return np.asarray(self.constant)


def constant(array: Any) -> Value:
    """Makes a value that depends on no input."""
    array = array if isinstance(array, jax.Array) else np.asarray(array)
    array = array.astype(np.float32) if array.dtype in _SHORT else array
    return Value(tuple(array.shape), array.dtype, constant=array)


def spec_of(aval: Any) -> Spec:
    """Shape and type of a JAX abstract value."""
    return Spec(tuple(aval.shape), exact_type(aval.dtype))


def exact_type(dtype: Any) -> Any:
    """Replaces bfloat16 and float16 by float32: networks in mixed precision are exported in full precision."""
    return np.dtype(np.float32) if dtype in _SHORT else dtype


def onnx_type(dtype: Any) -> int:
    """Element type of ONNX.

    Raises:
      ValueError: If ONNX Runtime does not support the type on every platform.
    """
    from onnx import TensorProto

    types = {
        "float32": TensorProto.FLOAT,
        "int32": TensorProto.INT32,
        "int64": TensorProto.INT64,
        "bool": TensorProto.BOOL,
    }
    if str(dtype) not in types:
        raise ValueError(f"an exported ONNX graph must have values of type {', '.join(types)}, got {dtype}")
    return types[str(dtype)]


def is_static(shape: Sequence[Any]) -> bool:
    """Returns True if no dimension depends on the batch."""
    return all(isinstance(size, int | np.integer) for size in shape)


class Weights:
    """Constants of a graph and all its subgraphs, without duplicates."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.names: dict[tuple[Any, ...], str] = {}
        self.num_values = 0

    def name_of(self, array: np.ndarray) -> str:
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self.names:
            self.names[key] = f"constant_{len(self.arrays)}"
            self.arrays[self.names[key]] = array
        return self.names[key]

    def new_name(self, operator: str) -> str:
        self.num_values += 1
        return f"{operator}_{self.num_values}"


class Graph:
    """Nodes in the order of execution; a subgraph (the body of a loop) shares the weights of the outer graph."""

    def __init__(self, batch: Any, batch_source: str, outer: Graph | None = None) -> None:
        self.batch, self.batch_source = batch, batch_source
        self.nodes: list[Any] = []
        self.weights: Weights = outer.weights if outer else Weights()
        # Name of a reshaped value -> the value before the reshape.
        self.reshaped: dict[str, Value] = dict(outer.reshaped) if outer else {}

    def subgraph(self) -> Graph:
        """Makes an empty graph inside this one, which can read its values."""
        return Graph(self.batch, self.batch_source, self)

    def name_of(self, value: Value) -> str:
        return value.name if value.name is not None else self.weights.name_of(value.numbers())

    def emit(self, operator: str, inputs: Sequence[Value | None], outputs: Sequence[Spec], **attributes: Any) -> list:
        """Adds a node and returns its outputs."""
        from onnx import helper

        for spec in outputs:
            onnx_type(spec.dtype)
        values = [Value(spec.shape, spec.dtype, self.weights.new_name(operator)) for spec in outputs]
        names = ["" if value is None else self.name_of(value) for value in inputs]
        self.nodes.append(
            helper.make_node(operator, names, [str(v.name) for v in values], values[0].name, **attributes)
        )
        return values

    def node(self, operator: str, inputs: Sequence[Value | None], shape: Shape, dtype: Any, **attributes: Any) -> Value:
        """Adds a node with a single output and returns it."""
        return self.emit(operator, inputs, [Spec(tuple(shape), dtype)], **attributes)[0]

    def reshape(self, value: Value, shape: Shape) -> Value:
        """Reshapes a value; consecutive reshapes are merged, and a reshape back to the original shape adds no node."""
        shape = tuple(shape)
        if value.shape == shape:
            return value
        if value.constant is not None:
            return constant(value.numbers().reshape(shape))
        value = self.reshaped.get(value.name or "", value)
        if value.shape == shape:
            return value
        result = self.node("Reshape", [value, self.shape_vector(shape)], shape, value.dtype)
        self.reshaped[result.name or ""] = value
        return result

    def transpose(self, value: Value, permutation: Sequence[int]) -> Value:
        """Transposes a value: axis i of the result is axis permutation[i] of the value."""
        permutation = [int(axis) for axis in permutation]
        shape = tuple(value.shape[axis] for axis in permutation)
        if value.constant is not None:
            return constant(value.numbers().transpose(permutation))
        longer = [axis for axis in permutation if value.shape[axis] != 1]
        if longer == sorted(longer):  # only axes of length 1 move
            return self.reshape(value, shape)
        return self.node("Transpose", [value], shape, value.dtype, perm=permutation)

    def cast(self, value: Value, dtype: Any) -> Value:
        if value.dtype == dtype:
            return value
        if value.constant is not None:
            return constant(value.numbers().astype(dtype))
        return self.node("Cast", [value], value.shape, dtype, to=onnx_type(dtype))

    def expand(self, value: Value, shape: Shape) -> Value:
        """Broadcasts axes of length 1 to the shape."""
        shape = tuple(shape)
        if value.shape == shape:
            return value
        # A size of 1 leaves an axis unchanged.
        wanted = tuple(1 if own == size else size for own, size in zip(value.shape, shape, strict=True))
        return self.node("Expand", [value, self.shape_vector(wanted, reshape=False)], shape, value.dtype)

    def shape_vector(self, shape: Shape, reshape: bool = True) -> Value:
        """Shape as int64 `[rank]`; for Reshape, a single symbolic dimension is -1."""
        symbolic = [i for i, size in enumerate(shape) if not is_static([size])]
        if not symbolic:
            return constant(np.asarray(shape, np.int64))
        if reshape and len(symbolic) == 1 and 0 not in shape:
            return constant(np.asarray([-1 if i in symbolic else size for i, size in enumerate(shape)], np.int64))
        parts = [self.size(s) if i in symbolic else constant(np.asarray([s], np.int64)) for i, s in enumerate(shape)]
        return self.node("Concat", parts, (len(shape),), np.dtype(np.int64), axis=0)

    def size(self, dimension: Any) -> Value:
        """Length of one dimension as int64 `[1]`.

        Raises:
          ValueError: If it depends on the batch and is not a multiple of the batch size.
        """
        if is_static([dimension]):
            return constant(np.asarray([dimension], np.int64))
        source = Value((), np.dtype(np.float32), self.batch_source)
        number = self.node("Shape", [source], (1,), np.dtype(np.int64), start=0, end=1)
        if dimension == self.batch:
            return number
        times = dimension // self.batch
        if not is_static([times]) or times * self.batch != dimension:
            raise ValueError(f"a dimension must be a multiple of the batch size {self.batch}, got length {dimension}")
        return self.node("Mul", [number, constant(np.asarray([times], np.int64))], (1,), np.dtype(np.int64))


def tensor_info(name: str | None, shape: Shape, dtype: Any) -> Any:
    """Description of an input or output of a graph; the batch dimension is called N."""
    from onnx import helper

    return helper.make_tensor_value_info(str(name), onnx_type(dtype), [s if is_static([s]) else str(s) for s in shape])
