"""One equation of a jaxpr, as those see it who write its ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_jax.export.onnx_graph import Graph, Shape, Spec, Value


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


# What writes a primitive: its one output, or all of them.
Handler = Callable[[Call], Value | list[Value]]
