"""One equation of a jaxpr, as an argument of the handlers that write it as ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_jax.export._onnx_graph import Graph, Shape, Spec, Value


class Call(NamedTuple):
    """A primitive with its operands."""

    graph: Graph
    inputs: list[Value]
    outputs: list[Spec]
    params: dict[str, Any]  # parameters of the primitive
    convert: Callable[[Graph, Any, list[Value]], list[Value]]  # (graph, closed jaxpr, its arguments) -> its outputs

    @property
    def shape(self) -> Shape:
        """Shape of the only output."""
        return self.outputs[0].shape

    @property
    def dtype(self) -> Any:
        """Type of the only output."""
        return self.outputs[0].dtype

    def node(self, operator: str, inputs: Sequence[Value | None], **attributes: Any) -> Value:
        """Adds a node with the shape and type of the only output."""
        return self.graph.node(operator, inputs, self.shape, self.dtype, **attributes)

    def boolean(self, operator: str, inputs: Sequence[Value | None]) -> Value:
        """Adds a node with the shape of the only output and type bool."""
        return self.graph.node(operator, inputs, self.shape, np.dtype(bool))

    def where(self, condition: Value, x: Value, y: Value) -> Value:
        """Adds a Where node for the only output. Bools are cast to integers: ONNX Runtime has no Where of bools."""
        if self.dtype != np.dtype(bool):
            return self.node("Where", [condition, x, y])
        int32 = np.dtype(np.int32)
        numbers = [self.graph.cast(value, int32) for value in (x, y)]
        return self.graph.cast(self.graph.node("Where", [condition, *numbers], self.shape, int32), self.dtype)


# Writes a primitive and returns its only output, or a list of all outputs.
Handler = Callable[[Call], Value | list[Value]]
