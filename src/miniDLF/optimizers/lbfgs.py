"""Quasi-Newton minimization over the whole data set, through SciPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import DTypeLike

from miniDLF.core.ranges import require, require_count
from miniDLF.errors import ArgumentError, DivergedError, import_extra
from miniDLF.kernels.workspace import Array
from miniDLF.optimizers.base import Optimizer, Scratch, State

__all__ = ["LBFGS", "Minimum"]

#: ``function(values) -> (loss, gradient)`` of the whole data set; both vectors are flat.
Function = Callable[[Array], tuple[float, Array]]


@dataclass(frozen=True)
class Minimum:
    """What `LBFGS.minimize` found.

    Attributes
    ----------
    values : array
        The values at the smallest loss, of the type they began with.
    loss : float
    iterations, evaluations : int
        Steps of the method, and calls of the function.
    converged : bool
        Whether a tolerance was met, rather than a limit or a line search without success.
    message : str
        SciPy's reason for the end.
    """

    values: Array
    loss: float
    iterations: int
    evaluations: int
    converged: bool
    message: str


class LBFGS(Optimizer):
    """Limited-memory BFGS: steps of an approximate Newton method, each with a line search.

    Liu & Nocedal 1989, "On the limited memory BFGS method for large scale optimization"; SciPy's ``L-BFGS-B``, which
    reckons in float64. It needs loss and gradient of the whole data set several times a step, so it is for small data
    and for losses without randomness (no dropout). There is no learning rate: the line search finds the length of each
    step.

    Parameters
    ----------
    max_iterations
        Most steps of one `minimize`.
    memory
        Pairs of steps and gradient changes from which the curvature is estimated.
    gradient_tolerance
        Stop when no element of the gradient is larger.
    loss_tolerance
        Stop when a step lowers the loss by less than this share of it.
    """

    max_iterations: int = 100
    memory: int = 10
    gradient_tolerance: float = 1e-5
    loss_tolerance: float = 1e-9

    full_batch: ClassVar = True

    def __post_init__(self) -> None:
        require_count(self, "max_iterations", "memory")
        require(self, gradient_tolerance="[0, inf)", loss_tolerance="[0, inf)")

    @property
    def learning_rate(self) -> float:
        """Always 1: the length that the line search tries first."""
        return 1.0

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        raise ArgumentError(
            f"LBFGS has no learning rate to set to {value!r}: its line search finds the length of each step. Leave the "
            "callback out, or use a stochastic optimizer, for example Adam()."
        )

    def rate(self, step: int) -> float:
        """Return 1, see `learning_rate`."""
        return 1.0

    def init_state(self, size: int, dtype: DTypeLike) -> dict[str, Array]:
        self._refuse()

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ArgumentError(
            "LBFGS minimizes over the whole data set and cannot take single steps on batches. Train with fit() on all "
            "the data, or use a stochastic optimizer, for example Adam()."
        )

    def minimize(
        self,
        function: Function,
        values: Array,
        *,
        max_iterations: int | None = None,
        on_iteration: Callable[[int, float], bool | None] | None = None,
    ) -> Minimum:
        """Minimize `function`, beginning at `values`, which is left as it is.

        Parameters
        ----------
        function
            Gives the loss and the flat gradient at a flat vector of the type of `values`. Where they are not finite the
            line search steps back.
        max_iterations
            In place of the optimizer's own limit.
        on_iteration
            Called with the number of each finished step, from 1, and its loss; ``True`` ends the minimization.

        Raises
        ------
        DivergedError
            If loss or gradient is not finite where it begins.
        MissingExtraError
            If SciPy is not installed.
        """
        optimize = import_extra("scipy.optimize", "scipy", "LBFGS")
        dtype = values.dtype
        count = 0
        good: tuple[Array, float] | None = None  # the last point with a finite loss

        def evaluate(point: Array) -> tuple[float, Array]:
            nonlocal good
            loss, gradient = function(point.astype(dtype))
            if np.isfinite(loss) and np.isfinite(gradient).all():
                good = point.copy(), float(loss)
                return float(loss), gradient.astype(np.float64)
            if good is None:
                raise DivergedError(
                    f"LBFGS: the loss is {loss} or a gradient is not finite at the starting point. Look at the data "
                    "and at the initial weights."
                )
            # SciPy's line search cannot step back from infinity or NaN: show it a steep rise from the last good point.
            step, rise = point - good[0], 1.0 + abs(good[1])
            return good[1] + rise, step * (2.0 * rise / np.dot(step, step))

        def finished(intermediate_result: Any) -> None:
            nonlocal count
            count += 1
            if on_iteration is not None and on_iteration(count, float(intermediate_result.fun)):
                raise StopIteration

        limit = self.max_iterations if max_iterations is None else max_iterations
        result = optimize.minimize(
            evaluate,
            values.astype(np.float64),
            jac=True,
            method="L-BFGS-B",
            callback=finished,
            options={
                "maxiter": limit,
                "maxfun": 20 * limit + 20,
                "maxcor": self.memory,
                "gtol": self.gradient_tolerance,
                "ftol": self.loss_tolerance,
            },
        )
        message = result.message if isinstance(result.message, str) else result.message.decode()
        return Minimum(
            result.x.astype(dtype), float(result.fun), int(result.nit), int(result.nfev), bool(result.success), message
        )
