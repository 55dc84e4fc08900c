"""What one needs around a model, under Keras' names: labels, splits, sequences, seeds, a drawing."""

from __future__ import annotations

import random
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from miniDLF.arrays import plain_array
from miniDLF.datasets import one_hot
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError, answering
from miniDLF.models.drawing import plot_model
from miniDLF.names import names_of_keras

__all__ = ["pad_sequences", "plot_model", "set_random_seed", "split_dataset", "timeseries_windows", "to_categorical"]

Array = NDArray[Any]
Side = Literal["pre", "post"]


@answering
def to_categorical(x: Any, num_classes: int | None = None) -> Array:
    """Return labels as one-hot rows in float32; losses and metrics take the labels themselves as well.

    Parameters
    ----------
    x : (...) or (..., 1)
        Whole numbers from 0.
    num_classes
        Length of a row; one more than the largest label if ``None``.

    Returns
    -------
    (..., num_classes)

    Raises
    ------
    DataError
        If a label is negative, not whole, or too large for `num_classes`.
    """
    labels = plain_array(x, "to_categorical")
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and np.array_equal(labels, np.floor(labels)):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iub":
        text = labels.dtype.kind in "USO"
        advice = " Number the classes: classes, x = np.unique(x, return_inverse=True)." if text else ""
        raise DataError(f"to_categorical: expected integer labels, received an array of {labels.dtype}.{advice}")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        if labels.size == 0:
            raise ArgumentError("to_categorical: there are no labels to count the classes of; give num_classes.")
        num_classes = max(int(labels.max()) + 1, 1)  # where all are negative, that is what is said of them
    _whole("to_categorical", 1, num_classes=num_classes)
    try:
        return one_hot(labels, int(num_classes))
    except DataError as error:
        raise DataError(str(error).replace("one_hot", "to_categorical", 1)) from None


@answering
def set_random_seed(seed: int) -> None:
    """Seed what chance decides from here on: the models that are made without ``seed=``, Python's and NumPy's numbers.

    A model draws its seed from Python's random numbers when it is made, and everything else follows from it: initial
    weights, the order of samples, dropout. ``Sequential(seed=...)`` fixes a single model whatever comes before.

    Parameters
    ----------
    seed
        A whole number from 0 to 2^32 - 1.
    """
    if seed is None:
        raise ArgumentError("set_random_seed: seed is a whole number of at least 0, received None.")
    _whole("set_random_seed", 0, seed=seed)
    if seed >= 1 << 32:
        raise ArgumentError(f"set_random_seed: seed is a whole number below 2^32, received {seed}.")
    random.seed(int(seed))
    np.random.seed(int(seed))  # noqa: NPY002 - whoever calls this expects the user's own draws to be seeded


@answering
def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> tuple[Any, Any]:
    """Cut arrays into a left and a right part, the same samples in each of them.

    Parameters
    ----------
    dataset
        An array (N, ...), or a tuple, list or dictionary of arrays with the same N.
    left_size, right_size
        A number of samples, or a share between 0 and 1 of all. With one of them the other part is the rest; with both,
        what is in neither is left out.
    shuffle
        Whether samples go to the parts by chance.
    seed
        Of this chance; drawn anew if ``None``.

    Returns
    -------
    left, right
        Each as `dataset` is. Without `shuffle` they are views.

    Raises
    ------
    ArgumentError
        If no size is given, or the sizes do not fit the number of samples.
    ShapeError
        If the arrays have different lengths.
    """
    arrays = _columns(dataset)
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise ShapeError(f"split_dataset: the arrays need one length, received {lengths}.")
    count = next(iter(lengths.values()))
    if left_size is None and right_size is None:
        raise ArgumentError("split_dataset: give left_size or right_size: a number of samples, or a share such as 0.8.")
    left, right = _samples("left_size", left_size, count), _samples("right_size", right_size, count)
    left, right = count - right if left is None else left, count - left if right is None else right  # type: ignore[operator]
    if min(left, right) < 1 or left + right > count:
        raise ArgumentError(
            f"split_dataset: {count} samples cannot be split into {left} and {right}. Both parts need at least one, "
            "and together no more than there are."
        )
    order: Any = np.random.default_rng(seed).permutation(count) if shuffle else None
    parts = []
    for cut in (slice(0, left), slice(left, left + right)):
        taken = {name: array[cut if order is None else order[cut]] for name, array in arrays.items()}
        parts.append(_like(dataset, taken))
    return parts[0], parts[1]


@answering
def pad_sequences(
    sequences: Any,
    maxlen: int | None = None,
    dtype: DTypeLike = "int32",
    padding: Side = "pre",
    truncating: Side = "pre",
    value: float = 0.0,
) -> Array:
    """Return sequences of different lengths as one array.

    Parameters
    ----------
    sequences
        N sequences: of numbers, or of vectors of one shape.
    maxlen
        The length of all; that of the longest if ``None``.
    dtype
        The type of the array. Give 'float32' for numbers that are not whole.
    padding, truncating
        Whether short ones are filled, and long ones are cut, at their beginning ('pre') or end ('post').
    value
        What they are filled with.

    Returns
    -------
    (N, maxlen, ...)

    Raises
    ------
    ShapeError
        If the vectors in the sequences have different shapes.
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ArgumentError(f"pad_sequences: {name} is 'pre' or 'post', received {side!r}.")
    if not hasattr(sequences, "__len__") or any(not hasattr(sequence, "__len__") for sequence in sequences):
        raise ArgumentTypeError("pad_sequences: sequences is a list of sequences, such as [[1, 2], [3]].")
    arrays = [plain_array(sequence, f"pad_sequences: sequence {n}", ShapeError) for n, sequence in enumerate(sequences)]
    longest = max(map(len, arrays), default=0)
    _whole("pad_sequences", 0, maxlen=maxlen)
    length = longest if maxlen is None else int(maxlen)
    shapes = {array.shape[1:] for array in arrays if len(array)} or {()}
    if len(shapes) > 1:
        raise ShapeError(f"pad_sequences: the entries of all sequences need one shape, received {sorted(shapes)}.")
    kind = np.dtype(dtype)
    if kind.kind in "iu" and not all(np.array_equal(array, np.floor(array)) for array in [np.asarray(value), *arrays]):
        raise DataError(f"pad_sequences: numbers that are not whole would be cut to {kind}; give dtype='float32'.")
    result = np.full((len(arrays), length, *shapes.pop()), value, kind)
    for row, array in zip(result, arrays, strict=True):
        kept = array[len(array) - min(len(array), length) :] if truncating == "pre" else array[:length]
        if len(kept):
            row[length - len(kept) :] = kept if padding == "pre" else row[length - len(kept) :]
            if padding == "post":
                row[: len(kept)] = kept
    return result


@answering
def timeseries_windows(
    data: Any,
    targets: Any = None,
    sequence_length: int = 1,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    start_index: int | None = None,
    end_index: int | None = None,
) -> Any:
    """Return the windows of a series: what Keras' ``timeseries_dataset_from_array`` makes batches of.

    Window i holds ``data[i], data[i + sampling_rate], ...``, and its target is ``targets[i]``: to forecast one step
    behind a window of length L, give ``timeseries_windows(series[:-1], series[L:], L)``.

    Parameters
    ----------
    data : (T, ...)
        The values in time.
    targets : (T', ...), optional
        The target of the window that begins at each time; later windows have none and are left out.
    sequence_length
        Values in a window.
    sequence_stride
        Times from the beginning of a window to that of the next.
    sampling_rate
        Times from a value of a window to the next.
    start_index, end_index
        Only the times from `start_index` up to before `end_index` are used.

    Returns
    -------
    x or (x, y)
        (N, sequence_length, ...) windows, with targets (N, ...) where they were given.

    Raises
    ------
    ArgumentError
        If the times are too few for one window.
    """
    _whole("timeseries_windows", 1, sequence_length=sequence_length)
    _whole("timeseries_windows", 1, sequence_stride=sequence_stride, sampling_rate=sampling_rate)
    series = plain_array(data, "timeseries_windows: data")
    aims = None if targets is None else plain_array(targets, "timeseries_windows: targets")
    _whole("timeseries_windows", 0, start_index=start_index, end_index=end_index)
    series = series[start_index:end_index]
    span = (sequence_length - 1) * sampling_rate
    count = len(series) - span
    if aims is not None:
        aims = aims[start_index:end_index]
        count = min(count, len(aims))
    if count < 1:
        raise ArgumentError(
            f"timeseries_windows: {len(series)} times"
            + ("" if aims is None else f" with {len(aims)} targets")
            + f" hold no window of {sequence_length} values, {sampling_rate} apart, which needs {span + 1}."
        )
    starts = np.arange(0, count, sequence_stride)
    windows = series[starts[:, np.newaxis] + np.arange(sequence_length) * sampling_rate]
    return windows if aims is None else (windows, aims[starts])


def _whole(where: str, least: int, **values: Any) -> None:
    for name, value in values.items():
        right = isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
        if value is not None and not right:
            raise ArgumentError(f"{where}: {name} is a whole number of at least {least}, received {value!r}.")


def _columns(dataset: Any) -> dict[Any, Array]:
    """Return the arrays that are to be split, by key or place."""
    if isinstance(dataset, Mapping):
        items = dict(dataset)
    elif isinstance(dataset, list | tuple):
        items = dict(enumerate(dataset))
    else:
        items = {0: dataset}
    if not items or any(not hasattr(item, "__len__") or isinstance(item, str) for item in items.values()):
        raise ArgumentTypeError(
            "split_dataset takes an array, or a tuple, list or dictionary of arrays, such as (x, y); received "
            f"{type(dataset).__name__}. A miniDLF.datasets.Dataset is split already: Dataset(x, y, test_fraction=0.2)."
        )
    return {name: plain_array(item, f"split_dataset: array {name}") for name, item in items.items()}


def _like(dataset: Any, parts: Mapping[Any, Array]) -> Any:
    if isinstance(dataset, Mapping):
        return dict(parts)
    if isinstance(dataset, list | tuple):
        return type(dataset)(parts.values()) if type(dataset) in (list, tuple) else tuple(parts.values())
    return parts[0]


def _samples(name: str, size: Any, count: int) -> int | None:
    if size is None:
        return None
    if isinstance(size, Integral) and not isinstance(size, bool):
        return int(size)
    if isinstance(size, Real) and 0 < float(size) < 1:
        return round(float(size) * count)
    raise ArgumentError(f"split_dataset: {name} is a number of samples, or a share between 0 and 1; received {size!r}.")


__getattr__ = names_of_keras(__name__)
