"""What every data set refuses: no samples, rows that form no array, NaN, labels that are out of range."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from miniDLF.arrays import in_pieces, plain_array, refuse_not_finite
from miniDLF.errors import ArgumentTypeError, DataError
from miniDLF.whole import whole_number

__all__ = [
    "as_numbers",
    "check_labels",
    "check_pair",
    "classes_in",
    "number_type",
    "one_hot",
    "whole_number",
]

Array = NDArray[Any]


def number_type(value: Any, what: str) -> np.dtype[Any]:
    """Return `value` as a type of real numbers, or say what is wrong with it."""
    try:
        dtype = np.dtype(value)
    except (TypeError, ValueError, SyntaxError):
        dtype = None
    if dtype is None or dtype.kind not in "fiub":
        raise ArgumentTypeError(f"{what}: expected a type of numbers such as 'float32', received {value!r}.")
    return dtype


def as_numbers(value: Any, what: str) -> Array:
    """Return `value` as an array of finite numbers with one entry a sample; an array is not copied.

    Raises
    ------
    DataError
        If it is empty, masked, forms no array, or holds anything but finite numbers.
    """
    array = plain_array(value, what, DataError)
    if array.ndim == 0:
        raise DataError(f"{what}: expected an array with one entry a sample, received {_shown(value)}.")
    if not len(array):
        raise DataError(f"{what} is empty: it holds no sample.")
    if array.dtype.kind in "USOM":
        raise DataError(f"{what}: expected numbers, received {_kind(array)}.{_advice(array, what)}")
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what}: expected real numbers, received an array of {array.dtype}.")
    refuse_not_finite(array, array.dtype, what)
    return array


def check_pair(x: Array, y: Array, where: str = "") -> None:
    """Refuse x and y with different numbers of samples."""
    if len(x) != len(y):
        swapped = " Does each row of x belong to one of y?" if abs(len(x) - len(y)) > 1 else ""
        raise DataError(
            f"{where}x has {len(x)} samples and y has {len(y)}; they must be as many. "
            f"Received x {x.shape} and y {y.shape}.{swapped}"
        )


def check_labels(y: Array, n_classes: int, what: str) -> Array:
    """Return labels as integers 0 to ``n_classes - 1``; one-hot rows of `n_classes` numbers pass as they are.

    Raises
    ------
    DataError
        If a label is out of range or not whole.
    """
    if y.ndim > 1 and y.dtype.kind == "f":
        if y.shape[-1] != n_classes:
            raise DataError(
                f"{what}: expected integer labels 0 to {n_classes - 1}, or one-hot rows with n_classes={n_classes} "
                f"columns, received an array of shape {y.shape}."
            )
        return y
    if y.dtype.kind == "f":
        if not all(np.array_equal(piece, np.trunc(piece)) for _, piece in in_pieces(y)):
            raise DataError(
                f"{what}: expected labels 0 to {n_classes - 1}, or rows of {n_classes} numbers, received numbers that "
                f"are not whole in an array of shape {y.shape}. Leave n_classes out for regression."
            )
        y = y.astype(np.int64)
    low, high = (int(limit) for limit in _range(y))
    if low < 0 or high >= n_classes:
        hint = " Subtract 1 from them." if low == 1 and high == n_classes else ""
        raise DataError(
            f"{what}: expected labels 0 to {n_classes - 1} (n_classes={n_classes}), received {low} to {high}.{hint}"
        )
    return y


def classes_in(parts: list[Array]) -> int | None:
    """Return how many classes targets stand for: labels (N,) or one-hot rows (N, K); ``None`` if they are neither."""
    if all(y.ndim == 1 and y.dtype.kind in "iub" for y in parts):
        limits = [_range(y) for y in parts]
        if min(low for low, _ in limits) < 0:
            return None
        return int(max(high for _, high in limits)) + 1
    if all(y.ndim == 2 and y.shape[1] > 1 for y in parts) and all(_is_one_hot(y) for y in parts):
        return int(parts[0].shape[1])
    return None


def one_hot(labels: Any, n_classes: int, dtype: DTypeLike = np.float32) -> Array:
    """Return one-hot rows: (...) integers to (..., n_classes), 1 at the label and 0 elsewhere.

    Raises
    ------
    DataError
        If a label is not one of 0 to ``n_classes - 1``.
    """
    array = plain_array(labels, "one_hot")
    if array.dtype.kind not in "iub":
        raise DataError(f"one_hot: expected integer labels, received an array of {array.dtype}.")
    if array.size:
        check_labels(np.atleast_1d(array), n_classes, "one_hot")
    result = np.zeros((*array.shape, n_classes), dtype)
    np.put_along_axis(result, array.astype(np.intp)[..., np.newaxis], 1, axis=-1)
    return result


def _range(y: Array) -> tuple[Any, Any]:
    pieces = [(piece.min(), piece.max()) for _, piece in in_pieces(y)]
    return min(low for low, _ in pieces), max(high for _, high in pieces)


def _is_one_hot(y: Array) -> bool:
    return all(
        bool(((piece == 0) | (piece == 1)).all()) and bool((piece.sum(axis=1) == 1).all()) for _, piece in in_pieces(y)
    )


def _kind(array: Array) -> str:
    return {"U": "text", "S": "bytes", "M": "dates"}.get(array.dtype.kind, "Python objects")


def _advice(array: Array, what: str) -> str:
    if array.dtype.kind in "US" and what.rpartition(" ")[2].startswith("y"):
        return " Number the classes: names, y = np.unique(y, return_inverse=True)."
    if array.dtype.kind == "O":
        return " Convert it with np.asarray(..., dtype='float32'), which names the entry that is not a number."
    return " Turn it into numbers first."


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
