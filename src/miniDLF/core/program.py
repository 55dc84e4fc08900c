"""A graph made ready to run: numbered places for values, one `Call` a node, and the loops forward and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

import numpy as np

from miniDLF.core.batch import Batch
from miniDLF.core.buffers import Buffers
from miniDLF.core.call import Call, Clock, Shared
from miniDLF.core.graph import Graph, Node
from miniDLF.core.layer import Layer
from miniDLF.core.meetings import Meeting
from miniDLF.core.parameter import Parameter
from miniDLF.core.rewriting import chosen_first, folded, pooled_at_once, work_joined
from miniDLF.kernels.tiles import Pooling
from miniDLF.kernels.workspace import Array, Workspace

__all__ = ["Head", "Program", "Shard", "Step"]

#: What a tail may hold for all shards together: floating-point operations forward, and values.
TAIL_FLOPS = 10_000_000
TAIL_VALUES = 262_144


@dataclass
class Head:
    """An output of the graph with its loss, and what is measured there."""

    loss: Any
    weight: float = 1.0
    metrics: list[Any] = field(default_factory=list)
    name: str = ""


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

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers whose work it does, in order."""
        return (*self.before, self.layer, *self.after)


class Program:
    """The steps of a graph in order, for training (with heads) or for inference (without).

    Training stops before an activation that the loss absorbs; inference passes over layers that only train. With
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
    ) -> None:
        self.graph = graph
        self.heads = list(heads or [])
        skipped: set[Node] = set()
        self.fused: list[bool] = []
        for head, output in zip(self.heads, graph.outputs, strict=False):
            layer = output.layer
            used = sum(output in node.inputs for node in graph.nodes) + graph.outputs.count(output)
            absorbs = layer is not None and head.loss.absorbs is not None and layer.absorbable == head.loss.absorbs
            self.fused.append(absorbs and used == 1)
            if self.fused[-1]:
                skipped.add(output)
        places: dict[Node, int] = {node: number for number, node in enumerate(graph.inputs)}
        needs: dict[int, bool] = dict.fromkeys(places.values(), False)
        steps: list[Step] = []
        for index, node in enumerate(graph.nodes):
            layer = node.layer
            if layer is None:
                continue
            if node in skipped or (heads is None and layer.only_trains):
                places[node] = places[node.inputs[0]]
                continue
            sources = tuple(places[source] for source in node.inputs)
            target = len(graph.inputs) + index
            places[node] = target
            needs_dx = tuple(needs[source] for source in sources)
            learns = any(needs_dx) or any(parameter in trained for parameter in layer.parameters)
            needs[target] = learns
            steps.append(Step(index, node, layer, sources, target, needs_dx, learns, False))
        self.size = len(graph.inputs) + len(graph.nodes)
        self.outputs = [places[node] for node in graph.outputs]
        readers = Counter(source for step in steps for source in step.sources)
        readers.update(self.outputs)
        if in_place:
            steps = pooled_at_once(work_joined(chosen_first(steps, readers), readers), readers)
        if in_place and folds:
            steps = folded(steps, readers)
        given_away = {s.target for s in steps if in_place and s.layers[-1].gives_away and readers[s.target] == 1}
        self.steps = [replace(step, overwrites=step.sources[0] in given_away) for step in steps]
        uses = [step.layer for step in self.steps]
        self.shared_layers = {layer for layer in uses if uses.count(layer) > 1}
        self._tails: dict[int, int] = {}
        #: Whether the calls of small steps can be noted and made again.
        self.captures = not self.shared_layers and all(
            _captures(used, "forward", "backward") and type(used).prepare is Layer.prepare and step.layers == (used,)
            for step, used in zip(self.steps, uses, strict=True)
        )
        self.captures = self.captures and all(_captures(head.loss) for head in self.heads)
        self.prepared = [layer for layer in dict.fromkeys(uses) if type(layer).prepare is not Layer.prepare]

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
            if not any(step.layer.synchronises for step in self.steps[known:]):
                known = len(self.steps)
            self._tails[rows] = known
        return known

    def share(self, workspace: Callable[[], Workspace], training: bool) -> dict[Layer, Shared]:
        """Make the records that `prepare` fills."""
        result = {layer: Shared(workspace()) for layer in self.prepared}
        for shared in result.values():
            shared.training = training
        return result


class Shard:
    """The memory and the calls of one shard, and its way through the program.

    Parameters
    ----------
    gradients
        The flat vector that receives this shard's gradients, or ``None`` for inference.
    """

    def __init__(
        self,
        program: Program,
        buffers: Buffers,
        gradients: Array | None,
        shared: dict[Layer, Shared],
        clock: Clock,
        number: int,
    ) -> None:
        self.program = program
        self.gradients = gradients
        self.training = gradients is not None
        self.workspace = Workspace(buffers.dtype)
        scratch = Workspace(buffers.dtype)
        self.values: list[Any] = [None] * program.size
        self.predictions: list[Array] = []
        self.targets: list[Array] = []
        self.weights: list[Array] = []
        self.losses: list[float] = []
        views = buffers.views(gradients) if gradients is not None else {}
        self.calls: list[Call] = []
        self._collected: list[tuple[Array, list[tuple[int, Array]]]] = []
        collected: dict[Parameter, list[tuple[int, Array]]] = {}
        for position, step in enumerate(program.steps):
            own = views
            if step.layer in program.shared_layers and gradients is not None:
                own = {p: np.zeros_like(views[p]) for p in step.layer.parameters if p in views}
                for parameter, array in own.items():
                    collected.setdefault(parameter, []).append((position, array))
            call = Call(Workspace(buffers.dtype), scratch, own, clock, (step.index, number))
            call.training = call.keeps = self.training
            call.needs_dx = any(step.needs_dx)
            call.overwrites = step.overwrites
            call.enlarges, call.rectifies, call.pools = step.enlarges, step.rectifies, step.pools
            if step.layer in shared:
                call.shared = shared[step.layer]
            self.calls.append(call)
        self._collected = [(views[parameter], parts) for parameter, parts in collected.items()]
        self._heads = list(enumerate(zip(program.heads, program.outputs, program.fused, strict=False)))
        self.lender: Any = self.workspace
        self._line_up()

    def _line_up(self) -> None:
        steps = list(enumerate(zip(self.program.steps, self.calls, strict=True)))
        self._forward = [
            (step.layer.forward, call, itemgetter(*step.sources), step.target, _meets(step.layer))
            for _, (step, call) in steps
        ]
        self._backward = [
            (step.layer.backward, call, position, step, _meets(step.layer))
            for position, (step, call) in reversed(steps)
            if step.learns
        ]

    def observe(self, layers: Sequence[Any]) -> None:
        """Let other objects stand for the layers of the steps, such as ones that note the time and pass everything on.

        The program is changed with it, so only an executor that nobody else uses should be observed.
        """
        self.program.steps = [
            replace(step, layer=layer) for step, layer in zip(self.program.steps, layers, strict=True)
        ]
        self.program.captures = False
        self._line_up()

    def set_training(self, training: bool) -> None:
        """Set the mode of every call."""
        for call in self.calls:
            call.training = training
        self.training = training

    def forward(self, inputs: Sequence[Array]) -> list[Array]:
        """Run all steps and return the outputs; for inference, where nothing has to wait for other shards."""
        values = self.values
        values[: len(inputs)] = inputs
        for forward, call, sources, target, _ in self._forward:
            values[target] = forward(sources(values), call)
        return [values[place] for place in self.program.outputs]

    def run(self, batch: Batch, start: int, stop: int, backward: bool = True) -> Generator[Meeting, Any, None]:
        """Gather the rows from `start` to `stop`, go forward, take the losses, and go back.

        Where a layer needs statistics of the whole batch the generator yields those of this shard in a `Meeting`, and
        is sent the merged ones; the executor joins the shards there.
        """
        self.gather(batch, start, stop)
        yield from self.run_gathered(self.program.tail(len(batch)), backward)

    def gather(self, batch: Batch, start: int, stop: int) -> None:
        """Put the rows from `start` to `stop` in their places."""
        inputs, self.targets, self.weights = batch.part(start, stop, self.workspace)
        self.values[: len(inputs)] = inputs

    def run_gathered(self, tail: int, backward: bool) -> Generator[Meeting, Any, None]:
        """Do the rest of `run`; one thread may take all shards from step `tail` on."""
        program, values = self.program, self.values
        for position, (forward, call, sources, target, meets) in enumerate(self._forward):
            if position == tail:
                yield Meeting(alone=True)
            x = sources(values)
            if meets is not None and call.training:
                call.total = yield Meeting(meets.merge, meets.partial(x, call))
            values[target] = forward(x, call)
        pending: list[Any] = [None] * program.size
        self._take_losses(pending)
        if not backward:
            return
        reached: set[int] = set()
        for backward_of, call, position, step, meets in self._backward:
            dy = pending[step.target]
            if dy is None:
                continue
            if position < tail < len(program.steps):
                tail = len(program.steps)
                yield Meeting(alone=False)
            pending[step.target] = None
            reached.add(position)
            if meets is not None and call.training:
                call.backward_total = yield Meeting(_add, meets.backward_partial(dy, call))
            dx = backward_of(dy, call)
            if step.layer.takes_many:
                self._hand_back(step, dx, pending)
            elif step.needs_dx[0]:
                _put(pending, step.sources[0], dx)
        self._collect(reached)

    def _take_losses(self, pending: list[Any]) -> None:
        empty = self.lender.empty
        self.losses.clear()
        self.predictions.clear()
        for number, (head, place, fused) in self._heads:
            output, weights = self.values[place], self.weights[number]
            if head.weight != 1.0:
                weights = weights * head.weight
            lend = empty if number == 0 else _prefixed(empty, f"{number} ")
            if not output.flags.c_contiguous:  # a loss works sample by sample, next to the targets
                ordered = lend("output", output.shape)
                np.copyto(ordered, output)
                output = ordered
            if fused:
                loss, dy, output = head.loss.fused_value_and_grad(output, self.targets[number], weights, lend)
            else:
                loss, dy = head.loss.value_and_grad(output, self.targets[number], weights, lend)
            self.losses.append(loss)
            self.predictions.append(output)
            _put(pending, place, dy)

    def _hand_back(self, step: Step, dx: Sequence[Any], pending: list[Any]) -> None:
        """Give each input of a step its gradient, and no two the same memory, since backward may write to it."""
        given: list[Array] = []
        for source, needed, gradient in zip(step.sources, step.needs_dx, dx, strict=True):
            if not needed:
                continue
            if any(gradient is other for other in given):
                gradient = gradient.copy()
            given.append(gradient)
            _put(pending, source, gradient)

    def _collect(self, reached: set[int]) -> None:
        """Add up the gradients of layers that stand at several places."""
        for total, parts in self._collected:
            total.fill(0)
            for position, part in parts:
                if position in reached:
                    np.add(total, part, out=total)


def _captures(part: Any, *methods: str) -> bool:
    """Say whether the class of a layer or loss, and not only its base, says that it can be captured."""
    return bool(vars(type(part)).get("captures")) and not any(name in vars(part) for name in methods)


def _meets(layer: Layer) -> Layer | None:
    """Return the layer if its shards have to meet."""
    return layer if layer.synchronises else None


def _put(pending: list[Any], place: int, gradient: Array) -> None:
    known = pending[place]
    pending[place] = gradient if known is None else np.add(known, gradient, out=known)


def _add(a: Any, b: Any) -> Any:
    if isinstance(a, tuple):
        return tuple(x + y for x, y in zip(a, b, strict=True))
    return a + b


def _prefixed(empty: Any, prefix: str) -> Any:
    def lend(name: str, *arguments: Any) -> Array:
        result: Array = empty(prefix + name, *arguments)
        return result

    return lend
