"""Graphs of layers: a chain and a DAG are the same thing, nodes in topological order."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from operator import index
from typing import TYPE_CHECKING, Any
from weakref import ref

from miniDLF.core.own import check_call, is_own
from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.kernels.workspace import Shape
from miniDLF.tensor.operators import Operators
from miniDLF.whole import is_whole

if TYPE_CHECKING:
    from miniDLF.core.layer import Layer

__all__ = ["Graph", "Node", "apply", "as_shape", "check_size", "snake_case"]

#: Numbers that a layer may make of one sample, 8 GiB in float32.
MAX_NUMBERS = 1 << 31


_OPERATE: list[Callable[..., Any]] = []


def operate_with(function: Callable[..., Any]) -> None:
    """Say what makes the node of ``function(arguments, keywords)``: the layer for it is made of what stands here."""
    _OPERATE[:] = [function]


#: Functions whose results programs ask for in an ``if``.
_COMPARISONS = frozenset(
    {
        "greater",
        "greater_equal",
        "less",
        "less_equal",
        "logical_and",
        "logical_or",
        "logical_not",
        "any",
        "all",
        "isnan",
    }
)


class Node(Operators):
    """One use of a layer: where its inputs come from and the shape of what it gives.

    Attributes
    ----------
    layer : Layer or None
        ``None`` for an input of the graph.
    inputs : tuple of Node
    shape : tuple of int
        Of one sample: no batch axis.
    name : str or None
        The name of an input.
    scope : tuple
        The blocks and nested models that the node is a part of, outermost first.
    host : Layer or None
        The layer that brought this one along: ``Dense(8, activation="relu")`` its activation.
    """

    __slots__ = ("__weakref__", "host", "inputs", "layer", "name", "scope", "shape")

    defers = True

    def __init__(
        self,
        layer: Layer | None,
        inputs: tuple[Node, ...],
        shape: Shape,
        name: str | None = None,
        scope: Any = (),
        host: Layer | None = None,
    ) -> None:
        self.layer, self.inputs, self.shape, self.name, self.scope = layer, inputs, shape, name, tuple(scope)
        self.host = host

    __hash__ = object.__hash__
    __eq__, __ne__ = object.__eq__, object.__ne__  # a key of dictionaries

    def __rule__(self, function: Any, arguments: Sequence[Any], keywords: Any) -> Any:
        """Return the node of an operation of NumPy or `miniDLF.ops` on nodes; several where it has several results."""
        return _OPERATE[0](function, tuple(arguments), keywords)

    def __bool__(self) -> bool:
        if self.layer is not None and getattr(self.layer, "function", None) in _COMPARISONS:
            raise ArgumentTypeError(
                "a comparison of outputs has no numbers yet: an if cannot ask for it. Choose by np.where(a > b, a, b)."
            )
        return True

    def flops(self) -> int:
        """Return the floating-point operations of the layer forward for one sample."""
        if self.layer is None:
            return 0
        received = tuple(source.shape for source in self.inputs)
        return self.layer.flops(received if self.layer.takes_many else received[0], self.shape)

    def __repr__(self) -> str:
        what = "Input" if self.layer is None else type(self.layer).__name__
        return f"<Node {what} (N{''.join(f', {length}' for length in self.shape)})>"


def as_shape(shape: Any, where: str) -> Shape:
    """Return `shape` as a tuple of positive ints, or say what is wrong with it."""
    try:
        result = tuple(index(length) for length in ([shape] if is_whole(shape) else shape))
    except (TypeError, ValueError):
        raise ArgumentTypeError(
            f"{where}: expected a shape such as (784,) or (1, 28, 28), received {shape!r}."
        ) from None
    if any(length < 1 for length in result):
        raise ArgumentError(
            f"{where}: every axis of a shape needs at least one element, received {result}. Leave the batch axis out."
        )
    return result


def check_size(who: str, makes: str, shape: Shape) -> None:
    """Refuse what would take any amount of memory for one sample, on the word of one number or a few bytes in a file.

    Raises
    ------
    ArgumentError
        If it is more than `MAX_NUMBERS`.
    """
    if math.prod(shape) > MAX_NUMBERS:
        lengths = ", ".join(f"{length:.3g}" if length > MAX_NUMBERS else str(length) for length in shape)
        raise ArgumentError(f"{who} {makes} more than {MAX_NUMBERS:,} numbers a sample: (N, {lengths}).")


def apply(layer: Layer, inputs: Any) -> Any:
    """Use `layer` on a node or a list of nodes; return the node (or nodes) of what it gives."""
    many = isinstance(inputs, list | tuple)
    nodes: tuple[Node, ...] = tuple(inputs) if many else (inputs,)
    for node in nodes:
        if not isinstance(node, Node):
            raise ArgumentTypeError(
                f"{layer.described}: expected a node (what Input(shape) or another layer returned), received "
                f"{type(node).__name__}. To run a model on arrays use model.predict(x)."
            )
    compose = getattr(layer, "compose", None)
    if compose is not None:
        if is_own(compose):
            check_call(layer.described, "compose", compose, ("x",))
        result = compose(inputs)
        if result is None:
            raise ArgumentTypeError(
                f"{layer.described}: compose returned None, as it does without a return; return the node of the "
                "block's output."
            )
        _mark(layer, nodes, result)
        if hasattr(type(layer), "parts"):  # a model keeps its own inputs and outputs
            _note_use(layer, nodes, result)
        return result
    if getattr(layer, "is_derived", hasattr(type(layer), "call")) and not hasattr(layer, "compose"):
        layer.takes_many = len(nodes) > 1  # as `call` takes one tensor or a list
    if layer.takes_many and len(nodes) < 2:
        raise ShapeError(
            f"{layer.described} joins at least two inputs, received {len(nodes)}. Call it on a list."
            " (A part of a model with branches is Model(model.inputs, layer.output).)"
        )
    if not layer.takes_many and len(nodes) != 1:
        raise ShapeError(
            f"{layer.described} takes one input, received {len(nodes)}. Join them first, for example with "
            "Concatenate() or Add()."
        )
    node = nodes[0]
    for part in layer.parts():
        received = tuple(n.shape for n in nodes) if part.takes_many else node.shape
        if is_own(part.build):
            check_call(part.described, "build", part.build, ("input_shape",))
        try:
            shape = part.shape_for(received)
        except ShapeError as error:
            raise part.misfit(error, _before(node)) from None
        if not isinstance(shape, tuple | list):
            raise ArgumentTypeError(
                f"{part.described}: build returned {shape!r}; return the shape of the output, a tuple without the "
                "batch axis."
            )
        check_size(part.described, "makes", tuple(shape))
        host = None if part is layer else layer
        node = Node(part, nodes if part.takes_many else (node,), tuple(shape), host=host)
    _note_use(layer, nodes, node)
    return node


def _before(node: Node) -> list[Layer]:
    """Return the layers that stand before, the nearest first; of several inputs the first is followed."""
    layers = []
    while node.layer is not None:
        layers.append(node.layer)
        node = node.inputs[0]
    return layers


def _note_use(layer: Layer, inputs: Sequence[Node], output: Any) -> None:
    """Remember on a layer where it is used, as long as somebody holds the nodes; `Layer.output` tells the first."""
    uses: dict[int, Any] = vars(layer).setdefault("_uses", {})
    outputs = [output] if isinstance(output, Node) else list(output.values() if isinstance(output, dict) else output)
    key = id(outputs[0])
    if key in uses and uses[key][1][0]() is outputs[0]:
        return
    uses.pop(key, None)  # of a node that is gone: the last use is that of a new one
    if (
        len(uses).bit_count() == 1
    ):  # at 1, 2, 4, ...: to look at all of them each time would take the square of the time
        for old in [old for old, use in uses.items() if any(held() is None for held in use[1])]:
            del uses[old]
    uses[key] = ([ref(node) for node in inputs], [ref(node) for node in outputs])


def _mark(block: Any, sources: Sequence[Node], results: Any) -> None:
    """Write on every node between `sources` and `results` that it is part of `block`."""
    pending = (
        list(results.values() if isinstance(results, dict) else results) if not isinstance(results, Node) else [results]
    )
    seen = set(sources)
    while pending:
        node = pending.pop()
        if node in seen or node.layer is None:
            continue
        seen.add(node)
        node.scope = (block, *node.scope)
        pending.extend(node.inputs)


def snake_case(name: str) -> str:
    """``BatchNormalization`` -> ``batch_normalization``, ``Conv2D`` -> ``conv2d``, ``ReLU`` -> ``relu``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name).lower()


class Graph:
    """The nodes between inputs and outputs in topological order, and the names of their layers.

    Raises
    ------
    ArgumentError
        If an output does not depend on the inputs alone, or two layers bear one name.
    """

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node]) -> None:
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.nodes = self._sorted()
        self.layers: list[Layer] = list(dict.fromkeys(n.layer for n in self.nodes if n.layer is not None))
        #: The layers as the user gave them: without those that others brought along.
        self.given: list[Layer] = list(dict.fromkeys(n.host or n.layer for n in self.nodes if n.layer is not None))
        #: Those that others brought along, and who did.
        alone = set(self.given)
        self.hosts: dict[Layer, Layer] = {
            n.layer: n.host for n in self.nodes if n.layer is not None and n.host is not None and n.layer not in alone
        }
        self.names = self._named()
        #: The layers' names without those of the blocks that they are a part of.
        self.short_names = {layer.name for layer in self.layers}

    def _sorted(self) -> list[Node]:
        order: dict[Node, None] = {}
        pending: list[tuple[Node, bool]] = [(node, False) for node in reversed(self.outputs)]
        known = set(self.inputs)
        while pending:
            node, done = pending.pop()
            if node in order or node in known:
                continue
            if done:
                order[node] = None
            elif node.layer is None:
                raise ArgumentError(
                    f"the graph needs the input {node.name or node!r}, which is not among the model's inputs; "
                    "add it to Model(inputs=[...]). (layer.output is that of the first model that uses the layer: "
                    "begin with the inputs of that one.)"
                )
            else:
                pending.append((node, True))
                pending.extend((source, False) for source in reversed(node.inputs))
        return list(order)

    def grow(self, end: Node) -> bool:
        """Take over the nodes that lead from the one output to `end`, or say that the graph has to be made anew.

        So a chain of n layers takes n steps; to sort and name all nodes at every step takes n^2.
        """
        path: list[tuple[Node, Layer]] = []
        node = end
        while len(self.outputs) == 1 and node is not self.outputs[0]:
            layer = node.layer
            if layer is None or len(node.inputs) != 1 or node.scope or layer in self.names or node.host in self.names:
                return False
            path.append((node, layer))
            node = node.inputs[0]
        path.reverse()
        named = [layer.name for _, layer in path if layer.name]
        if not path or len({layer for _, layer in path}) < len(path) or len(set(named)) < len(named):
            return False
        if not self._taken.keys().isdisjoint(named):
            return False
        for node, layer in path:
            while not layer.name:
                name = _numbered(type(layer).__name__, "", self._counts)
                if name not in self._taken and name not in named:
                    layer.name = vars(layer)["_numbered"] = name
            self.names[layer] = layer.name
            self._taken[layer.name] = layer
            self.short_names.add(layer.name)
            self.layers.append(layer)
            self.nodes.append(node)
            if node.host is not None:
                self.hosts[layer] = node.host
        self.given += dict.fromkeys(node.host or layer for node, layer in path)
        self.outputs = [end]
        return True

    def connect(self, model: Any, first: int = 0) -> None:
        """Tell the layers of the nodes from number `first` on in which model they are, and where."""
        home = ref(model)
        starts: dict[Node, Node] = {}
        ends: dict[Node, Node] = {}
        for node in self.nodes[first:]:
            layer = node.layer
            if layer is None:
                continue
            homes = vars(layer).setdefault("_homes", [])
            homes[:] = [other for other in homes if other() is not None and other() is not model]
            homes.append(home)
            start = starts.get(node.inputs[0]) if node.host is not None else None
            starts[node] = start = node if start is None or start.layer is not node.host else start
            ends[start] = node
        for start, end in ends.items():
            _note_use(start.host or start.layer, start.inputs, end)  # type: ignore[arg-type]  # never an input

    def _named(self) -> dict[Layer, str]:
        counts: Counter[str] = Counter()
        prefixes = self._prefixes(counts)
        # A layer that another model has named already keeps its name, also where a new one comes before it.
        kept = {prefix + layer.name for layer, prefix in prefixes.items() if layer.name}
        names: dict[Layer, str] = {}
        taken: dict[str, Layer] = {}
        for layer, prefix in prefixes.items():
            name = prefix + layer.name if layer.name else ""
            if not name:
                name = prefix + _numbered(type(layer).__name__, prefix, counts)
                while name in taken or name in kept:
                    name = prefix + _numbered(type(layer).__name__, prefix, counts)
                layer.name = vars(layer)["_numbered"] = name.rpartition("/")[2]
            elif name in taken and layer.name == vars(layer).get("_numbered"):  # by another model: here it gets another
                while name in taken or name in kept:
                    name = prefix + _numbered(type(layer).__name__, prefix, counts)
            if name in taken:
                raise ArgumentError(
                    f"two layers of the model are called {name!r}: {taken[name].described} and {layer.described}; "
                    "give one another name=..."
                )
            names[layer] = name
            taken[name] = layer
        self._counts, self._taken = counts, taken
        return names

    def _prefixes(self, counts: Counter[str]) -> dict[Layer, str]:
        """Return for each layer the names of the blocks that its first use is a part of, each with a slash."""
        scopes: dict[int, str] = {}
        prefixes: dict[Layer, str] = {}
        self._blocks: dict[Layer, list[Any]] = {}
        #: The blocks and the models within by their names.
        self.blocks: dict[str, Any] = {}
        for node in self.nodes:
            if node.layer is None or node.layer in prefixes:
                continue
            if node.scope:  # what a model's own `trainable` says, its layers say
                self._blocks[node.layer] = [block for block in node.scope if hasattr(type(block), "parts")]
            prefix = ""
            for block in node.scope:
                if id(block) not in scopes:
                    scopes[id(block)] = getattr(block, "name", None) or _numbered(type(block).__name__, prefix, counts)
                prefix += scopes[id(block)]
                self.blocks.setdefault(prefix, block)
                prefix += "/"
            prefixes[node.layer] = prefix
        return prefixes

    def trains(self, layer: Layer) -> bool:
        """Say whether a layer is trained: it, the layer that brought it along and the blocks that it is a part of."""
        if not layer.trainable or (layer in self.hosts and not self.hosts[layer].trainable):
            return False
        return all(block.trainable for block in self._blocks.get(layer, ()))

    def flops(self) -> int:
        """Return the floating-point operations of one forward pass of one sample."""
        return sum(node.flops() for node in self.nodes)


def _numbered(class_name: str, prefix: str, counts: Counter[str]) -> str:
    base = snake_case(class_name)
    counts[prefix + base] += 1
    return f"{base}_{counts[prefix + base]}"
