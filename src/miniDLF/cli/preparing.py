"""From what a file holds to what a model takes: the order of the axes, the range of the values, names of classes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miniDLF.cli.reading import samples_of
from miniDLF.cli.results import say
from miniDLF.datasets.npy import RowsOnDisk
from miniDLF.errors import ArgumentError, FileFormatError, ShapeError
from miniDLF.files import read_text
from miniDLF.models import DataInfo

__all__ = ["Inputs", "class_names", "inputs_of", "number_of"]

Array = NDArray[Any]

#: Bytes of samples that are prepared at a time where they are larger than memory.
BLOCK = 1 << 24


class Inputs:
    """The inputs that are made of the samples of a file: all at once, or in blocks that have a place in memory."""

    def __init__(self, samples: Any, info: DataInfo) -> None:
        self.samples, self.info = samples, info

    def __len__(self) -> int:
        return len(self.samples)

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Yield which samples, and the inputs made of them."""
        rows = max(1, BLOCK * len(self) // max(1, self.samples.nbytes))
        rows = rows if isinstance(self.samples, RowsOnDisk) else max(1, len(self))
        for start in range(0, max(1, len(self)), rows):
            part = slice(start, start + rows)
            yield part, self.info.prepare(self.samples[part])

    def measured(self, model: Any, targets: Any) -> Any:
        """Return the loss and the metrics of a model on these inputs."""
        if not isinstance(self.samples, RowsOnDisk):
            return model.evaluate(next(self.blocks())[1], targets, return_dict=True)
        if len(self) != len(targets):
            raise ArgumentError(f"there are {len(self)} samples and {len(targets)} targets; they must be as many.")
        return model.evaluate(((x, targets[rows]) for rows, x in self.blocks()), return_dict=True)

    def limits(self) -> tuple[float, float]:
        """Return the least and the greatest input; NaN is passed over."""
        limits = [(np.fmin.reduce(x, axis=None), np.fmax.reduce(x, axis=None)) for _, x in self.blocks()]
        return float(min(low for low, _ in limits)), float(max(high for _, high in limits))


def inputs_of(path: Path, model: Any, options: Any) -> Inputs:
    """Return the samples of a file as the model takes them.

    Whole numbers and pictures are raw values and become inputs as the model's `DataInfo`, or --scale and --offset, say.
    Other numbers are inputs already, unless they lie outside the range that the model was trained on and would lie
    inside it as raw values. What is done on a guess is said on standard error.
    """
    shape = model.input_shape
    if not isinstance(shape, tuple):
        raise ArgumentError(
            f"the model takes {len(shape)} inputs, a file holds one. In Python: load(path).predict({{name: array}})."
        )
    samples, picture = samples_of(path, shape, options.resize)
    x = arranged(samples, shape)
    if isinstance(x, RowsOnDisk) and x.shape[1:] != shape:
        raise ShapeError(f"{path}: expected (N, {', '.join(map(str, shape))}), received {x.shape}.")
    raw = Inputs(x, DataInfo())
    if x.shape[1:] != shape or not len(x):
        return raw  # the model says what is wrong
    given = DataInfo(scale=number_of("--scale", options.scale), offset=number_of("--offset", options.offset))
    if given != DataInfo():
        return Inputs(x, given)
    info: DataInfo = model.data_info
    inputs = Inputs(x, _preparation(raw, info, picture))
    if info.input_range is not None:
        _compare(inputs.limits(), info.input_range)
    return inputs


def _compare(limits: tuple[float, float], span: tuple[float, float]) -> None:
    """Say where inputs have another range than those that the model was trained on."""
    width = span[1] - span[0]
    narrow = 0 < limits[1] - limits[0] < width / 128 and width > 16
    if narrow or not _within(limits, span):
        say(
            f"The inputs lie between {limits[0]:g} and {limits[1]:g}; those that the model was trained on lay between "
            f"{span[0]:g} and {span[1]:g}. Are they prepared in the same way?"
        )


def arranged(x: Any, shape: tuple[int, ...]) -> Any:
    """Return samples in a model's input shape where only one order of their values can be meant.

    Rows of as many numbers as a sample has (of a table) are in the order of the model's axes; a single sample gets a
    batch axis; axes of length 1 come and go; grey pictures are vectors, row by row. Others are left to the model's own
    check: with channels at another place a change of the shape would mix them up.
    """
    if x.shape[1:] == shape:
        return x
    if x.shape == shape or (_long(x.shape) == _long(shape) and len(_long(shape)) > 1):
        return x.reshape(1, *shape)
    if math.prod(x.shape[1:]) != math.prod(shape):
        return x
    flat = x.ndim == 2 or (len(shape) == 1 and len(_long(x.shape[1:])) == 2)
    return x.reshape(len(x), *shape) if flat or _long(x.shape[1:]) == _long(shape) else x


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of more than one entry."""
    return tuple(length for length in shape if length != 1)


def _preparation(raw: Inputs, info: DataInfo, picture: bool) -> DataInfo:
    """Return what makes inputs of samples."""
    kind, span = raw.samples.dtype, info.input_range
    told = info.scale is not None or info.offset is not None
    if picture or kind.kind in "iu":
        if told:
            return info
        if not picture and (kind != np.uint8 or (span is not None and raw.limits()[1] <= span[1])):
            return DataInfo()
        return _guessed(span, "the picture's" if picture else "the array's")
    outside = told and span is not None and not _within(raw.limits(), span)
    if outside and span is not None and _within(Inputs(raw.samples, info).limits(), span):
        say("The values are taken as raw ones: as inputs they would lie far outside those of the training.")
        return info
    return DataInfo()


def _guessed(span: tuple[float, float] | None, whose: str) -> DataInfo:
    """Return how bytes become inputs of a range, or say that this cannot be known."""
    if span is None:
        say(
            f"The model file does not say how bytes become inputs; {whose} are divided by 255. Say it with --scale, or "
            "in the file: model.data_info = DataInfo(scale=...)."
        )
        return DataInfo(scale=1 / 255)
    least, greatest = span
    if least >= 0 and greatest <= 1:
        return DataInfo(scale=1 / 256 if greatest == 255 / 256 else 1 / 255)
    if -1 <= least < 0 and greatest <= 1:
        return DataInfo(scale=2 / 255, offset=-1.0)
    if least >= 0 and 16 <= greatest <= 255:
        return DataInfo(scale=1.0)
    raise ArgumentError(
        f"the model was trained on inputs between {least:g} and {greatest:g}, and its file does not say how {whose} "
        "bytes become such. Say it with --scale and --offset, or in the file: model.data_info = DataInfo(scale=..., "
        "offset=...)."
    )


def _within(limits: tuple[float, float], span: tuple[float, float]) -> bool:
    """Say whether values lie in a range, or not farther outside than half as far as it is wide."""
    slack = 0.5 * (span[1] - span[0]) + 1e-6 * abs(span[0])
    return not (limits[0] < span[0] - slack or limits[1] > span[1] + slack)  # NaN is the model's affair


def number_of(option: str, text: str | None) -> float | None:
    """Return a number such as 0.5 or 1/255."""
    if text is None:
        return None
    try:
        return float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ArgumentError(f"{option}: a number such as 0.5 or 1/255, received {text[:80]!r}.") from None


def class_names(text: str | None) -> tuple[str, ...] | None:
    """Return the names that ``--classes`` gives: with commas between them, or a file with a line for each."""
    if text is None:
        return None
    path = Path(text)
    if "," in text or not path.suffix:
        return tuple(name.strip() for name in text.split(","))
    try:
        lines = read_text(path, "utf-8-sig", 1 << 24).splitlines()
    except FileFormatError:
        raise
    except (OSError, UnicodeError) as error:
        raise FileFormatError(f"--classes {path}: the file cannot be read ({error}).") from None
    return tuple(line.strip() for line in lines if line.strip())
