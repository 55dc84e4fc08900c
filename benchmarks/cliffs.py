"""What the neighbours of a point on a curve of times predict for it, and which points cost much more: cliffs."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["CLIFF", "excess", "neighbours", "predicted", "worst"]

#: A point that costs more than this many times what its neighbours predict is a cliff.
CLIFF = 1.5


def neighbours(count: int, at: int) -> list[tuple[int, int]]:
    """Return the pairs of points, of `count`, that predict point `at`: inside the curve the two beside it.

    At an end, the one beside it with the next and with the one after that.
    """
    if count < 3:
        raise ValueError(f"a prediction needs three points or more, received {count}")
    if 0 < at < count - 1:
        return [(at - 1, at + 1)]
    order = range(count) if at == 0 else range(count - 1, -1, -1)
    return [(order[1], order[far]) for far in (2, 3) if far < count]


def predicted(sizes: Sequence[float], seconds: Sequence[float], at: int) -> float:
    """Return the seconds that the neighbours a and b of point `at` predict for it.

    The time is taken for a power of the size, a straight line through a and b on logarithmic axes::

        slope = (ln t_b - ln t_a) / (ln s_b - ln s_a)
        t = exp(ln t_a + slope * (ln s - ln s_a))

    Inside the curve that is interpolation between the points beside it. An end is extrapolated, from the point beside
    it with each of the next two, and the larger prediction counts: so a cliff at one of those does not make one of the
    end. For a cost of the form ``constant + rate * size`` with sizes doubling, an extrapolation foretells at most 1/8
    too little, far from a cliff, so the ends are judged like the rest.
    """

    def line(a: int, b: int) -> float:
        slope = math.log(seconds[b] / seconds[a]) / math.log(sizes[b] / sizes[a])
        return seconds[a] * float(sizes[at] / sizes[a]) ** slope

    return max(line(a, b) for a, b in neighbours(len(sizes), at))


def excess(sizes: Sequence[float], seconds: Sequence[float]) -> list[float]:
    """Return for every point the seconds it costs over those that its neighbours predict."""
    return [seconds[at] / predicted(sizes, seconds, at) for at in range(len(sizes))]


def worst(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Return the size of the point that exceeds its prediction most, and how many times it costs it."""
    factors = excess(sizes, seconds)
    at = max(range(len(factors)), key=factors.__getitem__)
    return sizes[at], factors[at]
