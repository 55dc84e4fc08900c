"""What the tests of optimizers share: flat buffers, small problems, and every optimizer's settings for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from miniDLF.core.buffers import Buffers
from miniDLF.core.initializers import Zeros
from miniDLF.core.parameter import Parameter
from miniDLF.core.update import Updater
from miniDLF.optimizers import (
    SGD,
    Accumulate,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    AMSGrad,
    ClipGlobalNorm,
    ClipNorm,
    ClipValue,
    Lion,
    MovingAverage,
    Nadam,
    Optimizer,
    RMSProp,
    WeightDecay,
)
from miniDLF.optimizers.schedules import CosineDecay

__all__ = ["CASES", "Case", "lend", "make_buffers", "make_updater", "take_step"]


@dataclass
class Case:
    """How to make an optimizer that solves the small problems within `STEPS` of test_optimizer_contract."""

    make: Callable[[], Optimizer]

    def __str__(self) -> str:
        return repr(self.make())


CASES = [
    Case(lambda: SGD(0.1)),
    Case(lambda: SGD(0.1, nesterov=False)),
    Case(lambda: SGD(0.3, momentum=0.0)),
    Case(lambda: SGD(CosineDecay(0.0, 500, warmup_target=0.1, warmup_steps=20))),
    Case(lambda: Adagrad(0.5)),
    Case(lambda: RMSProp(CosineDecay(0.05, 500))),
    Case(lambda: Adam(0.05)),
    Case(lambda: Adam(0.05, 1e-3, 0.8, 0.9, 1e-8)),
    Case(lambda: Nadam(0.05)),
    Case(lambda: AMSGrad(0.05)),
    Case(lambda: Adadelta(epsilon=1e-4)),
    Case(lambda: AdamW(0.05, weight_decay=1e-4)),
    Case(lambda: Adamax(0.05)),
    Case(lambda: Lion(CosineDecay(0.02, 600))),
    Case(lambda: ClipValue(SGD(0.1), 1.0)),
    Case(lambda: ClipNorm(SGD(0.1), 1.0)),
    Case(lambda: ClipGlobalNorm(SGD(0.1), 1.0)),
    Case(lambda: WeightDecay(Adam(0.05), 1e-4)),
    Case(lambda: MovingAverage(Adam(0.05))),
    Case(lambda: Accumulate(Adam(0.1), 3)),
    Case(lambda: ClipValue(ClipNorm(WeightDecay(MovingAverage(Accumulate(Adam(0.1), 2), 0.9), 1e-4), 1.0), 0.5)),
]


def make_buffers(shapes: dict[str, tuple[int, ...]], dtype: Any = np.float64) -> Buffers:
    """Flat buffers of one layer a parameter, so that there is padding between them."""
    entries = [[(path, Parameter(path.rpartition("/")[2], shape, Zeros()), True)] for path, shape in shapes.items()]
    return Buffers(entries, dtype)


def make_updater(optimizer: Optimizer, shapes: dict[str, tuple[int, ...]], dtype: Any = np.float64) -> Updater:
    """The engine's own updater on fresh buffers."""
    return Updater(optimizer, make_buffers(shapes, dtype))


def take_step(updater: Updater, gradients: Sequence[Any], step: int) -> None:
    """Fill in the gradients of the parameters, in order, and update."""
    for slot, gradient in zip(updater.buffers.slots, gradients, strict=True):
        slot.parameter.grad[...] = gradient  # type: ignore[index]
    updater.apply(step)


def lend(dtype: Any) -> Callable[[str, int], np.ndarray]:
    """Scratch memory that holds NaN each time it is lent, so that nothing can be read from it unwritten."""
    return lambda name, size: np.full(size, np.nan, dtype)
