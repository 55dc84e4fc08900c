"""Products of matrices and tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ShapeError
from miniDLF.ops.arguments import axis_of, in_one_type
from miniDLF.tensor.primitive import Primitive, broadcast_shape
from miniDLF.tensor.rules import implements, rule_for
from miniDLF.tensor.tensor import Tensor, apply, as_tensor

__all__ = ["dot", "einsum", "inner", "matmul", "outer", "tensordot", "vdot"]


class MatMul(Primitive):
    """``y = a @ b`` for stacks of matrices (..., N, K) and (..., K, M);  ``da = dy @ b.T``, ``db = a.T @ dy``."""

    def shape(self, a, b):
        if a[-1] != b[-2]:
            raise ShapeError(
                f"matmul: {a} @ {b}: the last axis of the first, {a[-1]}, and the last but one of the second, {b[-2]}, "
                "are summed over together, so their lengths must be equal."
            )
        return (*broadcast_shape("matmul", a[:-2], b[:-2]), a[-2], b[-1])

    def evaluate(self, a, b, out=None):
        return np.matmul(a, b, out=out)

    def derivative(self, dy, y, a, b):
        if b.ndim == 2:  # all matrices of a meet one: their rows may as well be one long matrix

            def to_b():
                rows = np.reshape(a, (-1, a.shape[-1]))
                return np.swapaxes(rows, 0, 1) @ np.reshape(dy, (-1, dy.shape[-1]))

        else:

            def to_b():
                return rule_for("sum_to")(np.swapaxes(a, -1, -2) @ dy, b.shape)

        return lambda: rule_for("sum_to")(dy @ np.swapaxes(b, -1, -2), a.shape), to_b

    def flops(self, a, b):
        return 2 * math.prod(self.shape(a, b)) * a[-1]


class Einsum(Primitive):
    """``y`` = the sum of products that `subscripts` says;  each input gets dy, summed with the others alike."""

    subscripts: str

    def _parts(self):
        left, _, result = self.subscripts.partition("->")
        return left.split(","), result

    def shape(self, *shapes):
        inputs, result = self._parts()
        lengths: dict[str, int] = {}
        for letters, shape in zip(inputs, shapes, strict=True):
            if len(letters) != len(shape):
                raise ShapeError(f"einsum: {letters!r} names {len(letters)} axes, the tensor has the shape {shape}.")
            for letter, length in zip(letters, shape, strict=True):
                if lengths.setdefault(letter, length) != length:
                    raise ShapeError(
                        f"einsum {self.subscripts!r}: axis {letter!r} has the lengths {lengths[letter]} and {length}."
                    )
        return tuple(lengths[letter] for letter in result)

    def evaluate(self, *arrays, out=None):
        # einsum's own `out` takes the slow way for what is one product of matrices
        found = np.einsum(self.subscripts, *arrays, optimize=True)
        if out is None:
            return found
        np.copyto(out, found)
        return out

    def derivative(self, dy, y, *inputs):
        parts, result = self._parts()

        def to(number):
            x, letters = inputs[number], parts[number]
            others = [i for i in range(len(inputs)) if i != number]
            known = set(result).union(*(parts[i] for i in others))
            kept = "".join(letter for letter in letters if letter in known)
            found = einsum(
                ",".join([result, *(parts[i] for i in others)]) + "->" + kept, dy, *(inputs[i] for i in others)
            )
            if kept != letters:  # what was summed over in this input alone gets the same everywhere
                spread = tuple(n if letter in kept else 1 for letter, n in zip(letters, x.shape, strict=True))
                found = np.broadcast_to(np.reshape(found, spread), x.shape)
            return found

        return tuple((lambda number=number: to(number)) for number in range(len(inputs)))

    def flops(self, *shapes):
        inputs, _ = self._parts()
        lengths = {a: n for part, shape in zip(inputs, shapes, strict=True) for a, n in zip(part, shape, strict=True)}
        return 2 * math.prod(lengths.values())


@implements(np.matmul)
def matmul(a: Any, b: Any) -> Tensor:
    """Return ``a @ b`` by NumPy's rules: vectors are rows on the left and columns on the right, stacks broadcast.

    Raises
    ------
    ShapeError
        If the axes that are summed over differ in length, or one of the two is a number.
    """
    a, b = in_one_type(a, b)
    if not a.ndim or not b.ndim:
        raise ShapeError(f"matmul: expected axes, received the shapes {a.shape} and {b.shape}; use * for numbers.")
    rows, columns = a.ndim == 1, b.ndim == 1
    left = np.reshape(a, (1, -1)) if rows else a
    right = np.reshape(b, (-1, 1)) if columns else b
    y = apply(MatMul(), left, right)
    if columns:
        y = np.squeeze(y, -1)
    return np.squeeze(y, -1 if columns else -2) if rows else y


@implements(np.dot)
def dot(a: Any, b: Any) -> Tensor:
    """Return NumPy's dot: the product of numbers, of vectors, of matrices; the last axis with the last but one."""
    a, b = in_one_type(a, b)
    if not a.ndim or not b.ndim:
        return a * b
    if b.ndim <= 2:
        return matmul(a, b)
    return tensordot(a, b, ((-1,), (-2,)))


@implements(np.vdot)
def vdot(a: Any, b: Any) -> Tensor:
    """Return the sum of the products of all elements."""
    return np.sum(np.reshape(as_tensor(a), -1) * np.reshape(as_tensor(b), -1))


@implements(np.inner)
def inner(a: Any, b: Any) -> Tensor:
    """Return the sums of products over the last axes of both."""
    return tensordot(a, b, ((-1,), (-1,)))


@implements(np.outer)
def outer(a: Any, b: Any) -> Tensor:
    """Return every element of one times every element of the other."""
    return np.reshape(as_tensor(a), (-1, 1)) * np.reshape(as_tensor(b), (1, -1))


@implements(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    """Return the sums of products over `axes`: so many last of `a` and first of `b`, or two lists of axes."""
    a, b = in_one_type(a, b)
    if isinstance(axes, int):
        axes = (tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes)))
    left, right = (tuple(part) if isinstance(part, (tuple, list)) else (part,) for part in axes)
    left = tuple(axis_of("tensordot", axis, a.ndim) for axis in left)
    right = tuple(axis_of("tensordot", axis, b.ndim) for axis in right)
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ShapeError(f"tensordot: the axes {left} of {a.shape} and {right} of {b.shape} differ in length.")
    rows = [axis for axis in range(a.ndim) if axis not in left]
    columns = [axis for axis in range(b.ndim) if axis not in right]
    length = math.prod(a.shape[i] for i in left)
    x = np.reshape(np.transpose(a, (*rows, *left)), (-1 if length else math.prod(a.shape[i] for i in rows), length))
    y = np.reshape(np.transpose(b, (*right, *columns)), (length, math.prod(b.shape[i] for i in columns)))
    return np.reshape(x @ y, (*(a.shape[i] for i in rows), *(b.shape[i] for i in columns)))


@implements(np.einsum)
def einsum(subscripts: str, *tensors: Any, optimize: Any = True) -> Tensor:
    """Return the sum of products that `subscripts` says, in Einstein's notation: ``"bik,bkj->bij"``.

    ``...`` stands for the axes not named. An axis may not be named twice in one input (a diagonal).
    """
    made = in_one_type(*tensors)
    left, arrow, result = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(made):
        raise ArgumentError(f"einsum: {subscripts!r} names {len(inputs)} inputs, received {len(made)}.")
    inputs, rest = _without_ellipsis(inputs, made)
    if not arrow:
        letters = "".join(inputs)
        result = rest + "".join(sorted(a for a in set(letters) - set(rest) if letters.count(a) == 1))
    result = result.replace("...", rest)
    for letters in [*inputs, result]:
        if len(set(letters)) != len(letters):
            raise ArgumentError(
                f"einsum: {letters!r} names an axis twice, which is not supported; use np.diagonal first."
            )
    if not set(result) <= set("".join(inputs)):
        raise ArgumentError(f"einsum: the result {result!r} names axes that no input has.")
    return apply(Einsum(",".join(inputs) + "->" + result), *made)


def _without_ellipsis(inputs: list[str], tensors: tuple[Tensor, ...]) -> tuple[list[str], str]:
    free = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in "".join(inputs)]
    counts = [
        tensor.ndim - len(part.replace("...", "")) if "..." in part else 0
        for part, tensor in zip(inputs, tensors, strict=True)
    ]
    rest = "".join(free[: max(counts, default=0)])
    return [part.replace("...", rest[len(rest) - n :]) for part, n in zip(inputs, counts, strict=True)], rest
