"""The record of one use of a layer in one shard of one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from miniDLF.core.joint import JointProduct
from miniDLF.core.parameter import Parameter
from miniDLF.core.tracing import NoteTaker, TracingWorkspace, plain
from miniDLF.kernels.streams import Stream
from miniDLF.kernels.tiles import Pooling
from miniDLF.kernels.workspace import Array, Once, Workspace

__all__ = ["Call", "Clock", "Shared", "explained"]


class Clock:
    """The seed of a run and the number of its present step; the calls of all shards read the same one.

    `tick` moves with every run, also with two runs of one step: each begins its random streams anew.
    """

    __slots__ = ("seed", "step", "tick")

    def __init__(self, seed: int, step: int) -> None:
        self.seed, self.step, self.tick = seed, step, 0

    def begin(self, step: int) -> None:
        """Begin a run of step number `step`."""
        self.step = step
        self.tick += 1


class Shared:
    """What every shard of a step reads: the results of a layer's ``prepare``.

    `empty` lends memory as on a `Call`; anything else may be set as an attribute.
    """

    training: bool

    def __init__(self, workspace: Workspace) -> None:
        self.training = False
        self.empty = workspace.empty
        self.zeros = workspace.zeros

    if TYPE_CHECKING:  # no `__getattr__` at run time: with one, every access takes twice as long

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: Any) -> None: ...


class Call:
    """One use of a layer: whether it trains, its random numbers, its memory, and what forward leaves for backward.

    Attributes
    ----------
    training : bool
        Whether dropout drops and batch statistics are used.
    needs_dx : bool
        Whether anything upstream needs the gradient with respect to the input.
    overwrites : bool
        Whether nobody needs the input any more, so that the output may take its place (see `output_like`).
    enlarges : tuple of int
        How often every row and every column of the input is to be repeated first (see `Layer.absorbs_enlarging`).
    rectifies : float or None
        The slope below zero of the rectifier that the input is to pass first (see `Layer.absorbs_rectifier`).
    pools : Pooling or None
        How the output is to be pooled at last (see `Layer.absorbs_pooling`).
    keeps : bool
        Whether backward may follow; else forward need not keep anything for it.
    joint, handed_in : JointProduct or None, bool
        What makes a gradient out of the rows of all shards (see `product_over_rows`), and whether it has those of this.
    shared : Shared
        What ``prepare`` made once for every shard of this step.
    empty, empty_like, zeros : callable
        Lend memory that lasts from forward to backward, by a name: the same again in the next step (see `Workspace`).
    scratch : callable
        Lends memory as `empty` does that is yours only until this forward or backward returns; all layers share it.
    total, backward_total
        The merged statistics of the whole batch, for layers that synchronise (see `Layer.partial`).
    """

    training: bool
    needs_dx: bool
    overwrites: bool
    enlarges: tuple[int, int]
    rectifies: float | None
    pools: Pooling | None
    keeps: bool
    joint: JointProduct | None
    handed_in: bool
    shared: Shared
    total: Any
    backward_total: Any

    def __init__(
        self,
        workspace: Workspace,
        scratch: Workspace,
        gradients: dict[Parameter, Array],
        clock: Clock | None = None,
        place: tuple[int, int] = (0, 0),
    ) -> None:
        self.training = False
        self.needs_dx = True
        self.overwrites = False
        self.enlarges = (1, 1)
        self.rectifies = self.pools = None
        self.keeps = True
        self.joint, self.handed_in = None, False
        self.dtype = workspace.dtype
        self.workspace, self._scratch, self._own_gradients = workspace, scratch, gradients
        self._lend(None)
        self._clock = clock or Clock(0, 0)
        self._place = place
        self._drawn = -1
        self._stream: Stream | None = None
        self._lasting = {*vars(self), "_lasting", "shared", "total"}

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: Any) -> None: ...

    def beside(self) -> Call:
        """Return a call of another part of the batch, with memory of its own."""
        dtype = self.dtype
        gradients = {parameter: np.zeros_like(array) for parameter, array in self._own_gradients.items()}
        other = Call(Workspace(dtype), Workspace(dtype), gradients, self._clock, (self._place[0], self._place[1] + 1))
        for name in ("training", "needs_dx", "enlarges", "rectifies", "pools", "keeps", "shared"):
            if name in vars(self):
                setattr(other, name, getattr(self, name))
        return other

    def trace(self, taker: NoteTaker | None) -> None:
        """From now on, lend arrays that note what is done with them; or, without a taker, plain ones again.

        What forward and backward have left is forgotten, except for `total`, which `Layer.update_state` reads later.
        """
        for name in vars(self).keys() - self._lasting:
            delattr(self, name)
        if "total" in vars(self):
            self.total = plain(self.total)
        self._lend(taker)

    def _lend(self, taker: NoteTaker | None) -> None:
        own = self._own_gradients
        self._taker = taker
        self._gradients = {key: taker.traced(array) for key, array in own.items()} if taker else own
        workspace = TracingWorkspace(self.workspace, taker) if taker else self.workspace
        scratch = TracingWorkspace(self._scratch, taker) if taker else self._scratch
        self.empty, self.empty_like, self.zeros = workspace.empty, workspace.empty_like, workspace.zeros
        self.scratch = scratch.empty
        self._once = Once()

    def once(self, x: Array, make: Callable[[Array, Call], Any]) -> Any:
        """Return ``make(x, call)``, made anew only where `x` lies elsewhere than the last time (see `Once`).

        A call remembers one such thing, so a layer has one `make`.
        """
        return self._once(x, make, self)

    def output_like(self, x: Array) -> Array:
        """Return memory for an output of the shape and order of `x`: that of `x` itself where nobody reads it again.

        For layers that work element by element. A pass in place finds its numbers in the cache, where a second buffer
        would have to be brought in, and a network keeps half as many of them.
        """
        return x if self.overwrites else self.empty_like("y", x)

    def grad(self, parameter: Parameter) -> Array:
        """Return the array that backward must fill with the gradient of `parameter` (overwrite, do not add)."""
        gradient = self._gradients.get(parameter)
        if gradient is None:  # frozen: the gradient goes nowhere
            return self.scratch("frozen " + parameter.name, parameter.shape)
        return gradient

    def wants(self, parameter: Parameter) -> bool:
        """Say whether the gradient of `parameter` is used; backward may skip it where it is not."""
        return parameter in self._gradients

    def product_over_rows(self, x: Array, dy: Array, parameter: Parameter) -> None:
        """Fill the gradient of a matrix that rows are multiplied with: x^T dy, (N, D), (N, U) -> (D, U).

        Large matrices, given few rows, get theirs when all shards are through: then they make it together (see
        `core.joint`). `Layer.row_matrix` has to name the parameter for that.
        """
        if self.joint is None:
            x.T.dot(dy, self.grad(parameter))
        else:
            self.joint.hand_in(self._place[1], x, dy, self._lent)
            self.handed_in = True

    def finish(self) -> None:
        """Make this shard's part of what all have handed in."""
        assert self.joint is not None
        self.joint.multiply(self._place[1], self._lent)

    def _lent(self, array: Array) -> Array:
        return self._taker.traced(array) if self._taker else array

    def later(self, work: Callable[..., None], *arguments: Any) -> None:
        """Do some work of backward that nobody waits for before the step is over: whoever is idle may do it then.

        Nothing else in this step may write to what it reads, and nothing else may use what it writes to. So neither can
        be `scratch`, nor a gradient that is handed on.
        """
        if self._taker is None:
            work(*arguments)
        else:
            self._taker.offer(work, *arguments)

    def begin(self, training: bool, seed: int, step: int, node: int, shard: int) -> None:
        """Give the call a clock of its own (a layer run without an executor)."""
        self.training = training
        self._clock = Clock(seed, step)
        self._place = (node, shard)
        self._drawn = -1
        self._stream = None

    def draw_again(self) -> None:
        """Let `rng` begin anew, as in a new step."""
        self._drawn = -1

    def forget_stream(self) -> None:
        """Let `rng` begin with another stream: the clock has another seed."""
        self._drawn, self._stream = -1, None

    def raw_bits(self, count: int) -> Array:
        """Draw `count` 64-bit numbers from `rng`."""
        bits: Array = self.rng.bit_generator.random_raw(count)
        return bits

    @property
    def rng(self) -> np.random.Generator:
        """The random stream of this call: a pure function of (seed, step, layer, shard)."""
        clock = self._clock
        if self._stream is None:
            self._stream = Stream(clock.seed, *self._place)
        if self._drawn != clock.tick:
            self._drawn = clock.tick
            self._stream.begin(clock.step)
        return self._stream.generator


def explained(error: AttributeError) -> AttributeError:
    """Return `error`, or where a layer read what nobody had left for it, one that says so."""
    if isinstance(error.obj, Shared):
        return AttributeError(f"prepare() has not set {error.name!r}")
    if isinstance(error.obj, Call):
        return AttributeError(f"forward() left no {error.name!r} for backward()")
    return error
