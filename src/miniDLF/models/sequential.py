"""The chain of layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from miniDLF.core.graph import Graph, Node, as_shape, snake_case
from miniDLF.core.layer import Layer
from miniDLF.datasets import Dataset
from miniDLF.errors import ArgumentError, ArgumentTypeError, MiniDLFError, NotReadyError, ShapeError, answering
from miniDLF.models.model import Model

__all__ = ["Sequential"]


class Sequential(Model):
    """Layers one after another: ``Sequential([Dense(10, input_shape=(784,)), Activation('softmax')])``.

    The first layer takes ``input_shape=`` (no batch axis); without it the model is built from the data that it sees
    first, or from the input of the first layer, if another model uses that.

    Parameters
    ----------
    layers
        Layers, or whole models, to add at once.
    name, seed, dtype, shards
        See `Model`.
    """

    _sequential = True

    @answering
    def __init__(
        self,
        layers: Iterable[Any] | None = None,
        *,
        name: str | None = None,
        seed: int | None = None,
        dtype: Any = "float32",
        shards: int | None = None,
    ) -> None:
        self._settings(name, seed, dtype, shards)
        self._graph = None
        self._start: Node | None = None
        self._end: Node | None = None
        self._ends: list[Node] = []  # where the layers and models that were added end
        self._waiting: list[Any] = []
        self._counts: dict[str, int] = {}
        self._named_here: dict[str, Layer] = {}
        if isinstance(layers, str | Node) or not isinstance(layers, Iterable | None):
            raise ArgumentTypeError(f"Sequential takes a list of layers: Sequential([{layers!r}]).")
        for layer in layers or []:
            self.add(layer)

    @answering
    def add(self, layer: Any) -> None:
        """Put a layer (or a model, or an `Input`) at the end. A shape that does not fit is refused here."""
        if isinstance(layer, type):
            raise ArgumentTypeError(f"add: received the class {layer.__name__}; create a layer: {layer.__name__}(...).")
        if isinstance(layer, Node):
            if self._start is not None or self._waiting:
                raise ArgumentError("add: an Input can only come first.")
            self._start = self._end = layer
            return
        if not isinstance(layer, Layer | Model):
            raise ArgumentTypeError(f"add: expected a layer, received {_received(layer)}")
        given = getattr(layer, "input_shape", None)
        if isinstance(layer, Layer) and given is not None:
            given = as_shape(given, layer.described)
        if self._end is None:
            if given is None:
                self._waiting.append(layer)
                return
            if self._waiting:
                raise ArgumentError("add: input_shape belongs to the first layer; an earlier one has none.")
            self._start = self._end = Node(None, (), tuple(given))
        elif isinstance(layer, Layer) and given is not None and given != self._end.shape:
            raise ShapeError(
                f"layer {self._position(layer)}: {layer.described} says input_shape={given}, but the layer before it "
                f"gives {self._end.shape}. Leave input_shape out, or change the layer before."
            )
        self._append(layer)

    def _append(self, layer: Any) -> None:
        grows = True
        if isinstance(layer, Layer) and not hasattr(layer, "compose"):
            if layer.name is None:
                self._name(layer)
            elif (other := self._named_here.get(layer.name)) not in (None, layer):
                self._name(other)  # the new one brings its name from another model
                grows = False
        position = self._position(layer)
        try:
            end = layer(self._end)
        except MiniDLFError as error:
            known = layer.described
            said = str(error)
            said = f" ({known}){said[len(known) :]}" if said.startswith(known) else f": {said}"
            raise type(error)(f"layer {position}{said}") from None
        if not isinstance(end, Node):
            raise ArgumentError(f"layer {position}: a Sequential needs one output, {layer.described} has several.")
        known = 0 if self._graph is None else len(self._graph.nodes)
        self._go_on_to(end, grows)
        self._ends.append(end)
        self.graph.connect(self, known)

    def _go_on_to(self, end: Node, grows: bool = False) -> None:
        """Let the chain end there; with `grows` it may be that of before and more layers of the same names."""
        self._end, start = end, self._start
        if not (grows and self._graph is not None and self._graph.grow(end)):
            self._graph = Graph([start] if start else [], [end]) if end is not start else None
        self._buffers = self._executor = self._engine = self._held = None

    @answering
    def pop(self) -> Any:
        """Take the last layer (or model) off the end and return it; the others keep their weights.

        A model that was compiled stays so, with a fresh optimizer state. A model that was added whole goes whole; in
        one that was loaded it goes layer by layer where its layers form a chain.

        Raises
        ------
        NotReadyError
            If there is no layer.
        """
        if self._waiting:
            return self._waiting.pop()
        if self._end is None or self._end is self._start:
            raise NotReadyError("pop: the model has no layers.")
        self._ends.pop()
        before: Any = self._ends[-1] if self._ends else self._start
        nodes = self.graph.nodes
        first = nodes[nodes.index(before) + 1 if self._ends else 0]
        removed = first.scope[0] if first.scope else first.host or first.layer
        self._named_here = {name: layer for name, layer in self._named_here.items() if layer is not removed}
        self._go_on_to(before)
        return removed

    def _name(self, layer: Layer) -> None:
        """Give a layer the next free name."""
        taken = set() if self._graph is None else self._graph.short_names
        base = snake_case(type(layer).__name__)
        while True:
            self._counts[base] = self._counts.get(base, 0) + 1
            name = f"{base}_{self._counts[base]}"
            if name not in taken:
                break
        self._named_here.pop(layer.name or "", None)
        layer.name = vars(layer)["_numbered"] = name
        self._named_here[name] = layer

    @property
    def graph(self) -> Graph:
        """The graph of layers."""
        if self._graph is None and self._waiting:
            known = getattr(self._waiting[0], "input", None)
            if isinstance(known, Node):  # a layer of another model takes what it takes there
                self.build(known.shape)
        if self._graph is None and self._waiting:
            raise NotReadyError(
                "the model does not know its input shape yet: give the first layer input_shape=(...), call "
                "build(input_shape), or fit first."
            )
        return super().graph

    def _position(self, layer: Any) -> int:
        return 1 + (0 if self._graph is None else len(self._graph.nodes))

    def _build_from(self, x: Any) -> None:
        """Build a model that waits for its input shape from the data."""
        if not self._waiting:
            self.graph  # noqa: B018 - raises: there are no layers
        data = x.train.x if isinstance(x, Dataset) else x
        if not hasattr(data, "shape"):
            if not isinstance(data, list | tuple):
                raise ArgumentError(
                    "the first layer needs input_shape=(...), since the batches are not seen beforehand."
                )
            data = np.asarray(data)
        self.build(data.shape[1:])

    def build(self, input_shape: Any) -> None:
        """Build the layers that wait for an input shape (no batch axis); a model that has it already stays as it is."""
        shape = as_shape(input_shape, "build")
        if self._start is not None:
            if shape != self._start.shape:
                raise ShapeError(
                    f"build: the model takes samples of shape {self._start.shape}, received {shape}. Make a new model "
                    "for another shape."
                )
            return
        self._start = self._end = Node(None, (), shape)
        waiting, self._waiting = self._waiting, []
        try:
            for layer in waiting:
                self._append(layer)
        except MiniDLFError:  # another shape may fit
            self._start = self._end = self._graph = None
            self._ends = []
            self._waiting = waiting
            raise
        if self._compiled is not None:
            self.engine()

    def _restore_structure(self, structure: Mapping[str, Any], nodes: list[Node]) -> None:
        self._start, self._end = self.graph.inputs[0], self.graph.outputs[0]
        self._ends = _stations(self.graph)
        self._waiting, self._counts, self._named_here = [], {}, {}
        for layer in self.graph.layers:
            base, _, number = (layer.name or "").rpartition("_")
            if number.isdecimal():
                self._counts[base] = max(self._counts.get(base, 0), int(number))


def _stations(graph: Graph) -> list[Node]:
    """Return the nodes that all data pass, each behind the activation that its layer brought along."""
    places = {node: number for number, node in enumerate([*graph.inputs, *graph.nodes])}
    last = dict.fromkeys(places, 0)  # the last node that reads this one
    for node in graph.nodes:
        for source in node.inputs:
            last[source] = places[node]
    hosts = {node.inputs[0] for node in graph.nodes if node.host is not None}
    result, furthest = [], 0
    for node in places:
        if furthest <= places[node] and node.layer is not None and node not in hosts:
            result.append(node)
        furthest = max(furthest, last[node])
    return result


def _received(thing: Any) -> str:
    """Return what was received in place of a layer, with what to write instead."""
    if isinstance(thing, str):
        return f"{thing!r}. For an activation write Activation({thing!r}); other layers are objects, such as Dense(10)."
    if isinstance(thing, list | tuple):
        return f"a {type(thing).__name__}. Add one layer after another, or make the model of all: Sequential([...])."
    return f"{type(thing).__name__}."
