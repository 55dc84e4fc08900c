"""Models on tensors: eagerly, or as a part of a program that is recorded."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.arrays import plain_array, refuse_beyond
from miniDLF.core.graph import Graph, Node
from miniDLF.datasets import Dataset
from miniDLF.errors import ArgumentError, NotReadyError, ShapeError
from miniDLF.models.subclassing import Whole, writes_call
from miniDLF.tensor import recording
from miniDLF.tensor.tensor import Tensor, as_tensor

__all__ = ["Calling"]


class Calling:
    """What `Model` does on tensors."""

    _graph: Graph | None

    def _build_from(self: Any, x: Any) -> None:
        """Make the graph of a class that defines `call`: one layer, for inputs like these (an array, or a list)."""
        if not writes_call(self):
            super()._build_from(x)  # type: ignore[misc]
            return
        data = x.train.x if isinstance(x, Dataset) else x
        given = list(data) if isinstance(data, (list, tuple)) else [data]
        if not all(hasattr(one, "shape") for one in given):
            raise NotReadyError(
                f"{self.described} does not know the shape of its inputs yet. Call it on an array first: model(x[:1])."
            )
        nodes = [Node(None, (), tuple(one.shape[1:])) for one in given]
        end = Whole(self)(nodes if len(nodes) > 1 else nodes[0])
        self._graph = Graph(nodes, [end])
        self._graph.connect(self)

    def _tensor_of(self: Any, value: Any, name: str) -> Tensor:
        """Return an array as a tensor of the model's type, which has to hold its numbers."""
        array = plain_array(value, name)
        refuse_beyond(np.atleast_1d(array), self.dtype, name)
        return as_tensor(array.astype(self.dtype, copy=False))

    def _on_tensors(self: Any, inputs: Any, training: bool) -> Any:
        program = recording.current()
        runs = program is None or program.will_run
        if writes_call(self):
            if self._graph is None and runs:
                with recording.recording(None):
                    self._build_from(inputs)
            if self._graph is None:  # a part of another model that is being built
                return Whole(self).call(inputs, training)
        from miniDLF.core.in_tensors import on_tensors  # loaded with the first call on tensors

        graph = self.graph
        if runs and not all(parameter.is_drawn for layer in graph.layers for parameter in layer.parameters):
            self.ready()
        given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        if len(given) != len(graph.inputs):
            raise ArgumentError(f"{self.described} takes {len(graph.inputs)} inputs, received {len(given)}.")
        values: dict[Node, Any] = {}
        for node, one in zip(graph.inputs, given, strict=True):
            array = one if isinstance(one, Tensor) else self._tensor_of(one, node.name or "the input")
            if array.shape[1:] != node.shape:
                raise ShapeError(
                    f"{self.described}: {node.name or 'the input'} takes (N, {', '.join(map(str, node.shape))}), "
                    f"received {array.shape}."
                )
            values[node] = array
        for node in graph.nodes:
            if node.layer is not None:
                here = [values[source] for source in node.inputs]
                trains = training and not (node.layer.freezes and not node.layer.trainable)
                values[node] = on_tensors(node.layer, here if len(here) > 1 else here[0], trains, alone=True)
        results = [values[node] for node in graph.outputs]
        return results[0] if len(results) == 1 else results
