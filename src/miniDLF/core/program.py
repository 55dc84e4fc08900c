"""A graph made ready to run: its steps in order, and numbered places for their values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from miniDLF.core.call import Shared
from miniDLF.core.capture import Watched
from miniDLF.core.graph import Graph, Node
from miniDLF.core.joint import JointProduct, pays_jointly
from miniDLF.core.keeping import Watch
from miniDLF.core.layer import Layer
from miniDLF.core.parameter import Parameter
from miniDLF.core.rewriting import chosen_first, folded, pooled_at_once, work_joined
from miniDLF.kernels.tiles import Pooling
from miniDLF.kernels.workspace import Array, Workspace

__all__ = ["Head", "Program", "Step", "total_loss"]

#: What a tail may hold for all shards together: floating-point operations forward, and values.
TAIL_FLOPS = 10_000_000
TAIL_VALUES = 262_144


@dataclass
class Head(Watched):
    """An output of the graph with its loss, and what is measured there."""

    loss: Any
    weight: float = 1.0
    metrics: list[Any] = field(default_factory=list)
    name: str = ""

    def take(
        self, output: Array, target: Array, weights: Array, empty: Callable[..., Array], *, fused: bool = False
    ) -> tuple[Any, Array, Array]:
        """Return the loss, its gradient with respect to `output`, and the prediction: the one way to any loss.

        Parameters
        ----------
        output : (N, ...)
            What the graph gives: the prediction, or where `fused` the logits in front of the activation that the loss
            absorbs.
        target
            As the loss encoded it.
        weights : (N,) or (N, T)
            Weights of samples, or of the steps of each. Every step is then a sample of its own, and counts for its
            share of the sample where the loss averages over time.
        empty
            ``empty(name, shape)`` lends memory, as for `Loss.value_and_grad`.
        """
        shape, axes = output.shape, weights.ndim
        if axes > 1:
            output, target = (array.reshape(-1, *array.shape[axes:]) for array in (output, target))
            if not self.loss.sums_over_time:
                weights = weights * (len(weights) / max(weights.size, 1))
            weights = weights.reshape(-1)
        if fused:
            loss, dy, prediction = self.loss.fused_value_and_grad(output, target, weights, empty)
        else:
            (loss, dy), prediction = self.loss.value_and_grad(output, target, weights, empty), output
        return (loss, dy.reshape(shape), prediction.reshape(shape)) if axes > 1 else (loss, dy, prediction)


def total_loss(heads: Sequence[Head], losses: Sequence[float]) -> float:
    """Return the sum of the losses of all outputs, by weight; one of weight 0 is measured and does not count."""
    if len(heads) == 1 and heads[0].weight == 1.0:
        return losses[0]
    return sum(head.weight * loss for head, loss in zip(heads, losses, strict=True) if head.weight)


@dataclass(frozen=True)
class Step:
    """One node of a program: where its input lies among the values, and where its output goes."""

    index: int
    node: Node
    layer: Layer
    sources: tuple[int, ...]
    target: int
    needs_dx: tuple[bool, ...]
    learns: bool  # whether backward has anything to do here
    overwrites: bool  # whether this step is the only one that reads its input
    enlarges: tuple[int, int] = (1, 1)  # how often it repeats rows and columns of its input before anything else
    rectifies: float | None = None  # the slope below zero of the rectifier that it applies to its input first
    pools: Pooling | None = None  # how it pools its output at last
    before: tuple[Layer, ...] = ()  # the layers whose work it does first
    after: tuple[Layer, ...] = ()  # the layers whose work it does at last
    frozen: bool = False  # whether the layer works as in inference, also in training
    watch: Watch = field(default_factory=Watch, compare=False)  # of a layer of one's own

    @property
    def meets(self) -> bool:
        """Whether the shards of a training step meet here."""
        return self.layer.synchronises and not self.frozen

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers whose work it does, in order."""
        return (*self.before, self.layer, *self.after)


class Program:
    """The steps of a graph in order, for training (with heads) or for inference (without).

    Training stops before an activation that the loss absorbs, and so does inference where `fused` says so, one an
    output: an evaluation takes the losses of the same numbers. Inference passes over layers that only train. With
    `in_place` a layer may write its output over an input that nobody else reads, and neighbours may change places or
    become one where the result is the same. With `folds` weights of neighbours become one (inference only).
    """

    def __init__(
        self,
        graph: Graph,
        trained: set[Parameter],
        heads: Sequence[Head] | None,
        *,
        in_place: bool = True,
        folds: bool = False,
        fused: Sequence[bool] = (),
    ) -> None:
        self.graph = graph
        self.heads = list(heads or [])
        readers_of = Counter(source for node in graph.nodes for source in set(node.inputs)) + Counter(graph.outputs)
        self.fused = [
            readers_of[output] == 1 and _absorbs(head.loss, output)
            for head, output in zip(self.heads, graph.outputs, strict=False)
        ] or [*fused]
        skipped = {output for output, absorbed in zip(graph.outputs, self.fused, strict=False) if absorbed}
        places: dict[Node, int] = {node: number for number, node in enumerate(graph.inputs)}
        needs: dict[int, bool] = dict.fromkeys(places.values(), False)
        steps: list[Step] = []
        for index, node in enumerate(graph.nodes):
            layer = node.layer
            if layer is None:
                continue
            if node in skipped or (heads is None and layer.says("only_trains")):
                places[node] = places[node.inputs[0]]
                continue
            sources = tuple(places[source] for source in node.inputs)
            target = len(graph.inputs) + index
            places[node] = target
            needs_dx = tuple(needs[source] for source in sources)
            learns = any(needs_dx) or any(parameter in trained for parameter in layer.parameters)
            needs[target] = learns
            frozen = _is_frozen(layer, trained)
            steps.append(Step(index, node, layer, sources, target, needs_dx, learns, False, frozen=frozen))
        self.size = len(graph.inputs) + len(graph.nodes)
        self.outputs = [places[node] for node in graph.outputs]
        readers = Counter(source for step in steps for source in step.sources)
        readers.update(self.outputs)
        if in_place:
            steps = pooled_at_once(work_joined(chosen_first(steps, readers), readers), readers)
        if in_place and folds:
            steps = folded(steps, readers)
        given_away = {
            s.target for s in steps if in_place and s.layers[-1].says("gives_away") and readers[s.target] == 1
        }
        self.steps = [replace(step, overwrites=step.sources[0] in given_away) for step in steps]
        uses = Counter(step.layer for step in self.steps)
        self.shared_layers = {layer for layer, count in uses.items() if count > 1}
        self._tails: dict[int, int] = {}
        #: Whether the calls of its steps can be noted and made again.
        self.captures = (
            not self.shared_layers
            and all(_captures(layer, "forward", "backward") for step in self.steps for layer in step.layers)
            and all(_captures(head.loss) for head in self.heads)
        )
        self.prepared = [layer for layer in uses if type(layer).prepare is not Layer.prepare]

    def tail(self, rows: int) -> int:
        """Return from which step on a batch of so many rows is little work, up to the loss and back.

        Where shards meet there anyway, one thread does it for all of them: short calls on two threads hinder each other
        at the interpreter's lock (the specified CNN: 6.35 ms a step with its head on two threads, 6.12 on one). Without
        a meeting the tail is empty: two more would cost as much as they save.
        """
        known = self._tails.get(rows)
        if known is None:
            known, flops, values = len(self.steps), 0, 0
            for position, step in reversed(list(enumerate(self.steps))):
                flops += step.node.flops()
                values += int(np.prod(step.node.shape))
                if rows * flops > TAIL_FLOPS or rows * values > TAIL_VALUES:
                    break
                known = position
            if not any(step.meets for step in self.steps[known:]):
                known = len(self.steps)
            self._tails[rows] = known
        return known

    def joint_products(
        self, cuts: Sequence[tuple[int, int]], gradients: Mapping[Parameter, Array]
    ) -> dict[int, tuple[Parameter, JointProduct]]:
        """Return the matrices whose gradients shards with these rows make together, by the number of the step."""
        found = {}
        for position, step in enumerate(self.steps if len(cuts) > 1 else ()):
            names = step.layer.says("row_matrix")
            matrix = names and names()
            if matrix is None or matrix not in gradients or step.layer in self.shared_layers:
                continue
            if pays_jointly(matrix.shape, cuts[-1][1], len(cuts)):
                found[position] = matrix, JointProduct(cuts, gradients[matrix])
        return found

    def share(self, workspace: Callable[[], Workspace], training: bool) -> dict[Layer, Shared]:
        """Make the records that `prepare` fills."""
        result = {layer: Shared(workspace()) for layer in self.prepared}
        frozen = {step.layer for step in self.steps if step.frozen}
        for layer, shared in result.items():
            shared.training = training and layer not in frozen
        return result


def _absorbs(loss: Any, output: Node) -> bool:
    """Say whether a loss takes the activation that makes an output along, if nobody else reads it."""
    layer = output.layer
    return layer is not None and loss.absorbs is not None and layer.says("absorbable") == loss.absorbs


def _is_frozen(layer: Layer, trained: set[Parameter]) -> bool:
    """Say whether a layer that `freezes` is not trained: none of its weights is, or, without any, it says so itself."""
    weights = [parameter for parameter in layer.parameters if parameter.trainable]
    return layer.freezes and (trained.isdisjoint(weights) if weights else not layer.trainable)


def _captures(part: Any, *methods: str) -> bool:
    """Say whether a layer or loss itself, or its class and not only its base, says that it can be captured."""
    return bool(vars(part).get("captures", vars(type(part)).get("captures"))) and not any(
        name in vars(part) for name in methods
    )
