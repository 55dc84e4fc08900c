"""Learning rates as functions of the step, under Keras' names: ``schedule(step) -> float``, steps from 0."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, ClassVar

from miniDLF.core.configurable import Configurable, resolve
from miniDLF.core.ranges import number, require, require_count
from miniDLF.errors import ArgumentError
from miniDLF.names import names_of_keras

__all__ = [
    "CHOICES",
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "Schedule",
    "get_schedule",
]


class Schedule(Configurable):
    """A learning rate that depends on nothing but the number of the step, so that a resumed run meets the same."""

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        raise NotImplementedError(f"{type(self).__name__} has no __call__()")


class ExponentialDecay(Schedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    decay_steps
        Steps until the rate has been multiplied by `decay_rate` once.
    staircase
        Round ``step / decay_steps`` down, so that the rate changes only every `decay_steps`.
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def __post_init__(self) -> None:
        require(self, initial_learning_rate="[0, inf)", decay_rate="(0, inf)")
        require_count(self, "decay_steps")

    def __call__(self, step: int) -> float:
        periods = step // self.decay_steps if self.staircase else step / self.decay_steps
        return float(self.initial_learning_rate * self.decay_rate**periods)


class InverseTimeDecay(Schedule):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``; `staircase` rounds the fraction down."""

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def __post_init__(self) -> None:
        require(self, initial_learning_rate="[0, inf)", decay_rate="[0, inf)")
        require_count(self, "decay_steps")

    def __call__(self, step: int) -> float:
        periods = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate / (1.0 + self.decay_rate * periods)


class PolynomialDecay(Schedule):
    """``(initial - end) * (1 - step / decay_steps) ** power + end``; then it stays at the end.

    With `cycle` the decay begins again from a lower start: `decay_steps` is multiplied by the number of the cycle.
    """

    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False

    def __post_init__(self) -> None:
        require(self, initial_learning_rate="[0, inf)", end_learning_rate="[0, inf)", power="(0, inf)")
        require_count(self, "decay_steps")

    def __call__(self, step: int) -> float:
        total = self.decay_steps * max(1, -(-step // self.decay_steps)) if self.cycle else self.decay_steps
        left = 1.0 - min(step, total) / total
        return float((self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate)


class PiecewiseConstantDecay(Schedule):
    """``values[0]`` up to and including step ``boundaries[0]``, then ``values[1]``, and so on.

    Parameters
    ----------
    boundaries
        Steps, rising.
    values
        One more than there are boundaries.
    """

    boundaries: Sequence[int]
    values: Sequence[float]

    def __post_init__(self) -> None:
        self.boundaries, self.values = list(self.boundaries), list(self.values)
        if len(self.values) != len(self.boundaries) + 1:
            raise ArgumentError(
                f"PiecewiseConstantDecay: expected one value more than boundaries, received {len(self.boundaries)} "
                f"boundaries and {len(self.values)} values. Add the value before the first boundary, or after the last."
            )
        if any(b <= a for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ArgumentError(f"PiecewiseConstantDecay: boundaries must rise, received {self.boundaries}. Sort them.")
        self.values = [
            number("PiecewiseConstantDecay", f"values[{i}]", value, "[0, inf)") for i, value in enumerate(self.values)
        ]

    def __call__(self, step: int) -> float:
        return self.values[bisect_left(self.boundaries, step)]


class CosineDecay(Schedule):
    """Half a cosine from the initial rate down to `alpha` times it, after an optional linear warm-up.

    ``rate = top * ((1 - alpha) * (1 + cos(pi * t / decay_steps)) / 2 + alpha)`` (Loshchilov & Hutter 2017, "SGDR",
    equation 5), where ``t`` counts from the end of the warm-up.

    Parameters
    ----------
    warmup_target
        The rate that a linear rise from `initial_learning_rate` reaches after `warmup_steps`, and from which the decay
        begins; ``None`` means no warm-up.
    """

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        require(self, initial_learning_rate="[0, inf)", alpha="[0, inf)")
        require_count(self, "decay_steps")
        require_count(self, "warmup_steps", least=0)
        if self.warmup_target is not None:
            require(self, warmup_target="[0, inf)")
        elif self.warmup_steps:
            raise ArgumentError(
                f"CosineDecay: warmup_steps={self.warmup_steps} without a warmup_target. Give the learning rate at "
                "which the warm-up ends."
            )

    def __call__(self, step: int) -> float:
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top = self.warmup_target
            step -= self.warmup_steps
        return top * ((1.0 - self.alpha) * _half_cosine(step / self.decay_steps) + self.alpha)


class CosineDecayRestarts(Schedule):
    """Cosine decays one after the other, the next `t_mul` times as long and `m_mul` times as high.

    Loshchilov & Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", section 3.
    """

    initial_learning_rate: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    def __post_init__(self) -> None:
        require(self, initial_learning_rate="[0, inf)", t_mul="[1, inf)", m_mul="(0, inf)", alpha="[0, inf)")
        require_count(self, "first_decay_steps")

    def __call__(self, step: int) -> float:
        position, length, restarts = float(step), float(self.first_decay_steps), 0
        if self.t_mul == 1.0:
            restarts = step // self.first_decay_steps
            position = float(step % self.first_decay_steps)
        else:
            while position >= length:  # a logarithm would miss the restart by a rounding now and then
                position -= length
                length *= self.t_mul
                restarts += 1
        height = self.m_mul**restarts * _half_cosine(position / length)
        return float(self.initial_learning_rate * ((1.0 - self.alpha) * height + self.alpha))


class OneCycle(Schedule):
    """One rise to a high rate and one fall to almost nothing, both along half a cosine.

    Smith & Topin 2018, "Super-convergence"; the two-phase form of PyTorch's ``OneCycleLR``: from
    ``max_learning_rate / div_factor`` to `max_learning_rate` at step ``warmup_fraction * total_steps - 1``, then to
    ``max_learning_rate / div_factor / final_div_factor`` at the last step, where it stays.

    Parameters
    ----------
    total_steps
        Steps of the whole run: epochs times batches an epoch.
    warmup_fraction
        Share of the steps in which the rate rises.
    """

    max_learning_rate: float
    total_steps: int
    warmup_fraction: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    aliases: ClassVar = {"max_lr": "max_learning_rate", "pct_start": "warmup_fraction"}

    def __post_init__(self) -> None:
        require(self, max_learning_rate="[0, inf)", warmup_fraction="[0, 1]")
        require(self, div_factor="[1, inf)", final_div_factor="[1, inf)")
        require_count(self, "total_steps", least=2)

    def __call__(self, step: int) -> float:
        start = self.max_learning_rate / self.div_factor
        peak = max(self.warmup_fraction * self.total_steps - 1.0, 0.0)
        last = self.total_steps - 1.0
        if step < peak:
            return self.max_learning_rate + (start - self.max_learning_rate) * _half_cosine(step / peak)
        end = start / self.final_div_factor
        done = (step - peak) / (last - peak) if last > peak else float(step > last)
        return end + (self.max_learning_rate - end) * _half_cosine(done)


def _half_cosine(fraction: float) -> float:
    """Fall from 1 at fraction 0 to 0 at fraction 1, and stay there."""
    return 0.5 * (1.0 + math.cos(math.pi * min(fraction, 1.0)))


CHOICES: dict[str, Any] = {
    "exponential_decay": ExponentialDecay,
    "inverse_time_decay": InverseTimeDecay,
    "polynomial_decay": PolynomialDecay,
    "piecewise_constant_decay": PiecewiseConstantDecay,
    "cosine_decay": CosineDecay,
    "cosine_decay_restarts": CosineDecayRestarts,
    "one_cycle": OneCycle,
}


def get_schedule(value: Any) -> Schedule:
    """Return the schedule that `value` is, or that its configuration describes."""
    return resolve(value, CHOICES, "schedule", Schedule)


__getattr__ = names_of_keras(__name__)
