"""Neighbouring steps of a program that change places, or become one, where the result is the same and costs less."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from miniDLF.core.layer import Layer
    from miniDLF.core.program import Step

__all__ = ["chosen_first", "folded", "pooled_at_once", "work_joined"]


def chosen_first(steps: list[Step], readers: Counter[int]) -> list[Step]:
    """Let a pooling that chooses the largest run before the rising function that stands before it.

    ``max f(x) = f(max x)``, and so are the gradients; f then has a quarter of the numbers to work on.
    """
    result: list[Step] = []
    for step in steps:
        before = result[-1] if result else None
        if (
            before is not None
            and before.layer.says("rises")
            and step.layer.says("chooses")
            and _alone(before, step, readers)
        ):
            result[-1] = replace(step, sources=before.sources, target=before.target, needs_dx=before.needs_dx)
            result.append(replace(before, sources=(before.target,), target=step.target))
        else:
            result.append(step)
    return result


def work_joined(steps: list[Step], readers: Counter[int]) -> list[Step]:
    """Leave out layers whose work the next one can do on the way: enlarging images, rectifying."""
    result: list[Step] = []
    for step in steps:
        before = result[-1] if result else None
        work = {} if before is None or before.before or not _joins(step) else _taken_over(before.layer, step.layer)
        if before is not None and work and _alone(before, step, readers):
            joined = replace(step, sources=before.sources, needs_dx=before.needs_dx, before=(before.layer,))
            result[-1] = replace(joined, **work)
        else:
            result.append(step)
    return result


def pooled_at_once(steps: list[Step], readers: Counter[int]) -> list[Step]:
    """Let a convolution pool its own result, with the rectifier that the pooling has taken over."""
    result: list[Step] = []
    for step in steps:
        before = result[-1] if result else None
        pools = step.layer.says("pools") if _joins(step) else None
        if before is not None and pools is not None and _can_pool(before) and _alone(before, step, readers):
            work = pools._replace(rectifies=step.rectifies)
            result[-1] = replace(before, target=step.target, pools=work, after=step.layers)
        else:
            result.append(step)
    return result


def folded(steps: list[Step], readers: Counter[int]) -> list[Step]:
    """In inference, let layers whose weights can become one be one."""
    uses = Counter(step.layer for step in steps)
    result: list[Step] = []
    for step in steps:
        before = result[-1] if result else None
        layer = None
        if (
            before is not None
            and before.node.inputs[0].layer is not None  # raw inputs may be far from 0: then folded sums cancel
            and uses[step.layer] == uses[before.layer] == 1
            and _alone(before, step, readers)
        ):
            fold = step.layer.says("folded")
            layer = fold and fold(before.layer)
        if before is not None and layer is not None and not (before.before or before.after):
            result[-1] = replace(step, layer=layer, sources=before.sources, learns=False)
        else:
            result.append(step)
    return result


def _joins(step: Step) -> bool:
    return step.layer.joins(step.node.inputs[0].shape)


def _can_pool(step: Step) -> bool:
    return step.layer.says("absorbs_pooling") and step.enlarges == (1, 1) and step.pools is None


def _taken_over(before: Layer, after: Layer) -> dict[str, Any]:
    """Return what `after` has to be told to do the work of `before`; nothing where it cannot."""
    for absorbs, work in (("absorbs_enlarging", "enlarges"), ("absorbs_rectifier", "rectifies")):
        if after.says(absorbs) and before.says(work) is not None:
            return {work: before.says(work)}
    return {}


def _alone(before: Step, step: Step, readers: Counter[int]) -> bool:
    """Say whether `step` reads nothing but what `before` gives, and nobody else reads that."""
    return step.sources == (before.target,) and readers[before.target] == 1
