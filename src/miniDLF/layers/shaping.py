"""Layers that change the shape of a sample, and dropout."""

from __future__ import annotations

import math
import operator
from typing import Any, ClassVar

import numpy as np

import miniDLF.ops as ops
from miniDLF.core.call import Call
from miniDLF.core.graph import as_shape
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.kernels.elementwise import (
    dropout,
    dropout_backward,
    kept_of_65536,
    leaky,
    leaky_backward,
    rectified_dropout,
)
from miniDLF.kernels.flattening import rows_of_images, rows_to_images
from miniDLF.kernels.windows import Moves, carry_out, is_batch_last
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.whole import is_whole

__all__ = ["Dropout", "Flatten", "Reshape"]


class Flatten(Layer):
    """(N, ...) -> (N, product of the rest), in the order of the axes."""

    captures = True

    def build(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)

    def call(self, x: Any) -> Any:
        return np.reshape(x, (x.shape[0], math.prod(x.shape[1:])))

    def forward(self, x: Array, call: Call) -> Array:
        return _reshaped(x, self, call)

    def backward(self, dy: Array, call: Call) -> Array:
        return _restored(dy, call)

    def flops(self, input_shape: Shape, output_shape: Shape) -> int:
        return 0


class Reshape(Layer):
    """(N, *input_shape) -> (N, *new_shape); one axis may be -1."""

    new_shape: Any
    captures = True
    aliases: ClassVar = {"target_shape": "new_shape"}

    def __post_init__(self) -> None:
        lengths = [self.new_shape] if is_whole(self.new_shape) else self.new_shape
        try:
            self._wanted = [operator.index(length) for length in lengths]
        except TypeError:
            raise ArgumentTypeError(
                f"Reshape: new_shape is a shape without the batch axis, such as (1, 28, 28) or (-1, 8); "
                f"received {self.new_shape!r}."
            ) from None
        if self._wanted.count(-1) > 1 or any(length < 1 and length != -1 for length in self._wanted):
            raise ArgumentError(
                "Reshape: the lengths in new_shape are at least 1, and one of them may be -1 for what is left; "
                f"received {self.new_shape!r}."
            )

    def build(self, input_shape: Shape) -> Shape:
        wanted = self._wanted.copy()
        size, known = int(np.prod(input_shape)), int(np.prod([length for length in wanted if length != -1]))
        if wanted.count(-1) == 1 and known > 0 and size % known == 0:
            wanted[wanted.index(-1)] = size // known
        if -1 in wanted or int(np.prod(wanted)) != size:
            raise ShapeError(
                f"{self.described} expects {known} elements a sample for {tuple(wanted)}, received "
                f"{input_shape} with {size}. Choose a new_shape whose product is {size}."
            )
        return as_shape(wanted, self.described)

    def call(self, x: Any) -> Any:
        return np.reshape(x, (x.shape[0], *self.build(x.shape[1:])))

    def forward(self, x: Array, call: Call) -> Array:
        return _reshaped(x, self, call)

    def backward(self, dy: Array, call: Call) -> Array:
        return _restored(dy, call)

    def flops(self, input_shape: Shape, output_shape: Shape) -> int:
        return 0


def _reshaped(x: Array, layer: Layer, call: Call) -> Array:
    """Return a view where memory allows it, else a copy in lent memory (channels-last and batch-last images)."""

    def views(x: Array, call: Call) -> tuple[Moves, Array]:
        moves, rows = _rows(x, "y", call)
        return moves, rows.reshape(len(x), *layer.build(x.shape[1:]))  # the shape of this use; others may differ

    call.x = x
    moves, result = call.once(x, views)
    carry_out(moves)
    return result


def _restored(dy: Array, call: Call) -> Array:
    """Return dy in the shape of the input, and in its order of memory where that is batch-last."""
    x: Array = call.x
    moves, rows = _rows(dy, "dy", call)
    dx = rows = rows.reshape(x.shape)
    if _are_batch_last(x):
        dx = call.empty_like("dx", x)
        moves = [*moves, *rows_to_images(rows, dx, call.scratch)]
    carry_out(moves)
    return dx


def _rows(x: Array, name: str, call: Call) -> tuple[Moves, Array]:
    """Return the copies that put `x` in the order of its axes, and where it lies then."""
    if x.flags.c_contiguous:
        return [], x
    copy = call.empty(name, x.shape)
    return rows_of_images(x, copy, call.scratch) if _are_batch_last(x) else [(copy, x)], copy


def _are_batch_last(x: Array) -> bool:
    return x.ndim == 4 and not x.flags.c_contiguous and is_batch_last(x)


class Dropout(Layer):
    """Inverted dropout: in training each value is 0 at probability `p_dropout` and scaled by 1 / (1 - p) otherwise.

    In inference nothing happens. Srivastava et al. 2014. The mask is a function of (seed, step, layer, shard).
    """

    captures = True
    p_dropout: float
    aliases: ClassVar = {"rate": "p_dropout"}
    only_trains: ClassVar = True
    absorbs_rectifier = True

    def __post_init__(self) -> None:
        if not 0 <= self.p_dropout < 1:
            raise ArgumentError(
                f"Dropout: p_dropout is the share that is dropped, at least 0 and below 1; received {self.p_dropout}."
            )
        if not kept_of_65536(self.p_dropout):
            raise ArgumentError(
                f"Dropout: p_dropout is met to within 1 / 65536, and {self.p_dropout} would drop everything. Use less."
            )

    def call(self, x: Any, training: bool = False) -> Any:
        return ops.random.dropout(x, self.p_dropout) if training else x

    def forward(self, x: Array, call: Call) -> Array:
        drops, alpha = call.training and self.p_dropout > 0, call.rectifies
        if not drops:
            call.y = y = x if alpha is None else leaky(x, alpha, np.inf, call.output_like(x), call.scratch)
            return y
        if alpha is None:
            kept = call.kept = call.empty_like("kept", x, bool)
            return dropout(x, self.p_dropout, call.raw_bits, kept, call.output_like(x), call.scratch)
        slope = call.slope = call.empty_like("slope", x)
        return rectified_dropout(x, alpha, self.p_dropout, call.raw_bits, slope, call.output_like(x), call.scratch)

    def backward(self, dy: Array, call: Call) -> Array:
        drops, alpha = call.training and self.p_dropout > 0, call.rectifies
        if not drops:
            return dy if alpha is None else leaky_backward(dy, call.y, alpha, np.inf, call.scratch)
        if alpha is None:
            return dropout_backward(dy, self.p_dropout, call.kept, call.scratch)
        return np.multiply(dy, call.slope, out=dy)
