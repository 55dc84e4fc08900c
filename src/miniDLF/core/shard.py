"""The memory of one part of a batch, one `Call` a step, and the loops forward and back."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from miniDLF.core.batch import Batch
from miniDLF.core.buffers import Buffers
from miniDLF.core.call import Call, Clock, Shared
from miniDLF.core.capture import Watched
from miniDLF.core.layer import Layer
from miniDLF.core.meetings import Meeting
from miniDLF.core.parameter import Parameter
from miniDLF.core.program import Program, Step
from miniDLF.core.returns import first_backward, first_forward
from miniDLF.core.tracing import NoteTaker, TracingWorkspace, plain
from miniDLF.errors import ArgumentError
from miniDLF.kernels.workspace import Array, Workspace

__all__ = ["Shard"]


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
        self.clock = clock
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
            call.training, call.keeps = self.training and not step.frozen, self.training
            call.needs_dx = any(step.needs_dx)
            call.overwrites = step.overwrites
            call.enlarges, call.rectifies, call.pools = step.enlarges, step.rectifies, step.pools
            if step.layer in shared:
                call.shared = shared[step.layer]
            self.calls.append(call)
        self._collected = [(views[parameter], parts) for parameter, parts in collected.items()]
        self._heads = list(enumerate(zip(program.heads, program.outputs, program.fused, strict=False)))
        self.lender: Any = self.workspace
        self._traces = False
        self._line_up()

    def _line_up(self) -> None:
        steps = list(enumerate(zip(self.program.steps, self.calls, strict=True)))
        self._forward = [
            (
                first_forward(step, partial(self._trust, position, "forward")),
                call,
                itemgetter(*step.sources),
                step.target,
                _meets(step.layer),
            )
            for position, (step, call) in steps
        ]
        learning = [entry for entry in reversed(steps) if entry[1][0].learns]
        self._backward = [
            (first_backward(step, partial(self._trust, number, "backward")), call, position, step, _meets(step.layer))
            for number, (position, (step, call)) in enumerate(learning)
        ]

    def _trust(self, number: int, method: str) -> None:
        """From now on, call the method of a layer that has returned what it should."""
        if method == "forward":
            layer, entry = self.program.steps[number].layer, self._forward[number]
            self._forward[number] = (layer.forward, *entry[1:])
        else:
            back = self._backward[number]
            self._backward[number] = (back[3].layer.backward, *back[1:])

    def observe(self, layers: Sequence[Any]) -> None:
        """Let other objects stand for the layers of the steps, such as ones that note the time and pass everything on.

        The program is changed with it, so only an executor that nobody else uses should be observed.
        """
        self.program.steps = [
            replace(step, layer=layer) for step, layer in zip(self.program.steps, layers, strict=True)
        ]
        self.program.captures = False
        Watched.changes += 1  # what is noted would pass them by
        self._line_up()

    def trace(self, taker: NoteTaker) -> None:
        """Let all that the shard lends note what is done with it, until `untrace`."""
        self._traces = True
        self.lender = TracingWorkspace(self.workspace, taker)
        for call in self.calls:
            call.trace(taker)

    def untrace(self) -> None:
        """Lend plain arrays again, and hold no others; also where an interrupt once came between."""
        if not self._traces:
            return
        self.lender = self.workspace
        for call in self.calls:
            call.trace(None)
        for arrays in (self.values, self.targets, self.weights, self.losses, self.predictions):
            arrays[:] = map(plain, arrays)
        self._traces = False

    def set_training(self, training: bool) -> None:
        """Set the mode of every call."""
        for step, call in zip(self.program.steps, self.calls, strict=True):
            call.training = training and not step.frozen
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
        self.untrace()
        self.gather(batch, start, stop)
        yield from self.run_gathered(self.program.tail(len(batch)), backward)

    def gather(self, batch: Batch, start: int, stop: int, fixed: bool = False) -> None:
        """Put the rows from `start` to `stop` in their places; with `fixed` these are the same every time."""
        inputs, self.targets, self.weights = batch.part(start, stop, self.workspace, fixed)
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
        joint: list[Call] = []
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
            if call.joint is not None:
                if not call.handed_in:
                    raise ArgumentError(
                        f"{step.layer.described}: row_matrix() names a matrix whose gradient backward has to leave to "
                        "call.product_over_rows(x, dy, matrix), and it did not call that. Call it, or let row_matrix() "
                        "return None."
                    )
                joint.append(call)
            if step.layer.takes_many:
                self._hand_back(step, dx, pending)
            elif step.needs_dx[0]:
                _put(pending, step.sources[0], dx)
        if joint:
            yield Meeting()
            for call in joint:
                call.finish()
        self._collect(reached)

    def _take_losses(self, pending: list[Any]) -> None:
        empty = self.lender.empty
        self.losses.clear()
        self.predictions.clear()
        for number, (head, place, fused) in self._heads:
            output = self.values[place]
            lend = empty if number == 0 else _prefixed(empty, f"{number} ")
            if not output.flags.c_contiguous:  # a loss works sample by sample, next to the targets
                ordered = lend("output", output.shape)
                np.copyto(ordered, output)
                output = ordered
            loss, dy, prediction = head.take(output, self.targets[number], self.weights[number], lend, fused=fused)
            if head.weight == 0.0:
                dy.fill(0)  # also where it is not finite
            elif head.weight != 1.0:
                np.multiply(dy, head.weight, out=dy)
            self.losses.append(loss)
            self.predictions.append(prediction)
            _put(pending, place, dy)

    def _hand_back(self, step: Step, dx: Sequence[Any], pending: list[Any]) -> None:
        """Give each input of a step its gradient, and no two the same memory, since backward may write to it."""
        given: list[tuple[int, Array]] = []
        for source, needed, gradient in zip(step.sources, step.needs_dx, dx, strict=True):
            if needed:
                taken = any(gradient is other for _, other in given)
                given.append((source, gradient.copy() if taken else gradient))
        for source, gradient in given:  # when all copies are made: an input that comes twice adds up in place
            _put(pending, source, gradient)

    def _collect(self, reached: set[int]) -> None:
        """Add up the gradients of layers that stand at several places."""
        for total, parts in self._collected:
            total.fill(0)
            for position, part in parts:
                if position in reached:
                    np.add(total, part, out=total)


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
