"""Penalties on the values of parameters, added to the loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from miniDLF.core.configurable import Configurable, resolve
from miniDLF.core.ranges import require
from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError, nearest
from miniDLF.kernels.blas import RUN
from miniDLF.kernels.norms import divide, norms
from miniDLF.kernels.threads import quiet_arithmetic
from miniDLF.kernels.workspace import Array
from miniDLF.whole import is_real

__all__ = ["CHOICES", "L1", "L1L2", "L2", "OrthogonalRegularizer", "Regularizer", "get_regularizer"]


class Regularizer(Configurable):
    """A penalty on one parameter."""

    def value_and_grad(self, value: Array, grad: Array) -> float:
        """Return the penalty of `value`, and add its gradient to `grad`, an array of the same shape."""
        raise NotImplementedError(f"{type(self).__name__} has no value_and_grad()")


class L1L2(Regularizer):
    """``l1 * sum(|value|) + l2 * sum(value ** 2)``, with the gradient ``l1 * sign(value) + 2 * l2 * value``.

    The gradient of ``|value|`` at 0 is taken as 0.
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        require(self, l1="[0, inf)", l2="[0, inf)")

    def value_and_grad(self, value: Array, grad: Array) -> float:
        return _penalty(value, grad, self.l1, self.l2)


class L1(Regularizer):
    """``l1 * sum(|value|)``: the lasso (Tibshirani 1996); many values become 0."""

    l1: float = 0.01

    def __post_init__(self) -> None:
        require(self, l1="[0, inf)")

    def value_and_grad(self, value: Array, grad: Array) -> float:
        return _penalty(value, grad, self.l1, 0.0)


class L2(Regularizer):
    """``l2 * sum(value ** 2)``: ridge regression (Hoerl & Kennard 1970); no half, as in Keras."""

    l2: float = 0.01

    def __post_init__(self) -> None:
        require(self, l2="[0, inf)")

    def value_and_grad(self, value: Array, grad: Array) -> float:
        return _penalty(value, grad, 0.0, self.l2)


class OrthogonalRegularizer(Regularizer):
    """``factor`` times the mean of ``|cosine|`` over all pairs of rows, or of columns.

    With unit vectors ``u_i = w_i / |w_i|`` and ``c_ij = u_i . u_j`` the penalty is ``factor * mean(|c_ij|, i < j)``
    (as in Keras); its gradient passes through the normalisation: ``dw_i = (du_i - (du_i . u_i) u_i) / |w_i|``.
    Kernels (filters, channels, kh, kw) are taken as matrices (filters, channels * kh * kw).

    Parameters
    ----------
    mode
        'rows' or 'columns'. The units of a matrix (in, out) are its columns, those of a kernel its rows.
    """

    factor: float = 0.01
    mode: str = "rows"

    def __post_init__(self) -> None:
        require(self, factor="[0, inf)")
        if self.mode not in ("rows", "columns"):
            raise ArgumentError(
                f"OrthogonalRegularizer: mode is 'rows' or 'columns'; received {self.mode!r}."
                f"{nearest(str(self.mode), ('rows', 'columns'))}"
            )

    def value_and_grad(self, value: Array, grad: Array) -> float:
        if value.ndim < 2:
            raise ShapeError(
                f"OrthogonalRegularizer expects two axes or more, received the shape {value.shape}. Use L2 for vectors."
            )
        matrix = value.reshape(len(value), -1)
        matrix = matrix if self.mode == "rows" else matrix.T  # (units, inputs)
        units = len(matrix)
        if units < 2 or not self.factor:
            return 0.0
        scale, rest = norms(matrix, (1,))
        rest[rest == 0.0] = 1.0  # a vector of zeros is orthogonal to all
        unit = matrix.copy()
        divide(unit, scale, rest)
        cosines = unit @ unit.T  # (units, inputs) @ (inputs, units) -> (units, units)
        np.fill_diagonal(cosines, 0.0)
        share = self.factor / (units * (units - 1))  # every pair stands twice in the matrix
        d_unit = (2.0 * share) * (np.sign(cosines) @ unit)
        d_unit -= unit * np.einsum("ij,ij->i", d_unit, unit)[:, None]
        divide(d_unit, scale, rest)
        grad += (d_unit if self.mode == "rows" else d_unit.T).reshape(grad.shape)
        return share * float(np.sum(np.abs(cosines)))


def _penalty(value: Array, grad: Array, l1: float, l2: float) -> float:
    """Add ``l1 * sign(value) + 2 * l2 * value`` to `grad`; return ``l1 * sum(|value|) + l2 * sum(value ** 2)``."""
    absolute = squares = 0.0
    memory = np.empty(min(value.size, RUN), value.dtype)
    for part, into in _runs(value, grad):
        work = memory[: part.size]
        if l2:
            squares += _squared(part)
            np.multiply(part, 2.0 * l2, out=work)
            np.add(into, work, out=into)
        if l1:
            np.absolute(part, out=work)
            absolute += _summed(work)
            np.sign(part, out=work)
            np.multiply(work, l1, out=work)
            np.add(into, work, out=into)
    return l1 * absolute + l2 * squares


@quiet_arithmetic
def _squared(part: Array) -> float:
    """Return the sum of squares; it may be beyond the type of the numbers, as 1e20 squared is in single precision."""
    total = float(np.dot(part, part))
    return total if math.isfinite(total) else float(np.sum(np.square(part, dtype=np.float64)))


@quiet_arithmetic
def _summed(part: Array) -> float:
    total = float(np.sum(part))
    return total if math.isfinite(total) else float(np.sum(part, dtype=np.float64))


def _runs(value: Array, grad: Array) -> Iterator[tuple[Array, Array]]:
    """Cut both arrays into matching vectors of a size that fits the cache."""
    if value.ndim > 1 and not (value.flags.c_contiguous and grad.flags.c_contiguous):
        for part, into in zip(value, grad, strict=True):  # not from the flat buffers: row by row
            yield from _runs(part, into)
        return
    value, grad = value.reshape(-1), grad.reshape(-1)
    for start in range(0, value.size, RUN):
        yield value[start : start + RUN], grad[start : start + RUN]


CHOICES: dict[str, Any] = {
    "l1": L1,
    "l2": L2,
    "l1_l2": L1L2,
    "orthogonal": OrthogonalRegularizer,
    "orthogonal_regularizer": OrthogonalRegularizer,
}


def get_regularizer(value: Any) -> Regularizer | None:
    """Return the regularizer that `value` is, names or describes; ``None`` stays ``None``."""
    if is_real(value):
        raise ArgumentTypeError(f"regularizer: {value!r} does not say of which kind; write L2({value!r}).")
    return None if value is None else resolve(value, CHOICES, "regularizer", Regularizer)
