"""Which axis of a value is the batch, and what an operation makes of it: one rule for each kind of operation.

A value is the same for all shards (`WHOLE`), cut into shards along an axis (`Split`), or the sum of what the shards
have (`Partial`). A rule is given that of every input and returns that of the result, and the primitive that does for a
shard what the recorded one does for the whole batch. Where an operation mixes samples otherwise, there is no rule, and
it raises `Mixes`: the program then runs in one piece.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from miniDLF.kernels.workspace import Shape
from miniDLF.ops import (
    activations,
    arguments,
    arithmetic,
    choices,
    images,
    indexing,
    pooling,
    products,
    reductions,
    shaping,
    sorting,
)
from miniDLF.tensor.primitive import Elementwise, Operation, Primitive

__all__ = [
    "RULES", "WHOLE", "Mixes", "Partial", "Placed", "Placement", "Split", "follows_samples", "keeps_sums",
    "local_length", "rule_of",
    "with_length",
]  # fmt: skip


@dataclass(frozen=True)
class Split:
    """Cut along `axis`, which has `per` entries for each sample, those of one sample next to each other."""

    axis: int
    per: int = 1


@dataclass(frozen=True)
class Partial:
    """Every shard has a part; all parts together, joined by `how` ("sum", "max", "min"), are the value."""

    how: str = "sum"


WHOLE = None
Placement = Split | Partial | None


class Mixes(Exception):
    """An operation for which samples cannot be told apart."""


@dataclass(frozen=True)
class Placed:
    """What a rule says.

    Attributes
    ----------
    result : Placement
        One for each output, in a tuple, where they differ.
    primitive : Primitive
        For a shard of `rows` samples.
    inputs : tuple
        How each input must be there: a `Split`, or ``None`` for the whole of a value that is the same for all.
    """

    result: Placement | tuple[Placement, ...]
    primitive: Primitive
    inputs: tuple[Split | None, ...]

    def of(self, index: int) -> Placement:
        """Return where one of the results is."""
        return self.result[index] if isinstance(self.result, tuple) else self.result


Rule = Callable[[Operation, Sequence[Split | None], int], Placed]


def local_length(split: Split, rows: int) -> int:
    """Return the length of a split axis in a shard of `rows` samples."""
    return split.per * rows


def with_length(shape: Shape, split: Split, rows: int) -> Shape:
    """Return `shape` with the length that the split axis has in a shard of `rows` samples."""
    return (*shape[: split.axis], split.per * rows, *shape[split.axis + 1 :])


def _elementwise(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    ndim = len(operation.shapes[0])
    found = {Split(s.axis + ndim - len(x.shape), s.per) for s, x in _pairs(operation, splits)}
    if len(found) != 1:
        raise Mixes
    (split,) = found
    length = operation.shapes[0][split.axis]
    needed: list[Split | None] = []
    for tensor in operation.inputs:
        axis = split.axis - (ndim - tensor.ndim)
        covered = axis >= 0 and tensor.shape[axis] == length and length != 1
        needed.append(Split(axis, split.per) if covered else None)
    for tensor, own in zip(operation.inputs, splits, strict=True):
        if own is not None and tensor.shape[own.axis] != length:
            raise Mixes  # one sample against all of them
    return Placed(split, operation.primitive, tuple(needed))


def _pairs(operation: Operation, splits: Sequence[Split | None]) -> list[tuple[Split, Any]]:
    return [(s, x) for s, x in zip(splits, operation.inputs, strict=True) if s is not None]


_JOINS: dict[type, str] = {reductions.Sum: "sum", reductions.Max: "max", reductions.Min: "min"}


def _reduction(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    (split,), primitive = splits, operation.primitive
    assert split is not None
    axes, keeps = primitive.axes, primitive.keepdims  # type: ignore[attr-defined]
    if split.axis in axes:
        how = _JOINS.get(type(primitive))
        if how is None:
            raise Mixes
        return Placed(Partial(how), primitive, (split,))
    axis = split.axis if keeps else split.axis - sum(1 for one in axes if one < split.axis)
    return Placed(Split(axis, split.per), primitive, (split,))


def _sum_to(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    (split,), target = splits, operation.shapes[0]
    assert split is not None
    axis = split.axis - (operation.inputs[0].ndim - len(target))
    if axis < 0 or target[axis] == 1:
        return Placed(Partial(), operation.primitive, (split,))
    result = Split(axis, split.per)
    return Placed(result, reductions.SumTo(with_length(target, result, rows)), (split,))


def _along_axis(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    """Works along one axis, which must not be the batch; the others stay as they are."""
    (split,), primitive = splits, operation.primitive
    assert split is not None
    axis = primitive.axis  # type: ignore[attr-defined]
    if split.axis == axis:
        raise Mixes
    gone = len(operation.shapes[0]) < operation.inputs[0].ndim and axis < split.axis
    return Placed(Split(split.axis - gone, split.per), primitive, (split,))


def _reshape(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    (split,), old, new = splits, operation.inputs[0].shape, operation.shapes[0]
    assert split is not None
    samples = old[split.axis] // split.per
    before = math.prod(old[: split.axis])
    for axis in range(len(new)):
        if math.prod(new[:axis]) == before and new[axis] % samples == 0 and new[axis]:
            result = Split(axis, new[axis] // samples)
            if math.prod(new[axis + 1 :]) * result.per == math.prod(old[split.axis + 1 :]) * split.per:
                return Placed(result, shaping.Reshape(with_length(new, result, rows)), (split,))
    raise Mixes


def _transpose(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    (split,), primitive = splits, operation.primitive
    assert split is not None
    return Placed(Split(primitive.order.index(split.axis), split.per), primitive, (split,))  # type: ignore[attr-defined]


def _broadcast_to(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    (split,), target = splits, operation.shapes[0]
    assert split is not None
    result = Split(split.axis + len(target) - operation.inputs[0].ndim, split.per)
    return Placed(result, shaping.BroadcastTo(with_length(target, result, rows)), (split,))


def _concatenate(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    (split, *others) = {one for one in splits if one is not None}
    if others or split.axis == operation.primitive.axis:  # type: ignore[attr-defined]
        raise Mixes
    return Placed(split, operation.primitive, (split,) * len(splits))


def _unmoved(attribute: str, still: Any) -> Rule:
    """The rule of operations that keep the shape's order, and do nothing along axes where `attribute` is `still`."""

    def rule(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
        (split,), primitive = splits, operation.primitive
        assert split is not None
        if not still(getattr(primitive, attribute), split.axis):
            raise Mixes
        return Placed(split, primitive, (split,))

    return rule


def _get_item(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    parts = operation.primitive.parts  # type: ignore[attr-defined]
    indices = operation.inputs[1:]
    own, *of_indices = splits
    if own is None:  # rows of a table, at indices of every sample
        arrays = [number for number, part in enumerate(parts) if part == indexing.ARRAY]
        (split, *others) = set(of_indices)
        simple = len(arrays) == 1 and all(part == slice(None) or part == indexing.ARRAY for part in parts)
        if others or not simple or split is None:
            raise Mixes
        return Placed(Split(arrays[0] + split.axis, split.per), operation.primitive, (None, split))
    if any(one is not None for one in of_indices) or Ellipsis in parts:
        raise Mixes
    axis, place = 0, 0  # the axes of x and of the result that the parts so far cover
    if any(part == indexing.ARRAY for part in parts):
        first = next(number for number, part in enumerate(parts) if part == indexing.ARRAY)
        if parts[: own.axis + 1] != (slice(None),) * (own.axis + 1) or first <= own.axis:
            raise Mixes
        later = [part for part in parts[first:] if part == indexing.ARRAY or isinstance(part, int)]
        together = [p == indexing.ARRAY or isinstance(p, int) for p in parts[first : first + len(later)]]
        if not all(together):
            raise Mixes
        return Placed(own, operation.primitive, (own, *(None for _ in indices)))
    for part in parts:
        if part is None:
            place += 1
            continue
        if axis == own.axis:
            if part != slice(None):
                raise Mixes
            break
        axis, place = axis + 1, place + isinstance(part, slice)
    else:
        place += own.axis - axis
    return Placed(Split(place, own.per), operation.primitive, (own,))


def _put_back(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    parts, target = operation.primitive.parts, operation.shapes[0]  # type: ignore[attr-defined]
    own, *of_indices = splits
    if own is None:
        raise Mixes
    if any(one is not None for one in of_indices):  # into a table, from indices of every sample
        if any(part != slice(None) and part != indexing.ARRAY for part in parts) or len(of_indices) != 1:
            raise Mixes
        return Placed(Partial(), operation.primitive, (own, *of_indices))
    place, axis = 0, 0  # of dy and of the target
    for part in parts:
        if part == indexing.ARRAY or part is Ellipsis:
            break
        if place == own.axis and part is not None and not isinstance(part, int):
            break
        place += part is None or isinstance(part, slice)
        axis += part is not None
    axis += own.axis - place
    covered = parts[axis + sum(part is None for part in parts[:axis])] if axis < len(parts) else slice(None)
    if covered != slice(None) or target[axis] % own.per:
        raise Mixes
    result = Split(axis, own.per)
    primitive = indexing.PutBack(parts, with_length(target, result, rows))
    return Placed(result, primitive, (own, *(None for _ in of_indices)))


def _one_hot(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    return Placed(splits[0], operation.primitive, tuple(splits))


def _matmul(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    a, b = operation.inputs
    left, right = splits
    ndim = len(operation.shapes[0])
    if left is not None and left.axis == a.ndim - 1:  # summed over samples
        need = Split(b.ndim - 2, left.per)
        if right is not None and right != need:
            raise Mixes
        return Placed(Partial(), operation.primitive, (left, need))
    if right is not None and right.axis == b.ndim - 2:
        return Placed(Partial(), operation.primitive, (Split(a.ndim - 1, right.per), right))
    if left is not None and left.axis == a.ndim - 2:
        if right is not None:
            raise Mixes
        return Placed(Split(ndim - 2, left.per), operation.primitive, (left, None))
    if right is not None and right.axis == b.ndim - 1:
        if left is not None:
            raise Mixes
        return Placed(Split(ndim - 1, right.per), operation.primitive, (None, right))
    return _elementwise(operation, splits, rows)  # along axes in front, which are broadcast


def _einsum(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    left, _, result = operation.primitive.subscripts.partition("->")  # type: ignore[attr-defined]
    parts = left.split(",")
    found = {(part[s.axis], s.per) for part, s in zip(parts, splits, strict=True) if s is not None}
    if len(found) != 1:
        raise Mixes
    ((letter, per),) = found
    needed = tuple(Split(part.index(letter), per) if letter in part else None for part in parts)
    placed = Split(result.index(letter), per) if letter in result else Partial()
    return Placed(placed, operation.primitive, needed)


def _of_images(kernels: int = 0, result: Placement = Split(0)) -> Rule:
    """The rule of operations on images (N, C, H, W), whose last inputs are so many kernels."""

    def rule(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
        of_images = len(splits) - kernels
        found = {one for one in splits[:of_images] if one is not None}
        if any(one is not None for one in splits[of_images:]) or len(found) != 1 or {one.axis for one in found} != {0}:
            raise Mixes
        (split,) = found
        needed = (split,) * of_images + (None,) * kernels
        return Placed(split if isinstance(result, Split) else result, operation.primitive, needed)

    return rule


RULES: dict[type, Rule] = {
    images.Convolution: _of_images(kernels=1),
    images.ConvolutionInputGradient: _of_images(kernels=1),
    images.ConvolutionKernelGradient: _of_images(result=Partial()),
    pooling.WindowSum: _of_images(),
    pooling.WindowSpread: _of_images(),
    pooling.MaxPool: _of_images(),
    pooling.MaxPoolGradient: _of_images(),
    pooling.MaxPoolChoice: _of_images(),
    arguments.Cast: _elementwise,
    reductions.Sum: _reduction,
    reductions.Max: _reduction,
    reductions.Min: _reduction,
    reductions.Prod: _reduction,
    reductions.All: _reduction,
    reductions.Any_: _reduction,
    reductions.SumTo: _sum_to,
    reductions.Argmax: _along_axis,
    reductions.Argmin: _along_axis,
    reductions.Cumsum: _along_axis,
    activations.Softmax: _along_axis,
    activations.LogSumExp: _along_axis,
    sorting.Sort: _along_axis,
    sorting.Argsort: _along_axis,
    shaping.Repeat: _along_axis,
    shaping.Reshape: _reshape,
    shaping.Transpose: _transpose,
    shaping.BroadcastTo: _broadcast_to,
    shaping.Concatenate: _concatenate,
    shaping.Pad: _unmoved("widths", lambda widths, axis: widths[axis] == (0, 0)),
    shaping.Flip: _unmoved("axes", lambda axes, axis: axis not in axes),
    shaping.Roll: _unmoved("axes", lambda axes, axis: axis not in axes),
    indexing.GetItem: _get_item,
    indexing.PutBack: _put_back,
    indexing.OneHot: _one_hot,
    products.MatMul: _matmul,
    products.Einsum: _einsum,
}

#: Operations that are the same function of a sum and of its parts: the parts need not be joined before them.
LINEAR = (
    arithmetic.Negative, shaping.Reshape, shaping.Transpose, arguments.Cast, choices.StopGradient, indexing.GetItem,
    indexing.PutBack,
)  # fmt: skip


def follows_samples(*primitives: type) -> Callable[[Rule], Rule]:
    """Let the decorated rule hold for these primitives, which are made further up."""

    def register(rule: Rule) -> Rule:
        for primitive in primitives:
            RULES[primitive] = rule
        return rule

    return register


def keeps_sums(operation: Operation, places: Sequence[Placement]) -> bool:
    """Say whether an operation, where some inputs are sums of what shards have, is linear in them."""
    sums = [isinstance(where, Partial) and where.how == "sum" for where in places]
    kind = type(operation.primitive)
    return (
        (kind in LINEAR and all(sums))
        or (kind is arithmetic.Add and all(sums) and operation.inputs[0].shape == operation.inputs[1].shape)
        or (kind is arithmetic.Multiply and sums.count(True) == 1 and list(places).count(WHOLE) == 1)
    )


def rule_of(primitive: Primitive) -> Rule:
    """Return the rule of a primitive.

    Raises
    ------
    Mixes
        If it has none.
    """
    rule = RULES.get(type(primitive))
    if rule is not None:
        return rule
    if isinstance(primitive, Elementwise):
        return _elementwise
    raise Mixes
