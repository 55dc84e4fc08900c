"""Where batches come from: arrays, or anything that can be iterated over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

import numpy as np

from miniDLF.core.executor import Batch
from miniDLF.core.graph import Graph
from miniDLF.core.program import Head
from miniDLF.datasets import batch_bounds, epoch_order
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError
from miniDLF.kernels.workspace import Array

__all__ = ["ArrayFeed", "Converter", "IterableFeed"]

#: Rows that are checked for NaN at a time, so that arrays larger than memory are never held whole.
CHECKED_ROWS = 8192


class Converter:
    """Brings what users pass into the form the executor takes, and refuses what does not fit."""

    def __init__(self, graph: Graph, heads: Sequence[Head]) -> None:
        self.graph, self.heads = graph, list(heads)
        self.input_names = [node.name or f"input_{number}" for number, node in enumerate(graph.inputs, 1)]
        self.output_names = [head.name for head in self.heads]

    def inputs(self, x: Any) -> list[Array]:
        """Return one array an input, checked for shape, type and NaN."""
        parts = _listed(x, self.input_names, "x")
        for name, node, (position, array) in zip(self.input_names, self.graph.inputs, enumerate(parts), strict=True):
            array = parts[position] = _as_array(array, f"x ({name})")
            if array.dtype.kind not in "fiub":
                raise ArgumentTypeError(f"x ({name}): expected numbers, received an array of {array.dtype}.")
            if array.shape[1:] != node.shape:
                raise ShapeError(_shape_message(name, node.shape, array))
            if array.dtype.kind == "f":
                _refuse_nan(array, f"x ({name})")
        if len({len(array) for array in parts}) > 1:
            raise ShapeError(f"the inputs have different numbers of samples: {[len(array) for array in parts]}.")
        if not len(parts[0]):
            raise DataError("x is empty: it holds no sample.")
        return parts

    def targets(self, y: Any, rows: int) -> list[Array]:
        """Return one array an output, as its loss wants it."""
        if y is None:
            raise ArgumentError("y is missing: the loss needs targets; pass fit(x, y).")
        parts = _listed(y, self.output_names, "y")
        result = []
        for head, output, part in zip(self.heads, self.graph.outputs, parts, strict=True):
            target = head.loss.encode(_as_array(part, "y"), output.shape)
            if len(target) != rows:
                raise ShapeError(f"x has {rows} samples and y has {len(target)}; they must be as many.")
            result.append(target)
        return result

    def weights(
        self, sample_weight: Any, class_weight: Mapping[int, float] | None, targets: Sequence[Array], rows: int
    ) -> list[Array | None]:
        """Return one weight a sample for each output, or ``None`` where all count the same."""
        if class_weight and len(self.heads) != 1:
            raise ArgumentError("class_weight works with one output; use sample_weight for several.")
        if sample_weight is None:
            parts: list[Any] = [None] * len(self.heads)
        elif isinstance(sample_weight, dict | list | tuple) and len(self.heads) > 1:
            parts = _listed(sample_weight, self.output_names, "sample_weight")
        else:
            parts = [sample_weight] * len(self.heads)
        result: list[Array | None] = []
        for part, target in zip(parts, targets, strict=True):
            weight = None if part is None else np.asarray(part, dtype=np.float64)
            if weight is not None and weight.shape != (rows,):
                raise ShapeError(f"sample_weight: expected one number a sample, ({rows},), received {weight.shape}.")
            if weight is not None and not (np.isfinite(weight).all() and (weight >= 0).all()):
                raise DataError("sample_weight: weights must be finite and not negative.")
            if class_weight is not None:
                classes = class_weights(class_weight, target)
                weight = classes if weight is None else weight * classes
            result.append(weight)
        return result

    def batch(self, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None) -> Batch:
        """Return a batch of arrays."""
        inputs = self.inputs(x)
        rows = len(inputs[0])
        targets = self.targets(y, rows)
        return Batch(inputs, targets, self.weights(sample_weight, class_weight, targets, rows))


def class_weights(class_weight: Mapping[int, float], target: Array) -> Array:
    """Return the weight of each sample's class; classes that are not named count 1."""
    if target.ndim == 1 or (target.ndim == 2 and target.shape[1] == 1):
        labels = target.reshape(-1).astype(np.int64)
    elif target.ndim == 2:
        labels = np.argmax(target, axis=1)
    else:
        raise ArgumentError("class_weight needs one class a sample; use sample_weight for sequences or images.")
    table = np.ones(max([int(labels.max()), *map(int, class_weight)]) + 1)
    for label, weight in class_weight.items():
        table[int(label)] = weight
    result: Array = table[labels]
    return result


class ArrayFeed:
    """Batches of arrays that hold the whole data set, shuffled anew every epoch.

    The order is a function of (seed, epoch), so any epoch can begin at any batch.
    """

    def __init__(
        self, data: Batch, batch_size: int, *, shuffle: bool = False, seed: int = 0, steps: int | None = None
    ) -> None:
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise ArgumentError(f"batch_size: expected a whole number of at least 1, received {batch_size!r}.")
        self.data, self.shuffle, self.seed = data, shuffle, seed
        self.cuts = batch_bounds(len(data), int(batch_size))[:steps]
        self.steps: int | None = len(self.cuts)

    def whole(self) -> ArrayFeed:
        """Return a feed of the same data in one piece and in its own order, for evaluation."""
        return ArrayFeed(self.data, len(self.data))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from batch number `start` on."""
        data = self.data
        if not self.shuffle:
            for first, last in self.cuts[start:]:
                yield Batch(
                    [array[first:last] for array in data.inputs],
                    [array[first:last] for array in data.targets],
                    [None if array is None else array[first:last] for array in data.weights],
                )
            return
        order = epoch_order(len(data), self.seed, epoch, True)
        mapped = any(isinstance(array, np.memmap) for array in (*data.inputs, *data.targets))
        for first, last in self.cuts[start:]:
            rows = order[first:last]
            if mapped:  # read the rows in the order they lie on the disk
                rows = np.sort(rows)
            yield Batch(data.inputs, data.targets, data.weights, rows)


class IterableFeed:
    """Batches from an iterable of ``(x, y)`` or ``(x, y, sample_weight)``.

    A list or another object that can be iterated over again starts anew each epoch; a generator goes on where it
    stopped, and needs `steps` an epoch unless it ends.
    """

    def __init__(self, source: Iterable[Any], convert: Callable[..., Batch], steps: int | None) -> None:
        self.source, self.convert = source, convert
        self.steps = len(source) if steps is None and isinstance(source, Sized) else steps
        self._running: Iterator[Any] | None = iter(source) if isinstance(source, Iterator) else None

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch; the first `start` are read and dropped."""
        stream = iter(self.source) if self._running is None else self._running
        number = 0
        while self.steps is None or number < self.steps:
            try:
                item = next(stream)
            except StopIteration:
                if number == 0:
                    raise DataError(
                        f"epoch {epoch + 1}: the generator is exhausted. Give steps_per_epoch, or an object that can "
                        "be iterated over again."
                    ) from None
                return
            number += 1
            if number > start:
                yield self._batch(item)

    def _batch(self, item: Any) -> Batch:
        if not isinstance(item, tuple) or len(item) not in (2, 3):
            raise ArgumentTypeError(
                f"a generator must yield (x, y) or (x, y, sample_weight); received {_described(item)}."
            )
        return self.convert(*item)


def _listed(value: Any, names: Sequence[str], what: str) -> list[Any]:
    if isinstance(value, Mapping):
        if set(value) != set(names):
            raise ArgumentError(f"{what}: expected the names {sorted(names)}, received {sorted(map(str, value))}.")
        return [value[name] for name in names]
    if len(names) == 1:
        if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], np.ndarray):
            return [value[0]]
        return [value]
    if not isinstance(value, list | tuple) or len(value) != len(names):
        raise ArgumentError(
            f"{what}: the model has {len(names)} of them ({', '.join(names)}); pass a list or a dictionary of as many "
            f"arrays, received {_described(value)}."
        )
    return list(value)


def _as_array(value: Any, what: str) -> Array:
    if isinstance(value, np.ndarray):
        array = value
    else:
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ShapeError(f"{what}: the rows have different lengths, so they form no array ({error}).") from None
    if array.ndim == 0 or array.dtype == object:
        raise ArgumentTypeError(f"{what}: expected an array with one entry a sample, received {_described(value)}.")
    return array


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ + ("" if shape is None else f" of shape {shape}")


def _shape_message(name: str, expected: tuple[int, ...], array: Array) -> str:
    rows = len(array)
    message = f"x ({name}): expected (N, {', '.join(map(str, expected))}), received {array.shape}."
    if array.shape == expected:
        return message + " A single sample needs a batch axis: x[np.newaxis]."
    if rows and array.size == rows * int(np.prod(expected)):
        return message + f" Reshape it: x.reshape(-1, {', '.join(map(str, expected))})."
    return message + " Change the model's input_shape, or the data."


def _refuse_nan(array: Array, what: str) -> None:
    for start in range(0, len(array), CHECKED_ROWS):
        part = array[start : start + CHECKED_ROWS]
        if not np.isfinite(part).all():
            row = start + int(np.argwhere(~np.isfinite(part))[0][0])
            raise DataError(
                f"{what}: sample {row} holds NaN or infinity. Clean the data first (np.nan_to_num, or drop)."
            )
