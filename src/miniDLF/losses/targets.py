"""What targets may look like: checks that read an array block by block, and refuse with the fix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from miniDLF.arrays import plain_array
from miniDLF.errors import DataError
from miniDLF.kernels.workspace import Array, Shape

__all__ = ["check_numbers", "check_range", "check_shape", "encode_classes", "encode_labels", "with_last_axis"]

#: Elements that are looked at at a time, so that arrays larger than memory are never held whole.
BLOCK_ELEMENTS = 1 << 20
#: How far the probabilities of a row may be from a sum of 1.
SUM_TOLERANCE = 1e-3


def blocks(array: Array) -> Iterator[tuple[int, Array]]:
    """Yield (first row, rows) of about a million elements."""
    rows = max(1, BLOCK_ELEMENTS * max(len(array), 1) // max(array.size, 1))
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]


def check_numbers(owner: Any, target: Any) -> Array:
    """Return `target` as an array of real numbers with one entry a sample."""
    array = plain_array(target, f"{_name(owner)}: the targets")
    if array.dtype.kind not in "fiub":
        advice = (
            " Number the classes: classes, y = np.unique(y, return_inverse=True)." if array.dtype.kind in "USO" else ""
        )
        raise DataError(f"{_name(owner)}: targets must be real numbers; received an array of {array.dtype}.{advice}")
    if array.ndim == 0:
        raise DataError(f"{_name(owner)}: targets need one entry a sample, (N, ...); received a single number.")
    return array


def with_last_axis(target: Array, output_shape: Shape) -> Array:
    """Return targets (N, ...) for an output (N, ..., 1) with its last axis; others as they are."""
    fits = output_shape[-1:] == (1,) and target.shape[1:] == tuple(output_shape[:-1])
    return target[..., np.newaxis] if fits and target.ndim else target


def check_shape(owner: Any, target: Array, output_shape: Shape) -> None:
    """Refuse targets of another shape than the output: broadcasting would compare every sample with every other."""
    if target.shape[1:] == tuple(output_shape):
        return
    expected = _shown(output_shape)
    message = f"{_name(owner)}: the output has shape {expected}, the targets {target.shape}."
    if tuple(output_shape) == (1,) and target.ndim == 2 and len(target) == 1:
        fix = " These are the targets of several samples in one row: y.T, or y[0]."
    elif target.shape[2:] == tuple(output_shape) and output_shape:
        fix = f" The model has one output here, and these look like a list of {len(target)} arrays for several."
    elif target.ndim == len(output_shape) + 1 or not output_shape:
        same = target.size == len(target) * int(np.prod(output_shape))
        fix = f" Reshape them: y.reshape({_reshape(output_shape)})." if same else " They must have the same shape."
    elif target.shape[1:] == tuple(output_shape[:-1]) and target.dtype.kind in "iub":
        fix = f" For class labels use loss='cce', or one-hot targets: np.eye({output_shape[-1]})[y]."
    elif target.size == len(target) * int(np.prod(output_shape)):
        fix = f" Reshape them: y.reshape({_reshape(output_shape)})."
    else:
        fix = " They must have the same shape."
    raise DataError(message + fix)


def check_range(owner: Any, target: Array, low: float = -np.inf, high: float = np.inf) -> None:
    """Refuse NaN, infinity, and values outside [low, high]."""
    if target.dtype.kind != "f" and low == -np.inf and high == np.inf:
        return
    for start, block in blocks(target):
        least, most = block.min(), block.max()  # NaN comes through both
        if low <= least and most <= high and -np.inf < least and most < np.inf:
            continue
        if not np.isfinite(block).all():
            row = start + int(np.argwhere(~np.isfinite(block))[0][0])
            raise DataError(
                f"{_name(owner)}: the target of sample {row} holds NaN or infinity. Clean the data first "
                "(np.nan_to_num, or drop the sample)."
            )
        row = start + int(np.argwhere((block < low) | (block > high))[0][0])
        span = f"in [{low:g}, {high:g}]" if high < np.inf else f"at least {low:g}"
        raise DataError(
            f"{_name(owner)}: targets must be {span}; received values from {least:g} to {most:g} (sample {row}). "
            "Scale them, or choose another loss."
        )


def encode_labels(owner: Any, labels: Array, classes: int) -> Array:
    """Check integer class labels, 0 to `classes` - 1, of any shape; floats that hold whole numbers are converted."""
    if labels.dtype.kind == "f":
        check_range(owner, labels)
        for start, block in blocks(labels):
            wrong = block != np.floor(block)
            if wrong.any():
                place = tuple(np.argwhere(wrong)[0])
                raise DataError(
                    f"{_name(owner)}: class labels must be whole numbers; received {block[place]:g} (sample "
                    f"{start + int(place[0])}). For numbers that are not classes use 'mse'."
                )
    for start, block in blocks(labels):
        least, most = block.min(), block.max()
        if least < 0 or most >= classes:
            row = start + int(np.argwhere((block < 0) | (block >= classes))[0][0])
            raise DataError(
                f"{_name(owner)}: class labels must lie in 0 to {classes - 1}, because the output has {classes} "
                f"classes; received {least:g} to {most:g} (sample {row}). Count the classes from 0, or give the last "
                "layer more units."
            )
    return labels if labels.dtype.kind == "i" else labels.astype(np.intp)


def encode_classes(owner: Any, target: Array, output_shape: Shape, *, one_hot: bool = True) -> Array:
    """Return class targets for an output (N, *lead, classes) in one of two forms.

    Integer labels (N, *lead), for labels and for one-hot rows; or probabilities (N, *lead, classes), each row with a
    sum of 1. Labels in a last axis of length one, (N, *lead, 1), are labels.
    """
    if not output_shape or output_shape[-1] < 2:
        raise DataError(
            f"{_name(owner)}: the output {_shown(output_shape)} has one class only, which is always certain. Use one "
            "unit with a sigmoid and loss='bce', or a unit for each class."
        )
    lead, classes = tuple(output_shape[:-1]), output_shape[-1]
    if target.shape[1:] == lead:
        return encode_labels(owner, target, classes)
    if target.shape[1:] == (*lead, 1):
        return encode_labels(owner, target[..., 0], classes)
    if target.shape[1:] != (*lead, classes):
        message = (
            f"{_name(owner)}: the output has shape {_shown(output_shape)}; expected integer labels {_shown(lead)}"
            f"{' or one-hot rows ' + _shown(output_shape) if one_hot else ''}, received targets {target.shape}."
        )
        if one_hot and target.shape[1:-1] == lead:
            message += f" They are made for {target.shape[-1]} classes; the output has {classes}."
        else:
            message += " Reshape the targets, or change the last layer."
        raise DataError(message)
    if not one_hot:
        raise DataError(
            f"{_name(owner)}: expected integer labels {_shown(lead)}, received targets {target.shape}. For one-hot "
            "targets use loss='cce', or pass y.argmax(-1)."
        )
    return _encode_rows(owner, target)


def _encode_rows(owner: Any, target: Array) -> Array:
    check_range(owner, target, 0.0, 1.0)
    labels: Array | None = np.empty(target.shape[:-1], dtype=np.intp)
    for start, block in blocks(target):
        sums = block.sum(axis=-1, dtype=np.float64)
        wrong = np.abs(sums - 1.0) > SUM_TOLERANCE
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0])
            raise DataError(
                f"{_name(owner)}: the targets of a class are probabilities with a sum of 1; those of sample "
                f"{start + int(place[0])} have the sum {sums[place]:g}. Where several classes may hold at once use a "
                "sigmoid and loss='bce'."
            )
        if labels is None:
            continue
        if ((block == 0) | (block == 1)).all():
            labels[start : start + len(block)] = block.argmax(axis=-1)
        else:
            labels = None
    return target if labels is None else labels


def _name(owner: Any) -> str:
    return type(owner).__name__


def _shown(shape: Shape) -> str:
    return f"(N, {', '.join(map(str, shape))})" if shape else "(N,)"


def _reshape(shape: Shape) -> str:
    return ", ".join(map(str, (-1, *shape)))
