"""Passes over whole arrays that several layers share, each in the form that measured fastest.

The figures are microseconds for 102 400 float32 values (a shard of 256 rows of 400 units) on one core with AVX-512.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from miniDLF.kernels.workspace import Array, Lend, as_one_call, constant_array

__all__ = [
    "dropout",
    "dropout_backward",
    "kept_of_65536",
    "leaky",
    "leaky_backward",
    "ones",
    "pieces",
    "rectified_dropout",
    "sigmoid",
    "tiny",
]

#: Draws so many random 64-bit numbers.
RawBits = Callable[[int], Array]

#: Elements of a piece. Smaller ones fit a cache of the second level, but two threads that make short calls hinder each
#: other at the interpreter's lock: the specified CNN takes 10.1 ms a step with 32 768, 8.2 ms with 131 072.
PIECE = 131_072
FEW = 4096  # elements that a product with a mask is done with before clipping has begun
DRAWN = 32_768  # 16-bit random numbers in 64 KiB


def pieces(*arrays: Array) -> list[tuple[Array, ...]]:
    """Cut arrays of one shape and one order of memory into flat pieces that stay in the cache between two passes.

    Arrays that lie differently come back whole. For a million float32 the four passes of `leaky_backward` take 0.33 ms
    in pieces and 0.78 ms over the whole.
    """
    first = arrays[0]
    if first.size <= PIECE:
        for array in arrays:  # a loop, because a generator for `all` costs as much as a pass over a small batch
            if not array.flags.c_contiguous:
                break
        else:
            return [arrays]
    if any(array.strides != first.strides for array in arrays) and any(_places(a) != _places(first) for a in arrays):
        return [arrays]
    flat = [array.ravel(order="K") for array in arrays]  # in one order also with what is lent for a piece
    if any(array.flags.owndata for array in flat):  # a copy: the elements do not lie together
        return [arrays]
    return [tuple(array[start : start + PIECE] for array in flat) for start in range(0, first.size, PIECE)]


@functools.lru_cache(maxsize=32)
def ones(count: int, dtype: np.dtype[Any]) -> Array:
    """Return a vector of ones to add up rows with: ``ones @ a`` takes 6 us, ``a.sum(axis=0)`` 12 us."""
    return constant_array(np.ones(count, dtype))


@functools.lru_cache(maxsize=64)
def constant(number: float, dtype: np.dtype[Any]) -> Array:
    """Return `number` as an array without axes, which NumPy reads 0.3 us faster than it converts a Python number."""
    return constant_array(np.array(number, dtype))


def _places(array: Array) -> list[int]:
    """Return the strides in elements."""
    return [stride // array.itemsize for stride in array.strides]


def leaky(x: Array, alpha: float, limit: float, y: Array, lend: Lend) -> Array:
    """Write ``min(max(x, alpha x), limit)`` to `y`, which may be `x` itself."""
    zero, most = constant(0.0, x.dtype), constant(limit, x.dtype)
    for values, out in pieces(x, y):
        if alpha:
            low = np.multiply(values, constant(alpha, x.dtype), lend("low", values.shape))
            np.maximum(values, low, out=out)
            if limit < np.inf:
                np.minimum(out, most, out=out)
        else:
            values.clip(zero, most, out)  # 10 us where np.maximum(x, 0) takes 31
    return y


@functools.lru_cache(maxsize=4)
def tiny(dtype: np.dtype[Any]) -> float:
    """Return a number so small that its product with any usual slope is still a normal one."""
    return float(np.finfo(dtype).tiny) * 2**14


def leaky_backward(dy: Array, y: Array, alpha: float, limit: float, lend: Lend) -> Array:
    """Multiply `dy` in place by the derivative of a leaky, clipped rectifier whose output was `y`.

    1 where ``0 < y < limit``, `alpha` where ``y <= 0``, 0 at the limit. The slope is made of y by two passes of plain
    arithmetic, ``clip(y, alpha t, t) / t`` with a t so small that only numbers nobody tells from 0 lie between 0 and t
    (1e-34 in single precision): for 1.2 million values 0.33 ms with the product; with a boolean mask 0.47, because it
    is converted number by number; NumPy's masked forms, ``where=`` and `np.where`, take several times as long. For few
    values a call costs more than its pass, and the plain rectifier's mask is one call less: (32, 32) 1.9 us, not 2.6.
    """
    if not alpha and y.size <= FEW and limit == np.inf:
        mask = np.greater(y, constant(0.0, y.dtype), out=lend("mask", y.shape, bool))
        return np.multiply(dy, mask, out=dy)
    small = tiny(y.dtype)
    for gradient, values in pieces(dy, y):
        slope = values.clip(alpha * small, small, lend("slope", values.shape))
        np.multiply(slope, 1.0 / small, out=slope)
        np.multiply(gradient, slope, out=gradient)
        if limit < np.inf:
            mask = np.less(values, limit, out=lend("mask", values.shape, bool))
            np.multiply(gradient, mask, out=gradient)
    return dy


def sigmoid(x: Array, out: Array) -> Array:
    """Return ``1 / (1 + exp(-x))``.

    ``tanh(x / 2) / 2 + 1 / 2``, as in the gates of an LSTM, is right to within 6e-8 in single precision, but not in
    relation to a result near 0: at -15 it is 3 % off, at -20 zero. It takes longer too, where no other `tanh` goes with
    it.
    """
    np.negative(x, out=out)
    np.minimum(out, constant(88.0 if out.itemsize == 4 else 709.0, out.dtype), out=out)  # exp stays finite
    np.exp(out, out=out)
    np.add(out, constant(1.0, out.dtype), out=out)
    return np.reciprocal(out, out=out)


def dropout(x: Array, p: float, raw_bits: RawBits, kept: Array, y: Array, lend: Lend) -> Array:
    """Draw which values stay, at probability ``1 - p`` each, and write ``x / (1 - p)`` there and 0 elsewhere to `y`.

    `kept`, boolean, receives which; `y` may be `x` itself. One 64-bit random number serves four values as 16 bits each
    (71 us, uniform floats 132), so `p` is met to within 1 / 65536; the scale is that of the probability really used,
    and the expectation stays exact. NumPy cannot draw bits into lent memory, so they come in pieces of 64 KiB.
    """
    threshold = kept_of_65536(p)
    for values, stay, out in pieces(x, kept, y):
        _draw(stay, threshold, raw_bits)
        _keep(values, stay, 65536.0 / threshold, out, lend)
    return y


def dropout_backward(dy: Array, p: float, kept: Array, lend: Lend) -> Array:
    """Multiply `dy` in place by what `dropout` multiplied with."""
    for gradient, stay in pieces(dy, kept):
        _keep(gradient, stay, 65536.0 / kept_of_65536(p), gradient, lend)
    return dy


def rectified_dropout(x: Array, alpha: float, p: float, raw_bits: RawBits, slope: Array, y: Array, lend: Lend) -> Array:
    """Write ``dropout(leaky(x))`` to `y`, and to `slope` what `x` was multiplied with.

    So backward is the product of `dy` and `slope`: six passes forward and back where the two layers apart have ten. The
    sign becomes a slope as in `leaky_backward`.
    """
    threshold, small = kept_of_65536(p), tiny(x.dtype)
    for values, slopes, out in pieces(x, slope, y):
        kept = lend("kept", values.shape, bool)
        _draw(kept, threshold, raw_bits)
        factor = np.multiply(kept, values.dtype.type(65536.0 / threshold / small), out=lend("factor", values.shape))
        values.clip(alpha * small, small, slopes)
        np.multiply(slopes, factor, out=slopes)
        np.multiply(values, slopes, out=out)
    return y


@as_one_call
def _draw(kept: Array, threshold: int, raw_bits: RawBits) -> None:
    """Set each element of `kept` to whether it stays."""
    flat = kept.ravel(order="K")  # a view: lent arrays are contiguous in some order of their axes
    for start in range(0, flat.size, DRAWN):
        part = flat[start : start + DRAWN]
        bits = raw_bits(-(-part.size // 4)).view(np.uint16)
        np.less(bits[: part.size], threshold, out=part)


def kept_of_65536(p: float) -> int:
    """Return how many of the 65536 numbers of 16 bits let a value stay that is dropped at probability `p`."""
    return round((1.0 - p) * 65536)


def _keep(values: Array, stay: Array, scale: float, out: Array, lend: Lend) -> None:
    factor = np.multiply(stay, values.dtype.type(scale), out=lend("factor", values.shape))
    np.multiply(values, factor, out=out)
