"""One equation of a jaxpr, as those see it who write its ONNX."""

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
    params: dict[str, Any]  # the primitive's own
    convert: Callable[[Graph, Any, list[Value]], list[Value]]  # (graph, closed jaxpr, its arguments) -> its outputs

    @property
    def shape(self) -> Shape:
        """Of the one output."""
        return self.outputs[0].shape

    @property
    def dtype(self) -> Any:
        return self.outputs[0].dtype

    def node(self, operator: str, inputs: Sequence[Value | None], **attributes: Any) -> Value:
        """A node with the shape and type of the one output."""
        return self.graph.node(operator, inputs, self.shape, self.dtype, **attributes)

    def boolean(self, operator: str, inputs: Sequence[Value | None]) -> Value:
        """A node with the shape of the one output, and the type bool."""
        return self.graph.node(operator, inputs, self.shape, np.dtype(bool))

    def where(self, which: Value, these: Value, others: Value) -> Value:
        """The one output, each element of it out of two. Of bools as integers: ONNX Runtime has no Where of bools."""
        if self.dtype != np.dtype(bool):
            return self.node("Where", [which, these, others])
        int32 = np.dtype(np.int32)
        numbers = [self.graph.cast(value, int32) for value in (these, others)]
        return self.graph.cast(self.graph.node("Where", [which, *numbers], self.shape, int32), self.dtype)


# What writes a primitive: its one output, or all of them.
Handler = Callable[[Call], Value | list[Value]]
