"""A data set: samples and targets, split into what is trained on and what is tested on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from miniDLF.arrays import refuse_beyond
from miniDLF.datasets.batches import seeded
from miniDLF.datasets.checking import (
    as_numbers,
    check_labels,
    check_pair,
    classes_in,
    number_type,
    one_hot,
    whole_number,
)
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError

__all__ = ["Dataset", "Split"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """One part of a data set.

    Attributes
    ----------
    x : (N, ...)
        The samples.
    y : (N, ...)
        Their targets.
    """

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"Split(x={self.x.shape} {self.x.dtype}, y={self.y.shape} {self.y.dtype})"


class Dataset:
    """Samples `x` and targets `y` of your own, split by chance into training and test data.

    ``Dataset(x, y)`` tests on a tenth; ``Dataset(x, y, test=(x_test, y_test))`` on what you give, without a copy.

    Parameters
    ----------
    x : (N, ...)
        Finite numbers; an array in memory, a memory-mapped one, or anything `np.asarray` takes.
    y : (N, ...)
        Integer labels, one-hot rows, numbers to predict, or `x` again for an autoencoder.
    test, validation
        ``(x, y)`` or a `Split` that is not trained on.
    test_fraction
        The share that becomes the test split where `test` is not given; 0 keeps everything for training.
    n_classes
        Checks that `y` holds labels 0 to ``n_classes - 1`` (or one-hot rows); without it, it is what labels or one-hot
        rows in `y` show, and ``None`` for other targets.
    seed
        The split is a function of it and of N.
    dtype
        What `x` is converted to; by default it keeps its type (the model converts each batch).

    Attributes
    ----------
    train : Split
    test, validation : Split or None
    input_shape : np.ndarray
        The shape of one sample, as integers.
    n_classes : int or None

    Raises
    ------
    DataError
        If the data are empty, hold NaN or infinity, or do not fit each other.
    """

    #: By what raw values were multiplied to make `x`, and the names of the classes, where they are known.
    scale: float | None = None
    class_names: tuple[str, ...] | None = None

    def __init__(
        self,
        x: Any,
        y: Any,
        *,
        test: Any = None,
        validation: Any = None,
        test_fraction: float = 0.1,
        n_classes: int | None = None,
        seed: int = 0,
        dtype: DTypeLike | None = None,
    ) -> None:
        if dtype is not None:
            dtype = number_type(dtype, "dtype")
        self.train = _split(x, y, "", dtype)
        self.test = None if test is None else _split(*_pair(test, "test"), "test: ", dtype)
        self.validation = (
            None if validation is None else _split(*_pair(validation, "validation"), "validation: ", dtype)
        )
        self.seed = seed
        if self.test is None:
            self.train, self.test = divide(self.train, test_fraction, seed)
        self.input_shape = np.array(self.train.x.shape[1:], dtype=np.int64)
        self._check_shapes()
        self.n_classes = self._check_classes(n_classes)

    def _set(self, train: Split, test: Split | None, validation: Split | None, n_classes: int | None) -> None:
        """Take over parts that are known to be good."""
        self.train, self.test, self.validation, self.n_classes = train, test, validation, n_classes
        self.input_shape = np.array(train.x.shape[1:], dtype=np.int64)

    @property
    def parts(self) -> dict[str, Split]:
        """The splits there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    def one_hot(self, labels: Any) -> Array:
        """Return labels (...) as one-hot rows (..., n_classes) in float32."""
        if self.n_classes is None:
            raise ArgumentError(f"{type(self).__name__}.one_hot: the targets are not labels; pass n_classes=... to it.")
        return one_hot(labels, self.n_classes)

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}={len(split)}" for name, split in self.parts.items())
        return f"{type(self).__name__}({sizes}, input_shape={self.input_shape}, n_classes={self.n_classes})"

    def _check_shapes(self) -> None:
        for name, split in self.parts.items():
            for what, mine, theirs in (("x", self.train.x, split.x), ("y", self.train.y, split.y)):
                if mine.shape[1:] != theirs.shape[1:]:
                    raise DataError(
                        f"{name}: {what} has samples of shape {theirs.shape[1:]}, those of the training data have "
                        f"{mine.shape[1:]}; they must be the same."
                    )

    def _check_classes(self, n_classes: int | None) -> int | None:
        if n_classes is None:
            return classes_in([split.y for split in self.parts.values()])
        count = whole_number(n_classes, "n_classes", 1)
        for name, split in self.parts.items():
            checked = check_labels(split.y, count, "y" if name == "train" else f"{name}: y")
            if checked is not split.y:
                setattr(self, name, Split(split.x, checked))
        return count


def divide(split: Split, fraction: float, seed: int) -> tuple[Split, Split | None]:
    """Split at random: return what is left for training, and a share of about `fraction` for the test.

    Which samples go where is a function of the seed and the number of samples; each part keeps their order.
    """
    chosen = choose_test(len(split), fraction, seed)
    if not chosen.any():
        return split, None
    for array in (split.x, split.y):
        if _on_disk(array):
            raise DataError(
                "a random split would copy the memory-mapped data into memory. Pass test=(x[n:], y[n:]) with x[:n], "
                "y[:n] (slices stay on the disk), or test_fraction=0 to train on all of it."
            )
    x = split.x[~chosen], split.x[chosen]
    y = x if split.y is split.x else (split.y[~chosen], split.y[chosen])
    return Split(x[0], y[0]), Split(x[1], y[1])


def choose_test(n: int, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Return which of `n` samples are for the test; unless `fraction` is 0, at least one is left on either side."""
    if isinstance(fraction, bool) or not isinstance(fraction, int | float | np.number) or not 0 <= fraction < 1:
        raise ArgumentError(f"test_fraction: expected a share of at least 0 and less than 1, received {fraction!r}.")
    chosen = np.zeros(n, bool)
    if fraction == 0:
        return chosen
    if n < 2:
        raise DataError("one sample cannot be split into training and test data; pass test_fraction=0.")
    count = min(max(1, round(n * float(fraction))), n - 1)
    chosen[seeded("split", seed).permutation(n)[:count]] = True
    return chosen


def _split(x: Any, y: Any, where: str, dtype: DTypeLike | None) -> Split:
    if y is None:
        raise DataError(f"{where}y is missing; an autoencoder takes Dataset(x, x).")
    samples = as_numbers(x, f"{where}x")
    if dtype is not None and samples.dtype != dtype:
        if _on_disk(samples):
            raise DataError(
                f"{where}dtype={np.dtype(dtype)} would copy the memory-mapped {samples.dtype} data into memory. Leave "
                "dtype out: the model converts each batch."
            )
        refuse_beyond(samples, dtype, f"{where}x")
        samples = samples.astype(dtype)
    targets = samples if y is x else as_numbers(y, f"{where}y")
    check_pair(samples, targets, where)
    return Split(samples, targets)


def _pair(value: Any, what: str) -> tuple[Any, Any]:
    if isinstance(value, Split):
        return value.x, value.y
    if not isinstance(value, tuple | list) or len(value) != 2:
        received = f"{len(value)} items" if isinstance(value, tuple | list) else type(value).__name__
        hint = " For a share of the data pass test_fraction." if isinstance(value, float) else ""
        raise ArgumentTypeError(f"{what}: expected (x, y) or a Split, received {received}.{hint}")
    return value[0], value[1]


def _on_disk(array: Array) -> bool:
    """Say whether an array, or what it is a view of, is memory-mapped."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap):
            return True
        owner = owner.base
    return False
