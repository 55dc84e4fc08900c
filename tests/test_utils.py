"""`miniDLF.utils`: labels, splits, sequences, seeds."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError, MiniDLFError, ShapeError
from miniDLF.layers import Dense, Dropout
from miniDLF.models import Sequential
from miniDLF.utils import pad_sequences, set_random_seed, split_dataset, timeseries_windows, to_categorical


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        ([0, 2, 1], None, [[1, 0, 0], [0, 0, 1], [0, 1, 0]]),
        ([[1], [0]], 2, [[0, 1], [1, 0]]),
        ([[0, 1], [1, 1]], 2, [[[1, 0], [0, 1]], [[0, 1], [0, 1]]]),
        (np.array([1.0, 0.0]), None, [[0, 1], [1, 0]]),
        (np.array([1, 0], np.uint8), 3, [[0, 1, 0], [1, 0, 0]]),
        (1, 3, [0, 1, 0]),
    ],
)
def test_labels_as_one_hot_rows(labels: Any, classes: int | None, expected: Any) -> None:
    result = to_categorical(labels, classes)
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == np.float32


def test_a_seed_fixes_models_and_the_users_own_numbers() -> None:
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        runs = []
        for seed in (7, 7, 8):
            set_random_seed(seed)
            model = Sequential([Dense(4, input_shape=(3,)), Dropout(0.5), Dense(1)])
            model.compile("mse", "adam")
            model.fit(np.ones((20, 3)), np.ones((20, 1)), batch_size=4, epochs=2, verbose=0)
            runs.append([*model.get_weights(), random.random(), np.random.rand()])  # noqa: NPY002
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
    for once, again in zip(runs[0], runs[1], strict=True):
        np.testing.assert_array_equal(once, again)
    assert not np.array_equal(runs[0][0], runs[2][0])


def test_models_without_a_seed_differ() -> None:
    first, second = (Sequential([Dense(4, input_shape=(3,))]) for _ in range(2))
    assert not np.array_equal(first.get_weights()[0], second.get_weights()[0])


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"left_size": 0.8}, (8, 2)),
        ({"left_size": 3}, (3, 7)),
        ({"right_size": 0.25}, (8, 2)),
        ({"right_size": np.int64(4)}, (6, 4)),
        ({"left_size": 2, "right_size": 3}, (2, 3)),
    ],
)
def test_parts_of_a_data_set(sizes: dict[str, Any], expected: tuple[int, int]) -> None:
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    for options in ({}, {"shuffle": True, "seed": 3}):
        (x_left, y_left), (x_right, y_right) = split_dataset((x, y), **sizes, **options)
        assert (len(x_left), len(x_right)) == expected
        for part, labels in ((x_left, y_left), (x_right, y_right)):
            np.testing.assert_array_equal(part[:, 0], 2 * labels)
        assert not set(y_left) & set(y_right)
        assert options or y_left.tolist() == list(range(expected[0]))
    again = split_dataset(y, **sizes, shuffle=True, seed=3)
    np.testing.assert_array_equal(again[0], split_dataset(y, **sizes, shuffle=True, seed=3)[0])


def test_parts_are_as_the_whole_was() -> None:
    left, right = split_dataset({"x": np.arange(4), "y": [5, 6, 7, 8]}, 0.5)
    assert left["y"].tolist() == [5, 6]
    assert right["x"].tolist() == [2, 3]
    assert isinstance(split_dataset([np.arange(4), np.arange(4)], 2)[0], list)
    assert split_dataset(np.arange(4), 3)[1].tolist() == [3]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[0, 1, 2], [3, 4, 5], [0, 0, 6]]),
        ({"padding": "post"}, [[1, 2, 0], [3, 4, 5], [6, 0, 0]]),
        ({"maxlen": 2}, [[1, 2], [4, 5], [0, 6]]),
        ({"maxlen": 2, "truncating": "post"}, [[1, 2], [3, 4], [0, 6]]),
        ({"maxlen": 4, "padding": "post", "value": 9}, [[1, 2, 9, 9], [3, 4, 5, 9], [6, 9, 9, 9]]),
    ],
)
def test_sequences_of_different_lengths(options: dict[str, Any], expected: Any) -> None:
    result = pad_sequences([[1, 2], [3, 4, 5], [6]], **options)
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == np.int32


def test_sequences_of_vectors_and_empty_ones() -> None:
    result = pad_sequences([[[0.5, 1.0]], [], [[1.0, 2.0], [3.0, 4.0]]], dtype="float32", value=-1)
    assert result.shape == (3, 2, 2)
    np.testing.assert_array_equal(result[0], [[-1, -1], [0.5, 1]])
    np.testing.assert_array_equal(result[1], -np.ones((2, 2)))
    assert pad_sequences([]).shape == (0, 0)


def test_windows_of_a_series() -> None:
    series = np.arange(10)
    x, y = timeseries_windows(series[:-1], series[3:], 3)
    assert (x.shape, y.tolist()) == ((7, 3), [3, 4, 5, 6, 7, 8, 9])
    np.testing.assert_array_equal(x[2], [2, 3, 4])
    np.testing.assert_array_equal(
        timeseries_windows(series, sequence_length=3, sequence_stride=2, sampling_rate=2),
        [[0, 2, 4], [2, 4, 6], [4, 6, 8]],
    )
    np.testing.assert_array_equal(timeseries_windows(series, None, 2, start_index=6, end_index=9), [[6, 7], [7, 8]])
    x, y = timeseries_windows(np.ones((6, 2)), np.arange(2), 4)
    assert x.shape == (2, 4, 2)


REFUSED: dict[str, tuple[Callable[[], Any], type[MiniDLFError], str]] = {
    "a negative label": (lambda: to_categorical([-1, 2]), DataError, "to_categorical"),
    "a label too large": (lambda: to_categorical([0, 3], 3), DataError, "to_categorical"),
    "negative labels": (lambda: to_categorical([-1]), DataError, r"expected labels 0 to 0 .*received -1 to -1"),
    "no number": (
        lambda: to_categorical([0, np.nan]),
        DataError,
        "expected integer labels, received an array of float",
    ),
    "infinity": (lambda: to_categorical([0, np.inf], 3), DataError, "expected integer labels"),
    "text": (lambda: to_categorical(["a", "b"]), DataError, r"array of <U1\. Number the classes: .*np\.unique"),
    "half a label": (lambda: to_categorical([0.5, 1]), DataError, "expected integer labels"),
    "no labels": (lambda: to_categorical([]), ArgumentError, "give num_classes"),
    "no classes": (lambda: to_categorical([0], 0), ArgumentError, "num_classes is a whole number of at least 1"),
    "masked labels": (lambda: to_categorical(np.ma.array([0, 1], mask=[0, 1])), DataError, "mask"),
    "a seed below zero": (lambda: set_random_seed(-1), ArgumentError, "seed is a whole number"),
    "half a seed": (lambda: set_random_seed(0.5), ArgumentError, "seed is a whole number"),  # type: ignore[arg-type]
    "no seed": (lambda: set_random_seed(None), ArgumentError, "seed is a whole number"),  # type: ignore[arg-type]
    "a large seed": (lambda: set_random_seed(1 << 32), ArgumentError, "below 2^32"),
    "no size": (lambda: split_dataset(np.ones(3)), ArgumentError, "give left_size or right_size"),
    "all on one side": (lambda: split_dataset(np.ones(3), 3), ArgumentError, "3 samples cannot be split into 3 and 0"),
    "more than all": (lambda: split_dataset(np.ones(3), 2, 2), ArgumentError, "cannot be split into 2 and 2"),
    "a share above one": (lambda: split_dataset(np.ones(3), 1.5), ArgumentError, "left_size is a number of samples"),
    "two lengths": (lambda: split_dataset((np.ones(3), np.ones(4)), 1), ShapeError, "one length"),
    "no arrays": (lambda: split_dataset("abc", 1), ArgumentTypeError, "split_dataset takes an array"),
    "a third side": (lambda: pad_sequences([[1]], padding="left"), ArgumentError, "padding is 'pre' or 'post'"),  # type: ignore[arg-type]
    "numbers for sequences": (lambda: pad_sequences([1, 2]), ArgumentTypeError, "a list of sequences"),
    "fractions as integers": (lambda: pad_sequences([[0.5]]), DataError, "give dtype='float32'"),
    "vectors of two shapes": (lambda: pad_sequences([[[1, 2]], [[1]]]), ShapeError, "need one shape"),
    "too short a series": (
        lambda: timeseries_windows(np.ones(3), None, 4),
        ArgumentError,
        "3 times hold no window",
    ),
    "no stride": (lambda: timeseries_windows(np.ones(3), None, 1, 0), ArgumentError, "sequence_stride"),
    "an argument of Keras": (
        lambda: timeseries_windows(np.ones(3), None, 1, batch_size=3),  # type: ignore[call-arg]
        ArgumentTypeError,
        "timeseries_windows has no argument 'batch_size'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    run, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message.replace("^", r"\^")):
        run()
