"""What is going on where an operation is applied: whether a program is being recorded, in which layer, under a tape.

Context variables, so that every thread and every task has its own.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from miniDLF.kernels.workspace import Array
    from miniDLF.tensor.primitive import Operation
    from miniDLF.tensor.tensor import Tensor
    from miniDLF.tensor.variable import Variable

__all__ = [
    "Effect", "Recording", "calling", "computes_in", "current", "layer_scope", "line_of_user", "no_history", "noted",
    "noting", "recording", "remembers", "scope", "trains",
]  # fmt: skip

_PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


class Effect(Protocol):
    """Something that a program does with some of its values when it is over, such as an optimizer's step."""

    #: The values that it needs.
    tensors: Sequence[Tensor]

    def places(self, shards: int) -> Sequence[Sequence[Array]]:
        """Return, for each of so many shards, where it writes its part of every value."""

    def perform(self, shards: int) -> None:
        """Do it: the values are the sums of the parts."""


class Recording:
    """A program while it is recorded: besides its results, what it does to variables.

    Attributes
    ----------
    assignments : dict of Variable to Tensor
        What every changed variable holds when the program is over.
    effects : list of Effect
        What is done with values when the program is over.
    seed : int
        Of its random numbers.
    losses : list of Tensor
        What layers add to the loss.
    draws : int
        How many random operations there are so far; the number of each is a part of its key.
    will_run : bool
        Whether it is recorded to be run as it is, so weights that are not drawn yet have to be. Otherwise only shapes
        are asked for, and the weights are left to whatever will hold them.
    """

    def __init__(self, seed: int = 0, will_run: bool = False) -> None:
        self.seed, self.will_run = seed, will_run
        self.assignments: dict[Variable, Tensor] = {}
        self.effects: list[Effect] = []
        self.losses: list[Tensor] = []
        self.draws = 0

    def draw(self) -> int:
        """Return the number of the next random operation."""
        self.draws += 1
        return self.draws


_RECORDING: ContextVar[Recording | None] = ContextVar("miniDLF.recording", default=None)
_SCOPE: ContextVar[str] = ContextVar("miniDLF.scope", default="")
_TRAINS: ContextVar[bool] = ContextVar("miniDLF.trains", default=False)
_TYPE: ContextVar[str | None] = ContextVar("miniDLF.type", default=None)
_HISTORY: ContextVar[bool] = ContextVar("miniDLF.history", default=True)

_NOTED: ContextVar[list[Operation] | None] = ContextVar("miniDLF.noted", default=None)

#: The program that is being recorded here, if any.
current = _RECORDING.get
#: The layer that is being called here, or an empty string.
scope = _SCOPE.get
#: Whether the layer that is being called here is called in training.
trains = _TRAINS.get
#: The name of the type in which the layer that is being called here computes, ``None`` outside.
computes_in = _TYPE.get
#: Whether results remember what they were made of.
remembers = _HISTORY.get
#: The list to which operations are added as they are recorded, if there is one.
noted = _NOTED.get


@contextlib.contextmanager
def recording(program: Recording | None) -> Iterator[Recording | None]:
    """Record the operations on variables and symbolic tensors within; ``None`` goes back to computing at once."""
    token = _RECORDING.set(program)
    try:
        yield program
    finally:
        _RECORDING.reset(token)


@contextlib.contextmanager
def noting() -> Iterator[list[Operation]]:
    """Note which operations are recorded within."""
    around, within = _NOTED.get(), []  # type: ignore[var-annotated]
    token = _NOTED.set(within)
    try:
        yield within
    finally:
        _NOTED.reset(token)
        if around is not None:
            around.extend(within)


@contextlib.contextmanager
def layer_scope(name: str) -> Iterator[None]:
    """Say in which layer the operations within are; scopes nest as ``outer/inner``."""
    before = _SCOPE.get()
    token = _SCOPE.set(f"{before}/{name}" if before else name)
    try:
        yield
    finally:
        _SCOPE.reset(token)


@contextlib.contextmanager
def calling(training: bool, dtype: str | None = None) -> Iterator[None]:
    """Say whether a layer is called in training, and in which type: layers that it calls are called alike."""
    token, of_type = _TRAINS.set(training), _TYPE.set(dtype or _TYPE.get())
    try:
        yield
    finally:
        _TRAINS.reset(token)
        _TYPE.reset(of_type)


@contextlib.contextmanager
def no_history(really: bool = True) -> Iterator[None]:
    """Let results of eager operations within forget what they were made of: they then have no gradients."""
    token = _HISTORY.set(not really)
    try:
        yield
    finally:
        _HISTORY.reset(token)


def line_of_user() -> str:
    """Return where, outside of this package, the call came from: ``"train.py, line 12 (call)"``."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    if frame is None:
        return "an unknown line"
    return f"{os.path.basename(frame.f_code.co_filename)}, line {frame.f_lineno} (in {frame.f_code.co_name})"
