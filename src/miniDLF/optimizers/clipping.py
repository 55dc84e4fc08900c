"""Clipping of the gradient, by value and by norm."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from miniDLF.core.buffers import Buffers
from miniDLF.core.ranges import require
from miniDLF.kernels.norms import norm_of_all
from miniDLF.kernels.threads import quiet_arithmetic
from miniDLF.kernels.workspace import Array
from miniDLF.optimizers.base import Scratch, State
from miniDLF.optimizers.wrappers import Wrapper

__all__ = ["ClipGlobalNorm", "ClipNorm", "ClipValue"]


class ClipValue(Wrapper):
    """Clip every element of the gradient to the range from ``-limit`` to ``limit``."""

    limit: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, limit="(0, inf)")

    def before(self, buffers: Buffers, state: State, step: int) -> bool:
        if self.optimizer.uses_before:  # a norm further inside must see the clipped gradient
            np.clip(buffers.gradients, -self.limit, self.limit, out=buffers.gradients)
        return super().before(buffers, state, step)

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        if not self.optimizer.uses_before:
            np.clip(grad, -self.limit, self.limit, out=grad)
        self.optimizer.update(value, grad, state, learning_rate, step, scratch)


class ClipNorm(Wrapper):
    """Scale the gradient of each parameter down to an L2 norm of at most `norm`: ``g * norm / max(|g|, norm)``."""

    norm: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, norm="(0, inf)")

    @property
    def uses_before(self) -> bool:
        return True

    def before(self, buffers: Buffers, state: State, step: int) -> bool:
        for slot in buffers.slots:
            if slot.trained:
                gradient = buffers.gradients[slot.slice]
                _limit(gradient, [gradient], self.norm)
        return super().before(buffers, state, step)


class ClipGlobalNorm(Wrapper):
    """Scale the whole gradient down to an L2 norm of at most `norm` (Pascanu et al. 2013, algorithm 1)."""

    norm: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, norm="(0, inf)")

    @property
    def uses_before(self) -> bool:
        return True

    def before(self, buffers: Buffers, state: State, step: int) -> bool:
        parts = [buffers.gradients[slot.slice] for slot in buffers.slots if slot.trained]
        _limit(buffers.gradients, parts, self.norm)
        return super().before(buffers, state, step)


@quiet_arithmetic
def _limit(gradient: Array, parts: Sequence[Array], limit: float) -> None:
    """Scale `gradient`, of which `parts` count, down to an L2 norm of at most `limit`; leave one that is not finite."""
    scale, rest = norm_of_all(parts)
    if limit / scale < rest < math.inf:
        if scale != 1.0:
            np.divide(gradient, scale, out=gradient)
        np.multiply(gradient, limit / rest, out=gradient)
