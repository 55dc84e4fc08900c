"""What users pass as inputs, targets and weights, brought into the form that the executor takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from miniDLF.arrays import plain_array, refuse_beyond, refuse_masked, refuse_not_finite
from miniDLF.core.executor import Batch
from miniDLF.core.graph import Graph
from miniDLF.core.program import Head
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError
from miniDLF.kernels.workspace import Array
from miniDLF.losses.targets import with_last_axis
from miniDLF.training.class_weights import class_weights

__all__ = ["Converter", "described"]


class Converter:
    """Brings what users pass into the form the executor takes, and refuses what does not fit.

    Parameters
    ----------
    graph, heads
        Which inputs and targets there are.
    dtype
        The model's type, in which all numbers have to be finite.
    """

    def __init__(self, graph: Graph, heads: Sequence[Head], dtype: DTypeLike = np.float32) -> None:
        self.graph, self.heads, self.dtype = graph, list(heads), np.dtype(dtype)
        self.input_names = [node.name or f"input_{number}" for number, node in enumerate(graph.inputs, 1)]
        self.output_names = [head.name for head in self.heads]

    def inputs(self, x: Any, *, finite: bool = True) -> list[Array]:
        """Return one array an input, checked for shape, type and, where they must be `finite`, NaN."""
        parts = _listed(x, self.input_names, "x")
        for name, node, (position, array) in zip(self.input_names, self.graph.inputs, enumerate(parts), strict=True):
            array = parts[position] = _as_array(array, f"x ({name})")
            if not len(array):
                raise DataError(f"x ({name}) is empty: it holds no sample.")
            if array.dtype.kind not in "fiub":
                raise ArgumentTypeError(f"x ({name}): expected numbers, received an array of {array.dtype}.")
            if array.shape[1:] != node.shape:
                raise ShapeError(_shape_message(name, node.shape, array))
            refuse = refuse_not_finite if finite else refuse_beyond
            refuse(array, self.dtype, f"x ({name})")
        if len({len(array) for array in parts}) > 1:
            raise ShapeError(f"the inputs have different numbers of samples: {[len(array) for array in parts]}.")
        return parts

    def targets(self, y: Any, rows: int) -> tuple[list[Array], list[Array | None]]:
        """Return one array an output, as its loss wants it, and what was given for it where that is another."""
        if y is None:
            raise ArgumentError("y is missing: the loss needs targets; pass fit(x, y).")
        parts = _listed(y, self.output_names, "y")
        result: list[Array] = []
        kept: list[Array | None] = []
        for head, output, part in zip(self.heads, self.graph.outputs, parts, strict=True):
            given = with_last_axis(_as_array(part, "y"), output.shape)
            refuse_beyond(given, self.dtype, "y" if len(parts) == 1 else f"y ({head.name})")
            target = head.loss.encode(given, output.shape)
            if len(target) != rows:
                raise ShapeError(f"x has {rows} samples and y has {len(target)}; they must be as many.")
            result.append(target)
            kept.append(None if target is given else given)
        return result, kept

    def weights(self, sample_weight: Any, rows: int) -> list[Array | None]:
        """Return weights of samples (N,), or of their steps (N, T), for each output; ``None`` where all count the same.

        They may be negative: a policy gradient weights the loss of an action by its advantage.
        """
        if sample_weight is None:
            parts: list[Any] = [None] * len(self.heads)
        elif isinstance(sample_weight, dict | list | tuple) and len(self.heads) > 1:
            parts = _listed(sample_weight, self.output_names, "sample_weight")
        else:
            parts = [sample_weight] * len(self.heads)
        result: list[Array | None] = []
        for part, output in zip(parts, self.graph.outputs, strict=False):
            weight = None if part is None else _lined_up(_as_weight(part), rows, output.shape)
            if weight is not None:
                refuse_not_finite(weight, self.dtype, "sample_weight")
            result.append(weight)
        return result

    def batch(self, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None) -> Batch:
        """Return a batch of arrays."""
        inputs = self.inputs(x)
        rows = len(inputs[0])
        targets, given = self.targets(y, rows)
        batch = Batch(inputs, targets, self.weights(sample_weight, rows), given=given)
        return self.weighted(batch, class_weight)

    def weighted(self, batch: Batch, class_weight: Mapping[int, float] | None) -> Batch:
        """Return the batch with the weights of its samples times those of their classes."""
        if class_weight is None:
            return batch
        if len(self.heads) != 1:
            raise ArgumentError("class_weight works with one output; use sample_weight for several.")
        loss, given = self.heads[0].loss, batch.weights[0]
        classes = class_weights(class_weight, batch.targets[0], loss, self.graph.outputs[0].shape)
        if given is not None:
            classes = given * classes.reshape(-1, *(1,) * (given.ndim - 1))
        refuse_not_finite(classes, self.dtype, "class_weight" if given is None else "class_weight times sample_weight")
        return Batch(batch.inputs, batch.targets, [classes], given=batch.given)


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
            f"arrays, received {described(value)}."
        )
    return list(value)


def _as_array(value: Any, what: str) -> Array:
    array = plain_array(value, what, ShapeError)
    if array.dtype == object and array.ndim:
        raise ArgumentTypeError(f"{what}: received an array of objects; convert it to numbers: x.astype('float32').")
    if array.ndim == 0:
        raise ArgumentTypeError(f"{what}: expected an array with one entry a sample, received {described(value)}.")
    return array


def _as_weight(part: Any) -> Array:
    refuse_masked(part, "sample_weight")
    try:
        return np.asarray(part, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"sample_weight: expected one number a sample, received {part!r}.") from None


def _lined_up(weight: Array, rows: int, output_shape: tuple[int, ...]) -> Array:
    """Return weights of samples as (N,), or those of the steps of an output (N, T, ...) as (N, T)."""
    received = weight.shape
    while weight.ndim > 1 and weight.shape[-1] == 1:
        weight = weight[..., 0]
    axes = weight.ndim - 1
    if (
        weight.shape[:1] == (rows,)
        and 0 <= axes < max(len(output_shape), 1)
        and weight.shape[1:] == output_shape[:axes]
    ):
        return weight
    steps = f", or one a step, {(rows, output_shape[0])}" if len(output_shape) > 1 else ""
    raise ShapeError(f"sample_weight: expected one number a sample, ({rows},){steps}, received {received}.")


def described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ + ("" if shape is None else f" of shape {shape}")


def _shape_message(name: str, expected: tuple[int, ...], array: Array) -> str:
    rows = len(array)
    message = f"x ({name}): expected (N, {', '.join(map(str, expected))}), received {array.shape}."
    if array.shape == expected:
        return message + " A single sample needs a batch axis: x[np.newaxis]."
    if array.shape[2:] == expected:
        return message + f" The model has one input, and this looks like a list of {rows} arrays for several."
    if expected[0] > 1 and array.shape[1:] == (*expected[1:], expected[0]) and len(expected) == 3:
        return message + " These images are channels-last; transpose them: x.transpose(0, 3, 1, 2)."
    if rows and array.size == rows * int(np.prod(expected)):
        return message + f" Reshape it: x.reshape(-1, {', '.join(map(str, expected))})."
    return message + " Change the model's input_shape, or the data."
