"""A running mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["RunningMean"]


class RunningMean:
    """The mean of the values given since `reset`, each with its weight."""

    def __init__(self) -> None:
        self.total = 0.0
        self.weight = 0.0

    def reset(self) -> None:
        """Start anew."""
        self.total = self.weight = 0.0

    def update(self, value: float, weight: float = 1.0) -> None:
        """Add a value."""
        self.total += value * weight
        self.weight += weight

    def result(self) -> float:
        """Return the mean; NaN where there is none yet."""
        return self.total / self.weight if self.weight else float("nan")

    def state(self) -> dict[str, Any]:
        """Return the two sums."""
        return {"total": self.total, "weight": self.weight}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take over sums that `state` gave."""
        self.total, self.weight = float(state["total"]), float(state["weight"])
