"""What users pass as arrays, made plain: subclasses that compute otherwise, masks, numbers beyond the model's type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from miniDLF.errors import DataError, MiniDLFError

__all__ = ["in_pieces", "plain_array", "refuse_beyond", "refuse_masked", "refuse_not_finite"]

Array = NDArray[Any]

#: Bytes that are looked at in one go, so that an array larger than memory is never held whole.
PIECE = 1 << 24

_SAMPLE = "Clean the data first (np.nan_to_num, or drop the sample)."
_OTHER = "Look for what made it: a run that diverged, or a division by zero."


def plain_array(value: Any, what: str, ragged: type[MiniDLFError] | None = None) -> Array:
    """Return `value` as an array of NumPy's own class; nothing is copied that is an array already.

    A subclass such as ``np.matrix``, whose product is another one, becomes a plain view. A memory-mapped array stays
    one: it computes as any other, and whoever reads it should know that it lies on the disk.

    Parameters
    ----------
    value
        An array, or anything that ``np.asarray`` takes.
    what
        How messages call it: ``"y"``, ``"sample_weight"``, ``"set_weights: dense_1/weight"``.
    ragged
        The class of the error about rows of different lengths, which form no array.

    Raises
    ------
    DataError
        If it is a masked array, or holds one: what lies under a mask is no data, and would be taken for some.
    ValueError
        NumPy's own error about rows of different lengths, where `ragged` is ``None``.
    """
    if type(value) is np.ndarray or isinstance(value, np.memmap):
        return value
    refuse_masked(value, what)
    try:
        array = np.asanyarray(value)
    except ValueError:
        if ragged is None:
            raise
        raise ragged(
            f"{what}: the samples have different shapes (rows of different lengths), so they form no array. Pad or "
            "cut them to one shape."
        ) from None
    refuse_masked(array, what)  # what the __array__ of another library's object gave
    return array if isinstance(array, np.memmap) else np.asarray(array)


def refuse_masked(value: Any, what: str) -> None:
    """Refuse a masked array, or a list or tuple with one inside, also where nothing is masked: the next one may be.

    Raises
    ------
    DataError
        If there is one.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise DataError(
            f"{what}: received a masked array, and what lies under the mask would be taken for data. Leave the masked "
            "samples out, or give them a value and a weight of 0: y.filled(0) with sample_weight=~y.mask."
        )
    for item in value if isinstance(value, list | tuple) else ():
        if isinstance(item, (list, tuple, np.ma.MaskedArray)):
            refuse_masked(item, what)


def refuse_not_finite(array: Array, dtype: DTypeLike, what: str, *, entry: str = "sample") -> None:
    """Refuse NaN, infinity, and numbers that become infinite in `dtype`, the type in which the model computes.

    Parameters
    ----------
    array : (N, ...)
        Real numbers; read in pieces.
    what
        How messages call it.
    entry
        What stands along its first axis, for messages: a sample, or a row of a weight.

    Raises
    ------
    DataError
        Naming the first such entry, and what to do.
    """
    kind = np.dtype(dtype)
    if array.dtype.kind != "f":
        return
    for start, piece in in_pieces(array) if array.nbytes > PIECE else ((0, array),):
        if _all_finite(piece, kind):
            continue
        finite = np.isfinite(piece)
        if finite.all():
            raise _beyond(start, piece, kind, what, entry)
        row = start + int(np.argwhere(~finite)[0][0])
        advice = _SAMPLE if entry == "sample" else _OTHER
        raise DataError(f"{what}: {entry} {row} holds NaN or infinity. {advice}")


def refuse_beyond(array: Array, dtype: DTypeLike, what: str, *, entry: str = "sample") -> None:
    """Refuse finite numbers that `dtype`, the type in which the model computes, cannot hold; NaN and infinity pass.

    Parameters
    ----------
    array, what, entry
        As in `refuse_not_finite`.

    Raises
    ------
    DataError
        Naming the first such entry, the number and the type.
    """
    kind = np.dtype(dtype)
    if array.dtype.kind != "f" or (kind.kind == "f" and array.dtype.itemsize <= kind.itemsize):
        return
    for start, piece in in_pieces(array):
        if not _all_finite(piece, kind) and _lost(piece, kind).any():
            raise _beyond(start, piece, kind, what, entry)


def in_pieces(array: Array) -> Iterator[tuple[int, Array]]:
    """Yield (first row, rows) for consecutive pieces of an array (N, ...), each of about 16 MB; none if it is empty."""
    rows = max(1, PIECE * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]


def _all_finite(piece: Array, kind: np.dtype[Any]) -> bool:
    """Say whether all numbers of a piece are finite in another type: where that is narrower, its ends tell."""
    if kind.kind == "f" and kind.itemsize >= piece.dtype.itemsize:  # 4 us for a small batch where the ends take 18
        return bool(np.isfinite(piece).all())
    if not piece.size:
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        ends = np.array([piece.min(), piece.max()]).astype(kind)  # NaN comes through both
    return bool(np.isfinite(ends).all())


def _lost(piece: Array, kind: np.dtype[Any]) -> Array:
    """Return which numbers of a piece are finite, and infinite in another type."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.isfinite(piece) & ~np.isfinite(piece.astype(kind))


def _beyond(start: int, piece: Array, kind: np.dtype[Any], what: str, entry: str) -> DataError:
    place = tuple(np.argwhere(_lost(piece, kind))[0])
    wider = ", or make the model with dtype='float64'" if kind.itemsize < 8 else ""
    return DataError(
        f"{what}: {entry} {start + int(place[0])} holds {piece[place]:g}, and {kind.name} ends at "
        f"{np.finfo(kind).max:.2g}. Scale the numbers{wider}."
    )
