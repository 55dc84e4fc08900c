"""Runs programs: the batch is cut into shards, whole shards run on threads, their gradients are summed in a tree."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from miniDLF.core.batch import Batch, bounds
from miniDLF.core.buffers import Buffers
from miniDLF.core.call import Call, Clock, Shared, explained
from miniDLF.core.capture import Watched
from miniDLF.core.graph import Graph
from miniDLF.core.inference import FEW_WEIGHTS, Inference
from miniDLF.core.joint import JointProduct
from miniDLF.core.layer import Layer
from miniDLF.core.meetings import drive_all, tree
from miniDLF.core.noted import NotedStep, keep
from miniDLF.core.parameter import Parameter
from miniDLF.core.program import Head, Program
from miniDLF.core.shard import Shard
from miniDLF.errors import NotReadyError
from miniDLF.kernels.sharing import MEMORY, is_shared
from miniDLF.kernels.threads import POOL, quiet_arithmetic, single_threaded_blas
from miniDLF.kernels.workspace import Array, Workspace, aligned_empty

__all__ = ["Batch", "Executor", "bounds"]

#: A training step with fewer floating-point operations than this, and `MEETING` times as many again for every time its
#: shards have to meet, stays on the caller's thread. Two threads that make short calls hinder each other at the
#: interpreter's lock, and a meeting costs 50 to 100 microseconds. Where one thread and two take as long: a perceptron
#: at 90 million, a convolutional network at 150, an LSTM at 190, one with two normalisations (four meetings) at 300.
SMALL_STEP = 100_000_000
MEETING = 0.5
#: The same for a prediction, whose shards share nothing: perceptrons at 30 and 40 million, a convolutional network 40.
SMALL_PREDICTION = 30_000_000
#: Sizes of batches for which the notes of a step are kept; the oldest make room.
KEPT_STEPS = 4
#: Bytes of a batch, at the most, that is copied to where its predecessors lay, so that its calls can be noted.
COPIED = 64 << 20
#: Inference runs in chunks of at most this many rows, and at most this much memory for the values between layers.
#: 10 000 samples through the specified MLP take 75.7 ms in chunks of 256 rows, 73.4 in chunks of 1024; through the
#: specified CNN, whose values are larger, 52.4 and 61.3.
CHUNK_ROWS = 1024
CHUNK_BYTES = 12 << 20
CHUNK_UNIT = 16


class Executor:
    """Forward, backward and inference of one graph.

    Parameters
    ----------
    graph, buffers
        What runs, and where its numbers lie.
    heads
        The losses, one an output; without them only inference works.
    seed
        Of every random stream.
    shards
        The number of shards of a training step; ``None`` means one a thread, and one for small work.
    in_place
        Whether layers may overwrite inputs that nobody else reads; without it every value is there after the step.
    """

    def __init__(
        self,
        graph: Graph,
        buffers: Buffers,
        *,
        heads: Sequence[Head] = (),
        seed: int = 0,
        shards: int | None = None,
        in_place: bool = True,
    ) -> None:
        self.graph, self.buffers, self.fixed_shards = graph, buffers, shards
        self.clock = Clock(seed, 0)
        trained = {slot.parameter for slot in buffers.slots if slot.trained}
        self.heads = list(heads)
        self._training: Program | None = Program(graph, trained, heads, in_place=in_place) if heads else None
        self._stateful = [
            (position, step.layer)
            for position, step in enumerate(self._training.steps if self._training else [])
            if type(step.layer).update_state is not Layer.update_state and not step.frozen
        ]
        few = buffers.values.size + buffers.state.size <= FEW_WEIGHTS
        self._inference = self._measuring = Program(graph, trained, None, in_place=in_place, folds=few)
        fused = self._training.fused if self._training else []
        if any(fused):
            self._measuring = Program(graph, trained, None, in_place=in_place, folds=few, fused=fused)
        self.fused = fused
        self._flops = graph.flops()
        #: Whether a layer calculates something of the whole batch, in a way that shards cannot share.
        self._in_one_piece = any(vars(layer).get("mixes_samples") for layer in graph.layers) or any(
            head.loss.mixes_samples(node.shape, buffers.dtype) for head, node in zip(heads, graph.outputs, strict=False)
        )
        self._adds = any(vars(layer).get("adds_loss") for layer in graph.layers)
        self._meetings = 2 * sum(step.meets for step in self._training.steps) if self._training else 0
        self._shards: list[Shard] = []
        self._steps: dict[Any, NotedStep] = {}
        self._noted: NotedStep | None = None  # the last step, if its calls can be noted
        self._mode: Any = None
        self._active: list[Shard] = []
        self._gradients: list[Array] = []  # of each
        self._cuts: tuple[tuple[int, int], ...] = ()  # the rows of each
        self._joint: dict[Any, dict[int, tuple[Parameter, JointProduct]]] = {}
        self._alone: tuple[slice, ...] = ()  # where the gradients of all shards but the first are zeros
        self._shared: dict[Layer, Shared] = {}
        if self._training is not None:
            self._shared = self._training.share(lambda: Workspace(buffers.dtype), True)
        self._infers_in = self._trains_in = MEMORY.process
        self._lies_shared = MEMORY.shared or is_shared(buffers.values)
        self._idle: deque[Inference] = deque()
        self._idle_for_losses: deque[Inference] = deque() if any(fused) else self._idle
        per_row = sum(int(np.prod(node.shape)) for node in graph.nodes) * buffers.dtype.itemsize
        self._chunk = max(1, min(CHUNK_ROWS, CHUNK_BYTES // max(per_row, 1)))

    # Training -------------------------------------------------------------------------------------------------------

    def shards_for(self, rows: int) -> int:
        """Return into how many shards a batch is cut: from its shape and the setting alone."""
        if self._in_one_piece:
            return 1
        if self.fixed_shards is not None:
            return self.fixed_shards
        return 1 if self._small(rows) else POOL.threads

    def _small(self, rows: int) -> bool:
        return 3 * self._flops * rows < SMALL_STEP * (1 + MEETING * self._meetings)

    @property
    def cuts(self) -> tuple[tuple[int, int], ...]:
        """Which rows of the batch each of the active shards had."""
        return self._cuts

    def active(self) -> list[Shard]:
        """The shards of the last step; their targets and predictions are there for the metrics."""
        return self._active

    def step(self, batch: Batch, number: int, *, training: bool = True, backward: bool = True) -> list[float]:
        """Run one batch; leave the gradients of its mean loss in ``buffers.gradients``; return the loss of each head.

        The losses are those before the weights of the heads (see `total_loss`), the gradients those of the total.

        The gradients of the shards still lie apart (see `gradient_parts`): the updater joins them.
        """
        program = self._training
        if program is None:
            raise RuntimeError("an executor without heads cannot train")
        if self._trains_in != MEMORY.process:
            self.leave_parent()
        if not self.buffers.current:
            self.buffers.take()
        self.clock.begin(number)
        for layer, shared in self._shared.items():
            layer.prepare(shared)
        mode = POOL.threads, training, backward
        if self._noted is None or mode != self._mode or not self._noted.fits(batch):
            self._mode, self._noted = mode, None  # also where what follows raises an error
            self._noted = self._arrange(program, batch, training, backward)
        shards = self._active
        try:
            if self._noted is not None:
                self._noted.run(batch)
            else:
                runs = [shard.run(batch, *cut, backward) for shard, cut in zip(shards, self._cuts, strict=True)]
                drive_all(self._small(len(batch)), runs)
        except AttributeError as error:
            raise explained(error) from error
        if len(shards) == 1:  # 1 to 2 % of a tiny step
            return list(map(float, shards[0].losses))
        return [tree(_plus, [float(shard.losses[head]) for shard in shards]) for head in range(len(self.heads))]

    def leave_parent(self) -> None:
        """In a fork, train in memory of its own; in the process that made this, nothing.

        Raises
        ------
        NotReadyError
            Where weights, gradients or the optimizer's state lie in memory that processes share (`use_processes`): the
            steps of a fork would go into the weights of the process from which it was forked.
        """
        if self._trains_in == MEMORY.process:
            return
        if self._lies_shared:
            raise NotReadyError(
                "this model belongs to the process that this one was forked from, and trains in memory that both see "
                "(see use_processes). Call compile again, and it trains in memory of this process; or start processes "
                "by spawn instead of fork."
            )
        self._shards, self._active, self._gradients, self._cuts = [], [], [], ()
        self._steps.clear()
        self._joint.clear()
        self._noted = None
        if self._training is not None:
            self._shared = self._training.share(lambda: Workspace(self.buffers.dtype), True)
        self._trains_in = MEMORY.process

    def _arrange(self, program: Program, batch: Batch, training: bool, backward: bool) -> NotedStep | None:
        """Get the shards ready; return what knows how such a step went before, where its calls can be noted."""
        rows = len(batch)
        cuts = bounds(rows, self.shards_for(rows))
        shards = self._ready(program, cuts, training)
        # Rows that are noted come to lie in the same place every time, so those that lie next to each other are copied.
        if not (program.captures and Watched.noted) or (batch.rows is None and batch.nbytes > COPIED):
            return None
        weights = tuple(None if given is None else given.shape[1:] for given in batch.weights)
        key = (cuts, backward, training, weights)
        known = self._steps.get(key)
        if known is None or not known.fits(batch):
            tail = program.tail(rows) if len(cuts) > 1 else len(program.steps)
            known = NotedStep(batch, shards, cuts, tail, backward, self._small(rows))
            keep(self._steps, key, known, KEPT_STEPS)
        return known

    def _ready(self, program: Program, cuts: tuple[tuple[int, int], ...], training: bool) -> list[Shard]:
        """Return the shards of this step in the mode that it wants; most steps find those of the last one so."""
        count = len(cuts)
        if count != len(self._active):
            self._shards += [self._new_shard(program, number) for number in range(len(self._shards), count)]
            self._active = self._shards[:count]
            self._gradients = [shard.gradients for shard in self._active if shard.gradients is not None]
        if cuts is not self._cuts:  # `bounds` gives the same again
            self._join(program, cuts)
        for shard in self._active:
            if shard.training != training:
                shard.set_training(training)
        return self._active

    def _join(self, program: Program, cuts: tuple[tuple[int, int], ...]) -> None:
        """Let the shards make gradients together where that pays: the first has them, and the others zeros."""
        joint = self._joint.get(cuts)
        if joint is None:
            joint = program.joint_products(cuts, self.buffers.views(self.buffers.gradients))
            keep(self._joint, cuts, joint, KEPT_STEPS)
        for number, shard in enumerate(self._active):
            for call in shard.calls:
                call.joint = None
            for position, (matrix, product) in joint.items():
                call = shard.calls[position]
                call.joint = product
                if number:
                    call.grad(matrix).fill(0)
        made = [matrix for matrix, _ in joint.values()]
        self._alone = tuple(slot.slice for slot in self.buffers.slots if slot.parameter in made)
        self._cuts = cuts

    def reseed(self, seed: int) -> None:
        """Draw from other random streams from now on: those of `seed`."""
        self.clock.seed = seed
        self._steps.clear()
        self._noted = None  # helpers have a clock of their own
        for shard in self._shards:
            for call in shard.calls:
                call.forget_stream()

    def gradient_parts(self) -> tuple[list[Array], tuple[slice, ...]]:
        """Return the flat gradients of the shards of the last step, and where all but the first are zeros.

        The first is ``buffers.gradients``.
        """
        return self._gradients, self._alone

    def added_loss(self) -> float:
        """Return what layers have added to the loss in the last step."""
        return added_loss(call for shard in self._active for call in shard.calls) if self._adds else 0.0

    def update_states(self) -> None:
        """Let layers with state that is not trained advance it (once a training step)."""
        for position, layer in self._stateful:
            layer.update_state(self._shards[0].calls[position])

    def settle_states(self) -> None:
        """Let these layers leave the state of the last batch alone, where that is the whole data set."""
        for position, layer in self._stateful:
            layer.settle_state(self._shards[0].calls[position])

    def _new_shard(self, program: Program, number: int) -> Shard:
        gradients = self.buffers.gradients
        if number:
            gradients = aligned_empty(gradients.size, gradients.dtype)
            gradients.fill(0)
        return Shard(program, self.buffers, gradients, self._shared, self.clock, number)

    # Inference ------------------------------------------------------------------------------------------------------

    @single_threaded_blas  # always: the bits must not depend on whether another model trains meanwhile
    @quiet_arithmetic
    def infer(self, inputs: Sequence[Array], *, for_losses: bool = False) -> Outputs:
        """Return the outputs for all rows of `inputs` (of the model's dtype); safe to call from several threads.

        Outputs `for_losses` are those that `Head.take` wants: logits where the loss absorbs the activation (`fused`).
        """
        if self._infers_in != MEMORY.process:  # forked: what the parent predicts with may lie where both write
            self.buffers.settle()
            self._idle, self._idle_for_losses = deque(), deque()
            self._infers_in = MEMORY.process
        program = self._measuring if for_losses else self._inference
        idle = self._idle_for_losses if for_losses else self._idle
        if not self.buffers.current:
            self.buffers.take()
        try:
            context = idle.pop()
        except IndexError:
            context = Inference(program, self.buffers)
        try:
            rows = len(inputs[0])
            context.prepare()
            if rows <= self._chunk and (rows == 1 or self._flops * rows < SMALL_PREDICTION):
                worker = context.worker(0)
                outputs = Outputs(np.array(output) for output in worker.run(inputs))
                outputs.added = added_loss(worker.calls) if self._adds else 0.0
                return outputs
            return self._infer_chunks(context, inputs, rows)
        except AttributeError as error:
            raise explained(error) from error
        finally:
            idle.append(context)

    def _infer_chunks(self, context: Inference, inputs: Sequence[Array], rows: int) -> Outputs:
        # Two parts at least, whatever the number of threads: shapes alone decide. Where the batch is the last axis in
        # memory, whole cache lines of rows keep every vector within a line.
        step = min(self._chunk, -(-rows // 2))
        step -= step % CHUNK_UNIT if step > CHUNK_UNIT else 0
        cuts = [(start, min(start + step, rows)) for start in range(0, rows, step)]
        outputs = Outputs(np.empty((rows, *node.shape), self.buffers.dtype) for node in self.graph.outputs)
        added = []
        free = deque(context.worker(number) for number in range(min(POOL.threads, len(cuts))))
        count = len(free)

        def chunk(start: int, stop: int) -> None:
            worker = free.pop()
            for output, part in zip(outputs, worker.run([array[start:stop] for array in inputs]), strict=True):
                output[start:stop] = part
            if self._adds:
                added.append(added_loss(worker.calls) * (stop - start) / rows)
            free.append(worker)

        POOL.run([partial(chunk, *cut) for cut in cuts], count)
        outputs.added = sum(added)
        return outputs


class Outputs(list[Array]):
    """Outputs of a graph, and what its layers add to the loss (the mean over the rows)."""

    added = 0.0


def added_loss(calls: Iterable[Call]) -> float:
    """Return the sum of what layers written in tensors have added to the loss in these calls."""
    runs = (vars(call).get("run") for call in calls)
    return sum(float(run.extra_loss) for run in runs if run is not None and run.extra_loss is not None)


def _plus(a: float, b: float) -> float:
    return a + b
