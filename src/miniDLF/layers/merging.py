"""Layers that join several inputs."""

from __future__ import annotations

from functools import reduce
from itertools import accumulate, pairwise
from typing import Any, ClassVar

import numpy as np

from miniDLF.core.call import Call
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError, ShapeError
from miniDLF.kernels.norms import divide, norms
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.whole import is_whole

__all__ = ["Add", "Average", "Concatenate", "Dot", "Maximum", "Multiply", "Subtract"]


class _Elementwise(Layer):
    """Joins inputs of one shape, element by element."""

    takes_many = True

    def build(self, input_shape: Any) -> Shape:
        first: Shape = input_shape[0]
        for number, shape in enumerate(input_shape[1:], start=2):
            if shape != first:
                raise ShapeError(
                    f"{self.described} joins inputs of one shape: the first is {first}, number {number} is {shape}. "
                    "Bring them to one shape first (Dense, Reshape, Conv2D with padding)."
                )
        return first

    def flops(self, input_shape: Any, output_shape: Shape) -> int:
        return len(input_shape) * int(np.prod(output_shape))


class Add(_Elementwise):
    """``y = x1 + x2 + ...``."""

    captures = True
    gives_away = True

    def call(self, x: Any) -> Any:
        return reduce(np.add, x)

    def forward(self, x: tuple[Array, ...], call: Call) -> Array:
        y = np.add(x[0], x[1], out=call.empty_like("y", x[0]))
        for other in x[2:]:
            np.add(y, other, out=y)
        call.count = len(x)
        return y

    def backward(self, dy: Array, call: Call) -> tuple[Array, ...]:
        return (dy,) * call.count


class Average(_Elementwise):
    """``y = (x1 + x2 + ...) / count``."""

    captures = True
    gives_away = True

    def call(self, x: Any) -> Any:
        return reduce(np.add, x) * (1 / len(x))

    def forward(self, x: tuple[Array, ...], call: Call) -> Array:
        y = np.add(x[0], x[1], out=call.empty_like("y", x[0]))
        for other in x[2:]:
            np.add(y, other, out=y)
        call.count = len(x)
        return np.multiply(y, 1 / len(x), out=y)

    def backward(self, dy: Array, call: Call) -> tuple[Array, ...]:
        return (np.multiply(dy, 1 / call.count, out=dy),) * call.count


class Subtract(_Elementwise):
    """``y = x1 - x2``."""

    captures = True

    def build(self, input_shape: Any) -> Shape:
        if len(input_shape) != 2:
            raise ShapeError(f"{self.described} takes two inputs, received {len(input_shape)}.")
        return super().build(input_shape)

    def call(self, x: Any) -> Any:
        return x[0] - x[1]

    def forward(self, x: tuple[Array, ...], call: Call) -> Array:
        return np.subtract(x[0], x[1], out=call.empty_like("y", x[0]))

    def backward(self, dy: Array, call: Call) -> tuple[Array, ...]:
        return dy, np.negative(dy, out=call.empty_like("negative", dy))


class Multiply(_Elementwise):
    """``y = x1 * x2 * ...``."""

    captures = True

    def call(self, x: Any) -> Any:
        return reduce(np.multiply, x)

    def forward(self, x: tuple[Array, ...], call: Call) -> Array:
        call.x = x
        y = np.multiply(x[0], x[1], out=call.empty_like("y", x[0]))
        for other in x[2:]:
            np.multiply(y, other, out=y)
        return y

    def backward(self, dy: Array, call: Call) -> tuple[Array, ...]:
        result = []
        for number in range(len(call.x)):
            dx = call.empty_like(f"dx{number}", dy)
            np.copyto(dx, dy)
            for other, x in enumerate(call.x):
                if other != number:
                    np.multiply(dx, x, out=dx)
            result.append(dx)
        return tuple(result)


class Maximum(_Elementwise):
    """``y = max(x1, x2, ...)``; the gradient goes to the first input that holds the maximum."""

    captures = True

    def call(self, x: Any) -> Any:
        y = x[-1]
        for other in x[-2::-1]:  # of equal ones the first
            y = np.where(other >= y, other, y)
        return y

    def forward(self, x: tuple[Array, ...], call: Call) -> Array:
        call.x = x
        call.y = y = np.maximum(x[0], x[1], out=call.empty_like("y", x[0]))
        for other in x[2:]:
            np.maximum(y, other, out=y)
        return y

    def backward(self, dy: Array, call: Call) -> tuple[Array, ...]:
        free = call.empty_like("free", dy, bool)
        wins = call.empty_like("wins", dy, bool)
        free.fill(True)
        result = []
        for number, x in enumerate(call.x):
            np.equal(x, call.y, out=wins)
            np.logical_and(wins, free, out=wins)
            np.logical_xor(free, wins, out=free)
            result.append(np.multiply(dy, wins, out=call.empty_like(f"dx{number}", dy)))
        return tuple(result)


class Concatenate(Layer):
    """Joins inputs end to end along `axis` (counted with the batch axis 0, as in Keras; -1 is the last).

    For images (N, C, H, W) ``axis=1`` joins the channels.
    """

    captures = True
    axis: int = -1
    takes_many = True
    gives_away = True

    def build(self, input_shape: Any) -> Shape:
        rank = len(input_shape[0]) + 1
        axis = self.axis + rank if self.axis < 0 else self.axis
        if not 1 <= axis < rank:
            raise ArgumentError(
                f"{self.described}: axis {self.axis} is not an axis of samples of shape {input_shape[0]}; "
                f"choose 1 to {rank - 1}, or -1 (axis 0 is the batch)."
            )
        first = list(input_shape[0])
        for number, shape in enumerate(input_shape[1:], start=2):
            if len(shape) != rank - 1 or any(
                a != b for place, (a, b) in enumerate(zip(first, shape, strict=True), 1) if place != axis
            ):
                raise ShapeError(
                    f"{self.described} joins along axis {axis}, so the other axes must agree: the first input is "
                    f"{input_shape[0]}, number {number} is {shape}."
                )
        first[axis - 1] = sum(shape[axis - 1] for shape in input_shape)
        return tuple(first)

    def call(self, x: Any) -> Any:
        return np.concatenate(x, axis=self.axis)

    def forward(self, x: tuple[Array, ...], call: Call) -> Array:
        axis = self.axis % x[0].ndim
        call.edges = [0, *accumulate(part.shape[axis] for part in x)]
        shape = (*x[0].shape[:axis], call.edges[-1], *x[0].shape[axis + 1 :])
        return np.concatenate(x, axis=axis, out=call.empty("y", shape))

    def backward(self, dy: Array, call: Call) -> tuple[Array, ...]:
        lead = (slice(None),) * (self.axis % dy.ndim)
        return tuple(dy[(*lead, slice(*edges))] for edges in pairwise(call.edges))


class Dot(Layer):
    """Inner products of two inputs along one axis of each, as Keras': (N, D), (N, D) -> (N, 1).

    The other axes stay, those of the first input before those of the second: (N, T, D), (N, S, D) -> (N, T, S) with
    ``axes=-1``.

    Parameters
    ----------
    axes
        The axis that is summed over, counted with the batch axis 0, or one for each input. Its lengths must agree.
    normalize
        Whether both inputs are divided by their lengths along the axis: the cosine of their angle.
    """

    #: Shorter vectors are divided by this, as in Keras: one of zeros stays one.
    SHORTEST: ClassVar = 1e-6

    axes: Any = -1
    normalize: bool = False
    takes_many = True

    def __post_init__(self) -> None:
        axes = [self.axes] * 2 if is_whole(self.axes) else self.axes
        if not isinstance(axes, list | tuple) or len(axes) != 2 or not all(map(is_whole, axes)):
            raise ArgumentError(f"Dot: axes is a number, or one for each input; received {self.axes!r}.")

    def build(self, input_shape: Any) -> Shape:
        if len(input_shape) != 2:
            raise ShapeError(f"{self.described} takes two inputs, received {len(input_shape)}.")
        first, second = input_shape
        for axis, shape in zip(self._both(), input_shape, strict=True):
            if not (1 <= axis <= len(shape) or -len(shape) <= axis <= -1):
                raise ArgumentError(
                    f"{self.described}: axis {axis} is not an axis of samples of shape {shape}; choose 1 to "
                    f"{len(shape)}, or -1 (axis 0 is the batch)."
                )
        i, j = (axis % (len(shape) + 1) - 1 for axis, shape in zip(self._both(), input_shape, strict=True))
        if first[i] != second[j]:
            raise ShapeError(
                f"{self.described} sums over an axis of one length, received {first} with {first[i]} and {second} with "
                f"{second[j]}. Bring them to one length (Dense), or choose other axes."
            )
        return (*first[:i], *first[i + 1 :], *second[:j], *second[j + 1 :]) or (1,)

    def _both(self) -> tuple[int, int]:
        """Return the axis of each input."""
        first, second = [self.axes] * 2 if is_whole(self.axes) else self.axes
        return int(first), int(second)

    def call(self, x: Any) -> Any:
        sides = [np.moveaxis(part, axis, -1) for part, axis in zip(x, self._both(), strict=True)]
        if self.normalize:
            sides = [side / self._length(side) for side in sides]
        a, b = (np.reshape(side, (side.shape[0], -1, side.shape[-1])) for side in sides)
        y = a @ np.swapaxes(b, 1, 2)  # (N, P, D) @ (N, D, Q) -> (N, P, Q)
        return np.reshape(y, (y.shape[0], *((*sides[0].shape[1:-1], *sides[1].shape[1:-1]) or (1,))))

    def _length(self, side: Any) -> Any:
        """Return the lengths along the last axis; no vector counts as shorter than `SHORTEST`."""
        return np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), self.SHORTEST)

    def forward(self, x: tuple[Array, ...], call: Call) -> Array:
        call.sides = [self._side(part, axis) for part, axis in zip(x, self._both(), strict=True)]
        (a, _, kept), (b, _, other) = call.sides
        y: Array = np.matmul(a, b.transpose(0, 2, 1))  # (N, P, D) @ (N, D, Q) -> (N, P, Q)
        return y.reshape(len(y), *((*kept, *other) or (1,)))

    def _side(self, x: Array, axis: int) -> tuple[Array, Any, Shape]:
        """Return x as (N, P, D), D being what is summed over, its lengths and its other axes; `normalize` scales it.

        The lengths, of which none is shorter than `SHORTEST`, come in two factors (see `kernels.norms`).
        """
        moved = np.moveaxis(x, axis, -1)
        flat, kept = moved.reshape(len(x), -1, moved.shape[-1]), moved.shape[1:-1]
        if not self.normalize:
            return flat, None, kept
        scale, rest = norms(flat, (2,))
        short = scale * rest < self.SHORTEST
        length = np.where(short, 1, scale), np.where(short, rest.dtype.type(self.SHORTEST), rest)
        unit = flat.copy()
        divide(unit, *length)
        return unit, length, kept

    def backward(self, dy: Array, call: Call) -> tuple[Array, ...]:
        (a, _, _), (b, _, _) = call.sides
        dy = dy.reshape(len(dy), a.shape[1], b.shape[1])
        da = np.matmul(dy, b)  # (N, P, Q) @ (N, Q, D) -> (N, P, D)
        db = np.matmul(dy.transpose(0, 2, 1), a)  # (N, Q, P) @ (N, P, D) -> (N, Q, D)
        result = []
        for dx, (unit, length, kept), axis in zip((da, db), call.sides, self._both(), strict=True):
            if length is not None:
                dx -= unit * np.sum(dx * unit, axis=-1, keepdims=True)
                divide(dx, *length)
            result.append(np.moveaxis(dx.reshape(len(dx), *kept, dx.shape[-1]), -1, axis))
        return tuple(result)

    def flops(self, input_shape: Any, output_shape: Shape) -> int:
        return 2 * int(np.prod(output_shape)) * int(input_shape[0][self._both()[0] % (len(input_shape[0]) + 1) - 1])
