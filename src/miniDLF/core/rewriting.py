"""Neighbouring steps of a program that change places, or become one, where the result is the same and costs less."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miniDLF.core.program import Step

__all__ = ["chosen_first", "enlarging_joined", "rectifier_joined"]


def chosen_first(steps: list[Step], readers: Counter[int]) -> list[Step]:
    """Let a pooling that chooses the largest run before the rising function that stands before it.

    ``max f(x) = f(max x)``, and so are the gradients; f then has a quarter of the numbers to work on.
    """
    result: list[Step] = []
    for step in steps:
        before = result[-1] if result else None
        if before is not None and before.layer.rises and step.layer.chooses and _alone(before, step, readers):
            result[-1] = replace(step, sources=before.sources, target=before.target, needs_dx=before.needs_dx)
            result.append(replace(before, sources=(before.target,), target=step.target))
        else:
            result.append(step)
    return result


def enlarging_joined(steps: list[Step], readers: Counter[int]) -> list[Step]:
    """Leave out layers that enlarge images for a layer that can do so on the way."""
    result: list[Step] = []
    for step in steps:
        before = result[-1] if result else None
        factors = before.layer.enlarges if before is not None else None
        if (
            before is not None
            and factors is not None
            and step.layer.absorbs_enlarging
            and _alone(before, step, readers)
        ):
            result[-1] = replace(_joined(before, step), enlarges=factors)
        else:
            result.append(step)
    return result


def rectifier_joined(steps: list[Step], readers: Counter[int]) -> list[Step]:
    """Leave out rectifiers before a layer that can rectify on the way."""
    result: list[Step] = []
    for step in steps:
        before = result[-1] if result else None
        slope = before.layer.rectifies if before is not None else None
        if before is not None and slope is not None and step.layer.absorbs_rectifier and _alone(before, step, readers):
            result[-1] = replace(_joined(before, step), rectifies=slope)
        else:
            result.append(step)
    return result


def _joined(before: Step, step: Step) -> Step:
    """Return `step` as it does the work of `before` too."""
    joined = (*before.joined, before.layer, *step.joined)
    return replace(step, sources=before.sources, needs_dx=before.needs_dx, joined=joined)


def _alone(before: Step, step: Step, readers: Counter[int]) -> bool:
    """Say whether `step` reads nothing but what `before` gives, and nobody else reads that."""
    return step.sources == (before.target,) and readers[before.target] == 1
