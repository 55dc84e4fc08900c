"""Notes of NumPy calls, and arrays that take them (see `core.capture`, which proves and uses them)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import numpy as np

from miniDLF.core.meetings import Offer
from miniDLF.kernels.sharing import MEMORY
from miniDLF.kernels.workspace import Array, Workspace, lasting

__all__ = [
    "MOST",
    "Calls",
    "NoteTaker",
    "Notes",
    "TracingWorkspace",
    "arrays_in",
    "fill",
    "in_place",
    "plain",
    "repeat",
]

#: More calls than these are not noted. The notes of long sequences are long, and on threads they gain nothing.
MOST = 4096
#: The same where processes may work them off. An LSTM of 128 units takes 0.72 to 0.77 of its time on threads for 316 to
#: 1000 time steps, of which a thousand are 14 000 calls a shard; taking the notes takes as long as twenty steps.
MOST_FOR_PROCESSES = 32_768
#: Methods of arrays that return a view, or work through a ufunc, which is noted.
VIEWING_METHODS = {"transpose", "view", "squeeze", "swapaxes", "sum", "max", "min", "any", "all", "clip"}

Calls = list[tuple[Callable[..., Any], tuple[Any, ...]]]


class NotCapturableError(Exception):
    """Something that cannot be noted: a number that Python looks at, a copy, a function that is not known."""


class Notes:
    """The calls of a step, cut where others are met."""

    def __init__(self) -> None:
        self.calls: Calls = []
        self.others: list[Array] = []  # arrays that calls read, and that were not lent
        self._before: list[Any] = []  # calls, the meeting or offer behind them, and where goes what is received there

    def cut(self, brought: Any, places: Any) -> None:
        """End a part: what is brought to others there, and where goes what is received."""
        self._before.append((self.calls, brought, places))
        self.calls = []

    @property
    def meets(self) -> bool:
        """Whether others are met."""
        return bool(self._before)

    def parts(self) -> list[tuple[Calls, Any, Any]]:
        """Return the calls up to a meeting or an offer, that one, and where goes what is received; at last no other."""
        return [*self._before, (self.calls, None, None)]

    def repeat(self) -> None:
        """Make all calls again where nobody is met."""
        repeat(self.calls)

    def replay(self) -> Generator[Any, Any, None]:
        """Make all calls again; yield every meeting, and be sent what is received there, and every offer."""
        for calls, brought, places in self._before:
            repeat(calls)
            fill(places, (yield brought))
        self.repeat()


class NoteTaker:
    """Makes calls, and notes them until it has finished.

    Traced arrays refer to it for as long as they live, and calls to arrays. Python's garbage collector cannot see what
    a plain array refers to, so a taker that kept its notes would close a circle that is never freed.

    Parameters
    ----------
    notes
        What it fills.
    offers
        Whether there are others who may do what can wait.
    """

    def __init__(self, notes: Notes, offers: bool) -> None:
        self._notes: Notes | None = notes
        self._offers = offers
        self._most = MOST_FOR_PROCESSES if offers and MEMORY.shared else MOST
        self._count = 0

    def finish(self) -> None:
        """From now on, make calls and note them no longer."""
        self._notes = None

    def make(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
        """Make a call, and note it."""
        notes = self._notes
        if notes is not None:
            notes.others += [value for value in arrays_in((arguments, *keywords.values())) if type(value) is np.ndarray]
        arguments = tuple(map(plain, arguments))
        if keywords:
            function = functools.partial(function, **{name: plain(value) for name, value in keywords.items()})
        function(*arguments)
        if notes is not None:
            notes.calls.append((function, arguments))
            self._count += 1
            if self._count > self._most:
                raise NotCapturableError("so many calls")

    def traced(self, array: Array) -> _Traced:
        """Return a view of `array` that notes what is done with it."""
        result = array.view(_Traced)
        result.taker = self
        return result

    def meet(self, meeting: Any, received: Any) -> Any:
        """Note that others are met; return what was `received`, traced, in a place of its own."""
        places = _each(_copy, received)
        if self._notes is not None:
            self._notes.cut(meeting, places)
        return _each(self.traced, places)

    def offer(self, work: Callable[..., None], *arguments: Any) -> None:
        """Do what need not be done before the step is over, and note it as an offer to whoever is idle."""
        notes = self._notes
        if notes is None or not self._offers:
            work(*arguments)
            return
        offered: Calls = []
        notes.cut(Offer(repeat, offered), None)
        notes.calls = offered
        work(*arguments)
        notes.calls = []


def repeat(calls: Calls) -> None:
    """Make noted calls again."""
    for function, arguments in calls:
        function(*arguments)


def _copy(value: Any) -> Array:
    """Copy an array, or a number, to a place of its own."""
    place = lasting(np.shape(value), np.asarray(value).dtype)
    np.copyto(place, value)
    return place


def _each(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply `function` to the arrays in nested tuples."""
    if isinstance(value, tuple):
        return tuple(_each(function, part) for part in value)
    return function(value) if isinstance(value, np.ndarray) else value


def arrays_in(values: Iterable[Any]) -> list[Array]:
    """Return the arrays with axes among the values, and in tuples and lists of them."""
    found: list[Array] = []
    for value in values:
        if isinstance(value, np.ndarray):
            if value.ndim:
                found.append(value)
        elif isinstance(value, tuple | list):
            found += arrays_in(value)
    return found


def in_place(earlier: Sequence[Array], later: Sequence[Array]) -> bool:
    """Say whether arrays lie where others lie that are still there."""
    return len(earlier) == len(later) and all(
        a is b or _place(a) == _place(b) for a, b in zip(earlier, later, strict=True)
    )


def _place(array: Array) -> Any:
    return array.__array_interface__["data"], array.shape, array.strides


def fill(places: Any, value: Any) -> None:
    """Copy arrays in nested tuples to their places."""
    if isinstance(places, tuple):
        for place, part in zip(places, value, strict=True):
            fill(place, part)
    elif isinstance(places, np.ndarray):
        np.copyto(places, value)


class _Traced(np.ndarray[Any, Any]):
    """An array that notes every call that reads or writes it."""

    taker: Any = None

    def __array_finalize__(self, parent: Any) -> None:
        self.taker = getattr(parent, "taker", None)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        taker: NoteTaker = next(a.taker for a in (*inputs, *options.get("out", ())) if isinstance(a, _Traced))
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        if method == "at":
            taker.make(function, *inputs)
            return None
        if ufunc.nout > 1:
            raise NotCapturableError(ufunc.__name__)
        inputs = _as_arrays(inputs)
        given = options.pop("out", None)
        if given is None:  # the result gets a place of its own
            result = np.asarray(function(*map(plain, inputs), **options))
            given = (taker.traced(lasting(result.shape, result.dtype)),)
        if method != "__call__" or options or ufunc in (np.maximum, np.minimum):  # those two want their output by name
            taker.make(function, *inputs, out=given[0], **options)
        else:
            taker.make(function, *inputs, given[0])
        return taker.traced(plain(given[0]))

    def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
        if function is np.copyto:
            taker = next(a.taker for a in arguments if isinstance(a, _Traced))
            return taker.make(np.copyto, *arguments, **keywords)
        if function is np.concatenate and isinstance(keywords.get("out"), _Traced):
            keywords["out"].taker.make(np.concatenate, *arguments, **keywords)
            return keywords["out"]
        if function in (np.sum, np.max, np.min, np.clip):  # they work through ufuncs
            return super().__array_function__(function, types, arguments, keywords)
        raise NotCapturableError(function.__name__)

    def dot(self, b: Any, out: Any = None) -> Any:
        return self._made("dot", (b,), out)

    def take(self, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Any:
        return self._made("take", (indices, axis), out, mode)

    def argmax(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
        if keepdims:
            raise NotCapturableError("argmax")
        return self._made("argmax", (axis,), out)

    def _made(self, method: str, before: Any, out: Any, *after: Any) -> Any:
        """Note a method that takes its output by position; without one the result gets a place of its own."""
        function = getattr(plain(self), method)
        taker: NoteTaker = self.taker
        target = taker.traced(_copy(function(*map(plain, before), None, *after))) if out is None else out
        taker.make(function, *before, target, *after)
        return taker.traced(plain(target))

    def fill(self, value: Any) -> None:
        self.taker.make(plain(self).fill, value)

    def astype(self, dtype: Any, *arguments: Any, **keywords: Any) -> Any:
        target = self.taker.traced(lasting(self.shape, dtype))
        self.taker.make(np.copyto, target, self, "unsafe")
        return target

    def copy(self, order: Any = "C") -> Any:
        return self.astype(self.dtype)

    def reshape(self, *arguments: Any, **keywords: Any) -> Any:
        return self._view(super().reshape(*arguments, **keywords))

    def ravel(self, order: Any = "C") -> Any:
        return self._view(super().ravel(order))

    def _view(self, result: Any) -> Any:
        if not isinstance(result, _Traced) or result.flags.owndata:
            raise NotCapturableError("a copy, or a number")
        return result

    def __getitem__(self, key: Any) -> Any:
        return self._view(super().__getitem__(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        self.taker.make(plain(self).__setitem__, plain(key), value)


def _as_arrays(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Turn Python's numbers among the inputs into arrays of the others' type, as the call would do each time."""
    kinds = {value.dtype for value in inputs if isinstance(value, np.ndarray)}
    if len(kinds) != 1 or (kind := kinds.pop()).kind != "f":
        return inputs
    return tuple(np.array(value, kind) if type(value) in (int, float) else value for value in inputs)


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise NotCapturableError(name)

    return refuse


for _name in dir(np.ndarray):
    _looks = _name in ("__bool__", "__float__", "__int__", "__index__", "__complex__")
    _method = not _name.startswith("_") and callable(getattr(np.ndarray, _name))
    if _looks or (_method and _name not in VIEWING_METHODS and _name not in _Traced.__dict__):
        setattr(_Traced, _name, _refusal(_name))


def plain(value: Any) -> Any:
    """Return an array without the tracing."""
    if isinstance(value, _Traced):
        return value.view(np.ndarray)
    return tuple(map(plain, value)) if isinstance(value, tuple) else value


class TracingWorkspace(Workspace):
    """Lends what another workspace lends, traced."""

    def __init__(self, workspace: Workspace, taker: NoteTaker) -> None:
        self.dtype, self._memory = workspace.dtype, workspace._memory
        self.empty = lambda *arguments, **keywords: taker.traced(workspace.empty(*arguments, **keywords))
