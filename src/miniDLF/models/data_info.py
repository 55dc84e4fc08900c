"""What a model file remembers of its data: the inputs' range, how raw values become inputs, the names of classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from miniDLF.arrays import plain_array
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError
from miniDLF.kernels.workspace import Array

__all__ = ["DataInfo", "seen_in"]

#: Rows of the training data that are looked at for their range, evenly over all of them.
LOOKED_AT = 4096


@dataclass(frozen=True)
class DataInfo:
    """What is to be known of a model's data by whoever predicts with it: ``input = raw * scale + offset``.

    ``model.data_info = DataInfo(scale=1 / 255, classes=("cat", "dog"))`` tells it; `fit` adds what it sees; ``save``
    writes it, `load` reads it, and ``minidlf predict`` follows it.

    Parameters
    ----------
    input_range
        The least and the greatest input in training.
    scale, offset
        What makes inputs of raw values, which are bytes in pictures and whatever a table holds: a number, or one a
        channel of images (C, H, W), else one an entry of the last axis. ``scale=1`` says that inputs are raw values.
        For standardised tables they are ``1 / std`` and ``-mean / std``.
    classes
        The names of the classes, in the order of the outputs; two where the one output is the probability of the
        second.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a value is none of these, not finite, or two classes bear one name.
    """

    input_range: tuple[float, float] | None = None
    scale: float | tuple[float, ...] | None = None
    offset: float | tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("input_range", "scale", "offset"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        span = self.input_range
        if span is not None and not (isinstance(span, tuple) and len(span) == 2 and span[0] <= span[1]):
            raise ArgumentError(f"DataInfo: input_range is (least, greatest), received {span!r}.")
        if self.scale is not None and not np.all(self.scale):
            raise ArgumentError(f"DataInfo: scale: a factor of 0 makes all inputs alike, received {self.scale!r}.")
        object.__setattr__(self, "classes", _names(self.classes))

    def prepare(self, raw: Any) -> Array:
        """Return the inputs (N, ...) that raw values (N, ...) stand for, as `scale` and `offset` say."""
        array = plain_array(raw, "DataInfo.prepare", DataError)
        if self.scale is None and self.offset is None:
            return array
        scale, offset = (
            _spread(name, value, array.shape[1:])
            for name, value in (("scale", 1.0 if self.scale is None else self.scale), ("offset", self.offset or 0.0))
        )
        return array * scale + offset

    def check_classes(self, output_shape: tuple[int, ...]) -> None:
        """Refuse names of more or fewer classes than a model's output (without batch axis) has."""
        count = output_shape[-1] if output_shape else 1
        if self.classes is not None and len(self.classes) != max(count, 2):
            raise ArgumentError(
                f"data_info.classes: the model's output {output_shape} tells {max(count, 2)} classes apart, received "
                f"{len(self.classes)} names. Give a name for each, in the order of the outputs."
            )

    def over(self, other: DataInfo) -> DataInfo:
        """Return what this one says, and `other` where this one says nothing; scale and offset belong together."""
        chosen = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.scale is None and self.offset is None:
            chosen.update(scale=other.scale, offset=other.offset)
        for name in ("input_range", "classes"):
            chosen[name] = getattr(other, name) if chosen[name] is None else chosen[name]
        return DataInfo(**chosen)

    def config(self) -> dict[str, Any]:
        """Return the values as JSON can hold them, without those that are not known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def seen_in(data: Any, inputs: Sequence[Array], output_shapes: Sequence[tuple[int, ...]]) -> DataInfo:
    """Return what training data tell of themselves to a model with these outputs.

    Parameters
    ----------
    data
        What the user passed: a data set may know the scale of its samples and the names of its classes.
    inputs
        The arrays that the model is trained on.
    """
    scale = getattr(data, "scale", None)
    names = getattr(data, "class_names", None)
    classes = names if len(output_shapes) == 1 and names and output_shapes[0][-1:] == (len(names),) else None
    if len(inputs) != 1 or not inputs[0].size:
        return DataInfo(classes=classes)
    array = inputs[0]
    rows = array[:: max(1, len(array) // LOOKED_AT)]
    if scale is None and array.dtype.kind in "iub":
        scale = 1.0
    return DataInfo((float(rows.min()), float(rows.max())), scale, classes=classes)


def _numbers(name: str, value: Any) -> Any:
    """Return a number or several as Python's, or say what is wrong with them."""
    if value is None:
        return None
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.zeros((0, 0))
    if array.ndim > 1 or not array.size or isinstance(value, str | bytes | bool):
        raise ArgumentTypeError(f"DataInfo: {name} is a number or a row of numbers, received {str(value)[:80]!r}.")
    if not np.isfinite(array).all():
        raise ArgumentError(f"DataInfo: {name}: expected finite numbers, received {str(value)[:80]}.")
    return float(array) if array.ndim == 0 else tuple(array.tolist())


def _names(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str | Mapping) or not hasattr(value, "__iter__"):
        raise ArgumentTypeError(f"DataInfo: classes is a list of names, received {str(value)[:80]!r}.")
    names = tuple(value)
    if not all(isinstance(name, str) and name for name in names):
        raise ArgumentTypeError(f"DataInfo: classes: every name is a text, received {str(names)[:80]}.")
    if len(set(names)) < max(len(names), 2):
        raise ArgumentError(f"DataInfo: classes: expected two different names or more, received {str(names)[:80]}.")
    return names


def _spread(name: str, value: Any, shape: tuple[int, ...]) -> Any:
    """Return a number, or several in the shape in which they meet a sample."""
    if not isinstance(value, tuple):
        return value
    if len(shape) == 3 and len(value) == shape[0]:
        return np.reshape(value, (-1, 1, 1))
    if not shape or len(value) not in (shape[-1], math.prod(shape)):
        raise ArgumentError(f"data_info.{name}: {len(value)} numbers do not fit samples of shape {shape}.")
    return np.asarray(value) if len(value) == shape[-1] else np.reshape(value, shape)
