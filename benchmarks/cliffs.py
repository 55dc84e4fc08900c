"""What the neighbours of a point on a curve of times predict for it, and which points cost much more: cliffs."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["CLIFF", "excess", "neighbours", "predicted", "worst"]

#: A point that costs more than this many times what its neighbours predict is a cliff.
CLIFF = 1.5


def neighbours(count: int, at: int) -> tuple[int, int]:
    """Return the two points of `count` that predict point `at`: those beside it, at an end the nearest two."""
    if count < 3:
        raise ValueError(f"a prediction needs three points or more, received {count}")
    if at == 0:
        return 1, 2
    return (count - 3, count - 2) if at == count - 1 else (at - 1, at + 1)


def predicted(sizes: Sequence[float], seconds: Sequence[float], at: int) -> float:
    """Return the seconds that the neighbours a and b of point `at` predict for it.

    The time is taken for a power of the size between them, a straight line on logarithmic axes::

        slope = (ln t_b - ln t_a) / (ln s_b - ln s_a)
        t = exp(ln t_a + slope * (ln s - ln s_a))

    Inside the curve that is interpolation. The two end points are extrapolated from the nearest two: for a cost of the
    form ``constant + rate * size`` with sizes doubling this foretells at most 1/8 too little, well below a cliff, so
    the ends are judged like the rest.
    """
    a, b = neighbours(len(sizes), at)
    slope = math.log(seconds[b] / seconds[a]) / math.log(sizes[b] / sizes[a])
    return seconds[a] * (sizes[at] / sizes[a]) ** slope


def excess(sizes: Sequence[float], seconds: Sequence[float]) -> list[float]:
    """Return for every point the seconds it costs over those that its neighbours predict."""
    return [seconds[at] / predicted(sizes, seconds, at) for at in range(len(sizes))]


def worst(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Return the size of the point that exceeds its prediction most, and how many times it costs it."""
    factors = excess(sizes, seconds)
    at = max(range(len(factors)), key=factors.__getitem__)
    return sizes[at], factors[at]
