"""Algebra: operations that do nothing, or nothing that a simpler one would not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from miniDLF.engine.program import Program, rewrite
from miniDLF.ops import arithmetic, products, reductions, shaping
from miniDLF.tensor.primitive import Elementwise, Operation
from miniDLF.tensor.tensor import Tensor, apply
from miniDLF.tensor.variable import Variable

__all__ = ["simplify"]

Inputs = tuple[Tensor, ...]


def simplify(program: Program) -> Program:
    """Apply the rules below, each where its pattern stands.

    They change no result but for the rounding of factors that are multiplied once instead of twice.
    """

    def rule(operation: Operation, inputs: Inputs) -> Any:
        for one in RULES.get(type(operation.primitive), ()):
            found = one(operation, inputs)
            if found is not None:
                same = found.shape == operation.shapes[0] and found.dtype == operation.dtypes[0]
                return found if same else None
        return _without_broadcasts(operation, inputs) if isinstance(operation.primitive, Elementwise) else None

    return rewrite(program, rule)


def number_of(tensor: Tensor) -> float | None:
    """Return the number that a constant consists of, if it is one number."""
    if tensor.operation is not None and isinstance(tensor.operation.primitive, shaping.BroadcastTo):
        return number_of(tensor.operation.inputs[0])
    if tensor.is_symbolic or isinstance(tensor, Variable) or tensor.size != 1:
        return None
    return float(tensor.numpy().reshape(())[()])


def made_by(tensor: Tensor, *primitives: type) -> Operation | None:
    """Return the operation that made `tensor`, if its primitive is one of these."""
    operation = tensor.operation
    return operation if operation is not None and type(operation.primitive) in primitives else None


def _without_broadcasts(operation: Operation, inputs: Inputs) -> Any:
    """Elementwise operations broadcast by themselves: ``f(broadcast(x), y)`` is ``f(x, y)``."""
    plain = [
        made.inputs[0] if (made := made_by(tensor, shaping.BroadcastTo)) is not None else tensor for tensor in inputs
    ]
    if all(new is old for new, old in zip(plain, inputs, strict=True)):
        return None
    if operation.primitive.shape(*(tensor.shape for tensor in plain)) != operation.shapes[0]:
        shape = operation.shapes[0]  # all were broadcast: once, after the operation
        return np.broadcast_to(apply(operation.primitive, *plain), shape)
    return apply(operation.primitive, *plain)


def _multiply(operation: Operation, inputs: Inputs) -> Any:
    """``x * 1`` is x, ``x * -1`` is -x, ``(x * a) * b`` is ``x * (a b)`` for numbers a and b."""
    for x, factor in (inputs, inputs[::-1]):
        number = number_of(factor)
        if number is None:
            continue
        if number == 1:
            return x
        if number == -1:
            return -x
        inner = made_by(x, arithmetic.Multiply)
        if inner is not None:
            for y, known in (inner.inputs, inner.inputs[::-1]):
                other = number_of(known)
                if other is not None and np.isfinite(other * number):
                    return y * (other * number)
    return None


def _add(operation: Operation, inputs: Inputs) -> Any:
    """``x + 0`` is x, and ``x + (-y)`` is ``x - y``."""
    for x, other in (inputs, inputs[::-1]):
        if number_of(other) == 0:
            return x
        negated = made_by(other, arithmetic.Negative)
        if negated is not None:
            return x - negated.inputs[0]
    return None


def _subtract(operation: Operation, inputs: Inputs) -> Any:
    """``x - 0`` is x, and ``x - (-y)`` is ``x + y``."""
    x, y = inputs
    if number_of(y) == 0:
        return x
    negated = made_by(y, arithmetic.Negative)
    return None if negated is None else x + negated.inputs[0]


def _divide(operation: Operation, inputs: Inputs) -> Any:
    """``x / 1`` is x; ``x / a`` is ``x * (1 / a)`` where a is a power of two, which changes no bit."""
    x, y = inputs
    number = number_of(y)
    if number is None or number == 0 or not np.isfinite(number):
        return None
    return x if number == 1 else x * (1 / number) if abs(np.frexp(number)[0]) == 0.5 else None


def _negative(operation: Operation, inputs: Inputs) -> Any:
    """``-(-x)`` is x."""
    inner = made_by(inputs[0], arithmetic.Negative)
    return None if inner is None else inner.inputs[0]


def _reshape(operation: Operation, inputs: Inputs) -> Any:
    """Of reshapes one after the other only the last counts; one to the shape that is there does nothing."""
    inner = made_by(inputs[0], shaping.Reshape)
    x = inputs[0] if inner is None else inner.inputs[0]
    return None if x is inputs[0] and x.shape != operation.shapes[0] else x.reshape(operation.shapes[0])


def _transpose(operation: Operation, inputs: Inputs) -> Any:
    """Transpositions one after the other are one."""
    inner = made_by(inputs[0], shaping.Transpose)
    if inner is None:
        return None
    first, second = inner.primitive.order, operation.primitive.order  # type: ignore[attr-defined]
    return inner.inputs[0].transpose(tuple(first[axis] for axis in second))


def _sum_to(operation: Operation, inputs: Inputs) -> Any:
    """Summing over leading axes is a reduction, which has its own ways."""
    x, target = inputs[0], operation.shapes[0]
    added = x.ndim - len(target)
    if added and x.shape[added:] == target:
        return np.sum(x, axis=tuple(range(added)))
    return None


def _matmul(operation: Operation, inputs: Inputs) -> Any:
    """Rows that meet one matrix are one long matrix: (..., N, K) @ (K, M) is a product of two matrices."""
    a, b = inputs
    if a.ndim <= 2 or b.ndim != 2:
        return None
    return np.reshape(np.reshape(a, (-1, a.shape[-1])) @ b, operation.shapes[0])


RULES: dict[type, tuple[Callable[[Operation, Inputs], Any], ...]] = {
    arithmetic.Multiply: (_multiply,),
    arithmetic.Add: (_add,),
    arithmetic.Subtract: (_subtract,),
    arithmetic.Divide: (_divide,),
    arithmetic.Negative: (_negative,),
    shaping.Reshape: (_reshape,),
    shaping.Transpose: (_transpose,),
    reductions.SumTo: (_sum_to,),
    products.MatMul: (_matmul,),
}
