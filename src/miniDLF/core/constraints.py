"""Conditions that the values of parameters are brought back to after each update."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.core.configurable import Configurable, resolve
from miniDLF.core.ranges import require
from miniDLF.errors import ArgumentError, ArgumentTypeError
from miniDLF.kernels.norms import divide, norms
from miniDLF.kernels.workspace import Array
from miniDLF.whole import is_whole

__all__ = ["CHOICES", "Constraint", "MaxNorm", "NonNeg", "UnitNorm", "get_constraint"]


class Constraint(Configurable):
    """A condition on one parameter."""

    def apply(self, value: Array) -> None:
        """Change `value` in place to the nearest array that fulfils the condition."""
        raise NotImplementedError(f"{type(self).__name__} has no apply()")


class NonNeg(Constraint):
    """No element is negative."""

    def apply(self, value: Array) -> None:
        np.maximum(value, 0.0, out=value)


class MaxNorm(Constraint):
    """The weights of a unit have an L2 norm of at most `max_value` (Srivastava et al. 2014, "Dropout", section 5.1).

    Parameters
    ----------
    max_value
        The largest norm.
    axis
        Over which axis or axes a norm is taken. ``None`` takes all inputs of a unit: axis 0 of a matrix (in, out) and
        of a vector, the axes from 1 of a kernel (filters, channels, kh, kw).
    """

    max_value: float = 2.0
    axis: Any = None

    def __post_init__(self) -> None:
        require(self, max_value="(0, inf)")
        self.axis = _checked(self, self.axis)

    def apply(self, value: Array) -> None:
        scale, rest = _norms(value, self.axis)
        too_long = rest > self.max_value / scale.astype(np.float64)
        if too_long.any():  # else there is nothing to write
            divide(value, np.where(too_long, scale, 1), np.where(too_long, rest / self.max_value, 1))


class UnitNorm(Constraint):
    """The weights of a unit have an L2 norm of 1; a unit of zeros stays as it is.

    Parameters
    ----------
    axis
        As in `MaxNorm`.
    """

    axis: Any = None

    def __post_init__(self) -> None:
        self.axis = _checked(self, self.axis)

    def apply(self, value: Array) -> None:
        scale, rest = _norms(value, self.axis)
        rest[rest == 0.0] = 1.0  # a unit of zeros
        divide(value, scale, rest)


def _checked(owner: Constraint, axis: Any) -> Any:
    """Return `axis` as ``None``, an integer or a list of integers."""
    where = type(owner).__name__
    if axis is None or is_whole(axis):
        return None if axis is None else int(axis)
    if isinstance(axis, tuple | list) and axis and all(map(is_whole, axis)):
        return list(map(int, axis))
    raise ArgumentTypeError(f"{where}: axis is None, an integer or a list of integers; received {axis!r}.")


def _norms(value: Array, axis: Any) -> tuple[Array, Array]:
    """Return the L2 norms over the axes in two factors (see `kernels.norms`)."""
    rank = value.ndim
    if axis is None:
        axes = {0} if rank < 3 else set(range(1, rank))
    else:
        wanted = [axis] if isinstance(axis, int) else axis
        if not all(-rank <= a < rank for a in wanted):
            raise ArgumentError(
                f"constraint: axis {axis} does not exist in a parameter of shape {value.shape}. Give axes from 0 to "
                f"{rank - 1}, or None for all inputs of a unit."
            )
        axes = {a % rank for a in wanted}
    return norms(value, sorted(axes))


CHOICES: dict[str, Any] = {"max_norm": MaxNorm, "non_neg": NonNeg, "unit_norm": UnitNorm}


def get_constraint(value: Any) -> Constraint | None:
    """Return the constraint that `value` is, names or describes; ``None`` stays ``None``."""
    return None if value is None else resolve(value, CHOICES, "constraint", Constraint)
