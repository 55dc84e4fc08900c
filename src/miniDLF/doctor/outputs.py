"""What a graph gives: the activation behind every output, what numbers it can give, and the loss of guessing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from miniDLF.core.graph import Graph, Node
from miniDLF.core.layer import Layer
from miniDLF.core.program import Head
from miniDLF.errors import MiniDLFError
from miniDLF.kernels.workspace import Array
from miniDLF.layers import (
    ELU,
    GELU,
    GRU,
    LSTM,
    RNN,
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Linear,
    Pooling2D,
    ReLU,
    Reshape,
    Sigmoid,
    Softmax,
    Softplus,
    Swish,
    Tanh,
    UpSampling2D,
)
from miniDLF.losses import Hinge, Loss, SquaredHinge

__all__ = ["Output", "activation", "followers", "guess", "maker", "outputs", "regresses"]

#: Slopes below zero up to which a rectifier is as dead as the plain one.
FLAT = 0.01

_PLAIN: dict[type[Layer], str] = {
    Softmax: "softmax",
    Sigmoid: "sigmoid",
    Tanh: "tanh",
    Softplus: "softplus",
    Swish: "swish",
    GELU: "gelu",
    ELU: "elu",
    Linear: "linear",
    Dense: "linear",
    Conv2D: "linear",
    BatchNormalization: "linear",
}
#: Layers that change the place of numbers, or average them, and leave the range in which they lie.
_PASSES = (Dropout, Flatten, Linear, Reshape, Pooling2D, UpSampling2D, GlobalAveragePooling2D)
_RANGES = {
    "softmax": (0.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "states": (-1.0, 1.0),
    "relu": (0.0, np.inf),
    "softplus": (0.0, np.inf),
    "swish": (-0.2785, np.inf),
    "gelu": (-0.1701, np.inf),
}


def activation(layer: Layer | None) -> str:
    """Return what a layer does last: 'softmax', 'relu', ..., 'linear', 'states' of a recurrent layer, or '' if unknown.

    A subclass may do anything, so nothing is known of it.
    """
    if type(layer) is Activation:
        layer = layer.function
    if type(layer) is ReLU:
        return "relu" if layer.alpha <= FLAT else "leaky_relu"
    if type(layer) in (RNN, LSTM, GRU) and layer is not None:
        return "linear" if any(p.name == "output_weight" for p in layer.parameters) else "states"
    return _PLAIN.get(type(layer), "")  # type: ignore[arg-type]


def maker(node: Node) -> Node:
    """Return the node that makes the numbers of `node`, behind what only moves them."""
    while type(node.layer) in _PASSES or (type(node.layer) is Activation and activation(node.layer) == "linear"):
        node = node.inputs[0]
    return node


def followers(graph: Graph) -> dict[Node, list[Node]]:
    """Return the nodes that read each node."""
    result: dict[Node, list[Node]] = {node: [] for node in (*graph.inputs, *graph.nodes)}
    for node in graph.nodes:
        for source in dict.fromkeys(node.inputs):
            result[source].append(node)
    return result


@dataclass(frozen=True)
class Output:
    """An output of a model with its loss.

    Attributes
    ----------
    node, maker : Node
        The output, and the node that makes its numbers (see `maker`).
    layer : str
        The name of the layer that makes them.
    activation : str
        See `activation`.
    """

    number: int
    name: str
    node: Node
    maker: Node
    layer: str
    activation: str
    loss: Any
    weight: float
    metrics: Sequence[Any]

    @property
    def units(self) -> int:
        """The numbers along the last axis."""
        return self.node.shape[-1] if self.node.shape else 1

    @property
    def described(self) -> str:
        """How findings call the output's end: ``the output 'dense_2' (linear)``."""
        return f"the output of layer {self.layer!r}" + (f" ({self.activation})" if self.activation else "")

    @property
    def loss_name(self) -> str:
        """The name of the loss' class."""
        return type(self.loss).__name__

    @property
    def from_logits(self) -> bool:
        """Whether the loss brings the activation itself."""
        return bool(getattr(self.loss, "from_logits", False))

    @property
    def range(self) -> tuple[float, float]:
        """Between which numbers the output lies, as far as it is known."""
        function = getattr(self.maker.layer, "function", self.maker.layer)
        if isinstance(function, ReLU) and self.activation in ("relu", "leaky_relu"):
            return (0.0 if function.alpha == 0 else -np.inf), function.max_value
        if isinstance(function, ELU) and self.activation == "elu":
            return -function.alpha * function.scale, function.max_value
        return _RANGES.get(self.activation, (-np.inf, np.inf))


def outputs(graph: Graph, heads: Sequence[Head]) -> list[Output]:
    """Return the outputs of a graph with their losses."""
    result = []
    for number, (node, head) in enumerate(zip(graph.outputs, heads, strict=True)):
        made = maker(node)
        layer = graph.names[made.layer] if made.layer is not None else made.name or "input"
        result.append(
            Output(
                number, head.name, node, made, layer, activation(made.layer), head.loss, head.weight, list(head.metrics)
            )
        )
    return result


def regresses(loss: Any) -> bool:
    """Say whether a loss compares numbers, not answers; of losses of one's own nothing is known."""
    own = not type(loss).__module__.startswith("miniDLF.")
    return isinstance(loss, Loss) and not own and not loss.classifies and not isinstance(loss, Hinge | SquaredHinge)


def guess(output: Output, target: Array) -> float | None:
    """Return the lowest mean loss of answering the same to every sample; ``None`` where the loss does not say.

    `target` are targets as the loss encoded them.
    """
    loss, shape, rows = output.loss, output.node.shape, len(target)
    if not rows or not isinstance(loss, Loss):
        return None
    found = []
    for answer in _answers(loss, shape, target):
        prediction = np.broadcast_to(answer.astype(np.float32), (rows, *shape)).copy()
        try:
            with np.errstate(all="ignore"):
                value = float(np.mean(loss.per_sample(prediction, target), dtype=np.float64))
        except (MiniDLFError, NotImplementedError, ValueError, TypeError, IndexError):
            return None  # a loss of one's own may want anything
        if np.isfinite(value):
            found.append(value)
    return min(found, default=None)


def _answers(loss: Any, shape: tuple[int, ...], target: Array) -> list[Array]:
    if loss.classifies == "categorical":
        if target.shape[1:] == shape:
            shares = target.reshape(-1, shape[-1]).mean(axis=0, dtype=np.float64)
        else:
            shares = np.bincount(target.reshape(-1).astype(np.intp), minlength=shape[-1]) / target.size
        shares = (shares + 1e-3 / len(shares)) / (1 + 1e-3)
        return [shares, np.log(shares), np.zeros(shape[-1])]
    if target.shape[1:] != shape:
        return []
    mean = target.mean(axis=0, dtype=np.float64)
    answers = [mean, np.partition(target, len(target) // 2, axis=0)[len(target) // 2]]
    if loss.classifies == "binary":
        inside = np.clip(mean, 1e-3, 1 - 1e-3)
        answers.append(np.log(inside / (1 - inside)))
    if isinstance(loss, Hinge | SquaredHinge):
        answers += [np.ones(shape), -np.ones(shape)]
    return answers
