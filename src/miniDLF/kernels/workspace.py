"""Memory that is lent by name, so that a steady-state step allocates nothing large."""

from __future__ import annotations

import ctypes
import functools
import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike, NDArray

from miniDLF.kernels.sharing import MEMORY

Array = NDArray[Any]
Shape = tuple[int, ...]
Lend = Callable[..., Array]

ALIGNMENT = 64  # bytes: one cache line, and the width of an AVX-512 register

__all__ = [
    "ALIGNMENT",
    "Array",
    "Lend",
    "Once",
    "Shape",
    "Workspace",
    "aligned_empty",
    "as_one_call",
    "comparison",
    "constant_array",
    "lasting",
    "lend_like",
    "strided",
]


def aligned_empty(size: int, dtype: DTypeLike) -> Array:
    """Return an uninitialised vector of `size` elements whose first byte lies on a cache line."""
    kind = np.dtype(dtype)
    raw = MEMORY.empty(size * kind.itemsize + ALIGNMENT)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size * kind.itemsize].view(kind)


def lasting(shape: Shape, dtype: DTypeLike) -> Array:
    """Return an uninitialised array of any shape in such memory."""
    return aligned_empty(math.prod(shape), dtype).reshape(shape)


def constant_array(array: Array) -> Array:
    """Let nobody write to an array that is made once for all."""
    array.flags.writeable = False
    return array


def comparison(a: Array, b: Array) -> Callable[[], object]:
    """Return what says whether the bytes of two arrays differ; both C-contiguous, of one size, and in their places.

    By memcmp of C where ctypes finds it: 2.2 us for two arrays of 30 KB in the cache, and NumPy's comparison takes 4.7.
    """
    try:
        memcmp = ctypes.PyDLL(None).memcmp
    except (AttributeError, OSError, TypeError):  # Windows: no library of that name
        return lambda: a.tobytes() != b.tobytes()
    return functools.partial(
        memcmp, ctypes.c_void_p(a.ctypes.data), ctypes.c_void_p(b.ctypes.data), ctypes.c_size_t(a.nbytes)
    )


def as_one_call(function: Callable[..., None]) -> Callable[..., None]:
    """Let arrays that note what is done with them (see `core.capture`) note a call of `function` as a whole.

    For functions that write to their first argument what is new every time, such as random numbers.
    """

    @functools.wraps(function)
    def call(out: Array, *arguments: Any) -> None:
        taker = getattr(out, "taker", None)
        if taker is None:
            function(out, *arguments)
        else:
            taker.make(function, out, *arguments)

    return call


def strided(array: Array, shape: Shape, strides: Shape, dtype: DTypeLike | None = None) -> Array:
    """View the memory of `array` in another shape and order, of the same class; nothing checks that it stays inside."""
    if not array.flags.c_contiguous:
        return as_strided(array, shape, strides, subok=True).view(dtype or array.dtype)
    view: Array = np.ndarray(shape, dtype or array.dtype, array, 0, strides)  # a fifth of the time
    if type(array) is not np.ndarray:
        view = view.view(type(array))
        view.__array_finalize__(array)
    return view


def lend_like(empty: Callable[..., Array], name: str, array: Array, dtype: DTypeLike | None = None) -> Array:
    """Borrow from `empty` what `Workspace.empty_like` lends."""
    shape = array.shape
    if array.ndim < 3 or array.flags.c_contiguous:
        return empty(name, shape, dtype)
    strides = array.strides
    order = sorted(range(array.ndim), key=lambda axis: -strides[axis])
    inverse = sorted(range(array.ndim), key=order.__getitem__)
    return empty(name, tuple(shape[axis] for axis in order), dtype).transpose(inverse)


class Once:
    """Remembers what was made for an array, as long as the next one lies in the same place.

    Values lie in the same memory step after step. Views of them, and whatever depends on their shapes, are made once
    this way: `make` must not depend on what the array holds. Threads that run NumPy beside each other wait for the
    interpreter's lock the longer, the more Python does between two calls.
    """

    __slots__ = ("_array", "_made", "_place")

    def __init__(self) -> None:
        self._array: Any = None
        self._place: Any = None
        self._made: Any = None

    def __call__(self, array: Array, make: Callable[..., Any], *arguments: Any) -> Any:
        """Return ``make(array, *arguments)``, new or known."""
        if array is not self._array:
            place = (array.__array_interface__["data"], array.shape, array.strides, array.dtype)
            if place != self._place:
                self._array = self._place = None  # an interrupt may come between
                self._made = make(array, *arguments)
                self._place = place
                self._array = array  # keeps the memory, so that nothing else can come to lie there
        return self._made


class Workspace:
    """Lends arrays: the same name gives the same memory again.

    ``empty(name, shape, dtype=None)`` returns the array lent under `name`: C-contiguous, of the given shape, its
    content undefined. A name that is asked for in a smaller shape (the last, partial batch) gets the front of the same
    memory; a larger shape replaces it. What has been lent before is found by `functools.lru_cache`, which is written in
    C: 0.18 us, a method with a dictionary takes 0.35, and a small step of 110 us asks sixteen times.

    Parameters
    ----------
    dtype
        The type of the arrays that are asked for without one.
    """

    empty: Lend

    def __init__(self, dtype: DTypeLike = np.float32) -> None:
        self.dtype = np.dtype(dtype)
        self._memory: dict[tuple[str, np.dtype[Any]], Array] = {}
        self.empty = _lender(self.dtype, self._memory)

    def zeros(self, name: str, shape: Shape, dtype: DTypeLike | None = None) -> Array:
        """Return the array lent under `name`, filled with zeros."""
        array = self.empty(name, shape, dtype)
        array.fill(0)
        return array

    def empty_like(self, name: str, array: Array, dtype: DTypeLike | None = None) -> Array:
        """Return an array of the shape *and the order of axes in memory* of `array`.

        Images may be channels-last in memory under their channels-first shape; whoever works element by element
        keeps that order this way, and no copy is needed between two layers.
        """
        return lend_like(self.empty, name, array, dtype)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(memory.nbytes for memory in self._memory.values())


def _lender(default: np.dtype[Any], held: dict[tuple[str, np.dtype[Any]], Array]) -> Lend:
    """Return the function that lends views of the vectors in `held`."""

    def empty(name: str, shape: Shape, dtype: DTypeLike | None = None) -> Array:
        kind = default if dtype is None else np.dtype(dtype)
        size = math.prod(shape)
        memory = held.get((name, kind))
        if memory is None or memory.size < size:
            if memory is not None and (cache := known()) is not None:
                cache.cache_clear()  # views of the memory that is replaced are among them
            memory = held[name, kind] = aligned_empty(size, kind)
        return memory[:size].reshape(shape)

    cached = functools.lru_cache(maxsize=None)(empty)
    known = weakref.ref(cached)  # no cycle: the memory goes with the workspace, not when the collector comes by
    return cached
