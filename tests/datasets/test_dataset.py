"""`Dataset`: splits, checks, and arrays that stay on the disk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniDLF.datasets import Dataset, Split, batch_bounds, epoch_order, one_hot
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError

X = np.arange(200.0).reshape(100, 2)
Y = np.arange(100) % 4


# Order and batches ------------------------------------------------------------------------------------------------


@given(n=st.integers(0, 300), seed=st.integers(0, 2**40), epoch=st.integers(0, 1000))
def test_an_order_is_a_permutation_and_a_function_of_seed_and_epoch(n, seed, epoch):
    order = epoch_order(n, seed, epoch, True)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    np.testing.assert_array_equal(order, epoch_order(n, seed, epoch, True))


def test_orders_differ_between_epochs_and_seeds():
    orders = {tuple(epoch_order(50, seed, epoch, True)) for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100


def test_the_order_of_an_epoch_is_pinned():
    """A checkpoint of today must resume in the same order tomorrow."""
    assert epoch_order(8, 3, 5, True).tolist() == [1, 6, 4, 3, 5, 2, 7, 0]


def test_no_shuffling_is_the_order_of_the_data():
    np.testing.assert_array_equal(epoch_order(5, 1, 2, False), np.arange(5))


@given(n=st.integers(0, 500), size=st.integers(1, 60))
def test_batches_cover_every_sample_once(n, size):
    bounds = batch_bounds(n, size)
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(n))
    assert all(stop - start == size for start, stop in bounds[:-1])


def test_the_last_partial_batch_is_used():
    assert batch_bounds(10, 4) == [(0, 4), (4, 8), (8, 10)]


@pytest.mark.parametrize("size", [0, -3, 2.5, "8", True])
def test_a_batch_size_must_be_a_positive_whole_number(size):
    with pytest.raises(ArgumentError, match=r"batch_size: expected a whole number of at least 1, received"):
        batch_bounds(10, size)


@pytest.mark.parametrize("seed", [-1, 1.5, None, "a"])
def test_a_seed_must_be_a_whole_number(seed):
    with pytest.raises(ArgumentError, match=r"seed: expected a whole number of at least 0, received"):
        epoch_order(10, seed, 0, True)


# Splits -----------------------------------------------------------------------------------------------------------


def test_a_tenth_is_held_back_and_nothing_is_lost():
    data = Dataset(X, Y)
    assert (len(data.train), len(data.test), data.validation, len(data)) == (90, 10, None, 100)
    rows = np.concatenate([data.train.x, data.test.x])
    np.testing.assert_array_equal(rows[np.argsort(rows[:, 0])], X)
    for split in (data.train, data.test):
        np.testing.assert_array_equal(split.y, Y[(split.x[:, 0] / 2).astype(int)])  # targets stay with their samples


def test_the_split_is_a_function_of_the_seed():
    first, same, other = Dataset(X, Y, seed=1), Dataset(X, Y, seed=1), Dataset(X, Y, seed=2)
    np.testing.assert_array_equal(first.test.x, same.test.x)
    assert not np.array_equal(first.test.x, other.test.x)


def test_the_split_does_not_depend_on_the_global_random_state():
    np.random.seed(1)  # noqa: NPY002 - the point of the test
    first = Dataset(X, Y).test.x
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(first, Dataset(X, Y).test.x)


def test_the_random_split_is_not_the_end_of_the_data():
    chosen = (Dataset(X, Y, test_fraction=0.3).test.x[:, 0] / 2).astype(int)
    assert chosen.min() < 40
    assert chosen.max() > 60


def test_given_splits_are_taken_without_a_copy():
    data = Dataset(X[:60], Y[:60], test=(X[60:80], Y[60:80]), validation=Split(X[80:], Y[80:]))
    assert [len(part) for part in data.parts.values()] == [60, 20, 20]
    for part in data.parts.values():
        assert np.shares_memory(part.x, X)
        assert np.shares_memory(part.y, Y)


def test_everything_may_be_kept_for_training():
    data = Dataset(X, Y, test_fraction=0)
    assert data.test is None
    assert data.train.x is X


def test_a_tiny_set_leaves_a_sample_on_either_side():
    data = Dataset(X[:2], Y[:2])
    assert (len(data.train), len(data.test)) == (1, 1)


def test_an_autoencoder_shares_inputs_and_targets():
    data = Dataset(X, X)
    assert data.train.y is data.train.x
    assert data.test.y is data.test.x


def test_the_shape_prints_as_in_the_specification():
    assert str(Dataset(np.zeros((4, 60, 43)), np.zeros(4)).input_shape) == "[60 43]"
    assert Dataset(X, Y).input_shape.dtype.kind == "i"


def test_lists_are_accepted_and_a_type_may_be_asked_for():
    data = Dataset([[1, 2], [3, 4]], [0, 1], test_fraction=0, dtype="float32")
    assert data.train.x.dtype == np.float32
    assert data.train.y.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (Y, 4),
        (np.eye(4)[Y], 4),
        (np.linspace(0, 1, 100), None),
        (Y - 1, None),
        (np.random.default_rng(0).random((100, 3)), None),
        (X[:, :1], None),
    ],
)
def test_the_number_of_classes_is_seen_where_there_are_classes(y, expected):
    assert Dataset(X, y).n_classes == expected


def test_labels_as_floats_become_integers_when_classes_are_named():
    data = Dataset(X, Y.astype(float), n_classes=4)
    assert data.train.y.dtype == np.int64
    assert data.test.y.dtype == np.int64


def test_repr_says_what_is_there():
    data = Dataset(X, Y)
    assert repr(data) == "Dataset(train=90, test=10, input_shape=[2], n_classes=4)"
    assert repr(data.test) == "Split(x=(10, 2) float64, y=(10,) int64)"


def test_one_hot_rows():
    np.testing.assert_array_equal(Dataset(X, Y).one_hot([0, 3]), [[1, 0, 0, 0], [0, 0, 0, 1]])
    assert one_hot(np.zeros((2, 3), int), 5).shape == (2, 3, 5)
    with pytest.raises(DataError, match=r"one_hot: expected labels 0 to 3 \(n_classes=4\), received 4 to 4"):
        Dataset(X, Y).one_hot([4])
    with pytest.raises(DataError, match=r"one_hot: expected integer labels, received an array of float64"):
        one_hot([0.5], 3)
    with pytest.raises(ArgumentError, match=r"the targets are not labels; pass n_classes"):
        Dataset(X, X).one_hot([0])


# Arrays on the disk -----------------------------------------------------------------------------------------------


@pytest.fixture
def mapped(tmp_path):
    written = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(100, 2))
    written[:] = X
    written.flush()
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def test_a_memory_mapped_array_is_not_copied(mapped):
    whole = Dataset(mapped, Y, test_fraction=0)
    assert whole.train.x is mapped
    parts = Dataset(mapped[:80], Y[:80], test=(mapped[80:], Y[80:]))
    for split in parts.parts.values():
        assert isinstance(split.x, np.memmap)
        assert np.shares_memory(split.x, mapped)


def test_a_memory_mapped_array_is_checked_in_pieces(tmp_path):
    """A check of the whole would need as many booleans as there are numbers."""
    import tracemalloc

    big = np.lib.format.open_memmap(tmp_path / "big.npy", mode="w+", dtype=np.float32, shape=(64, 1 << 20))  # 256 MB
    big.flush()
    big = np.load(tmp_path / "big.npy", mmap_mode="r")
    tracemalloc.start()
    data = Dataset(big, np.arange(64), test_fraction=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.train.x is big
    assert peak < 16e6


def test_a_bad_number_in_the_last_piece_is_found(tmp_path):
    x = np.zeros((40, 1 << 18), np.float32)  # 40 MB: three pieces
    x[39, 5] = np.nan
    with pytest.raises(DataError, match=r"x: sample 39 holds NaN or infinity"):
        Dataset(x, np.arange(40))


def test_a_random_split_of_a_memory_mapped_array_is_refused(mapped):
    for view in (mapped, mapped[10:]):
        with pytest.raises(DataError, match=r"would copy the memory-mapped data into memory\. Pass test="):
            Dataset(view, Y[: len(view)])
    with pytest.raises(DataError, match=r"dtype=float64 would copy the memory-mapped float32 data"):
        Dataset(mapped, Y, test_fraction=0, dtype="float64")


# Mistakes of a newcomer -------------------------------------------------------------------------------------------


def bad(value):
    x = X.copy()
    x[7, 1] = value
    return x


MISTAKES = {
    "a hole in the data": (lambda: Dataset(bad(np.nan), Y), r"^x: sample 7 holds NaN or infinity\. Clean the data"),
    "an overflow in the data": (lambda: Dataset(bad(np.inf), Y), r"^x: sample 7 holds NaN or infinity"),
    "a hole in the targets": (lambda: Dataset(X, bad(np.nan)[:, 1]), r"^y: sample 7 holds NaN"),
    "one target too few": (lambda: Dataset(X, Y[1:]), r"x has 100 samples and y has 99; they must be as many"),
    "x and y swapped in test": (
        lambda: Dataset(X, Y, test=(Y, X)),
        r"^test: x has samples of shape \(\), those of the training data have \(2,\)",
    ),
    "nothing": (lambda: Dataset([], []), r"^x is empty: it holds no sample"),
    "a filter that left no target": (lambda: Dataset(X, Y[Y > 9]), r"^y is empty"),
    "names as labels": (lambda: Dataset(X, ["cat"] * 100), r"^y: expected numbers, received text\. Number the classes"),
    "text in a column": (lambda: Dataset(np.array([["1", "a"]] * 4), [0] * 4), r"^x: expected numbers, received text"),
    "rows of different lengths": (lambda: Dataset([[1, 2], [3]], [0, 1]), r"^x: the samples have different shapes"),
    "an object array": (
        lambda: Dataset(np.array([1, None], object), [0, 1]),
        r"^x: expected numbers, received Python objects\. Convert it",
    ),
    "no targets": (lambda: Dataset(X, None), r"^y is missing; an autoencoder takes Dataset\(x, x\)"),
    "a number for x": (lambda: Dataset(3.0, 1), r"^x: expected an array with one entry a sample, received 3.0"),
    "complex numbers": (lambda: Dataset(X * 1j, Y), r"^x: expected real numbers, received an array of complex128"),
    "labels from 1": (
        lambda: Dataset(X, Y + 1, n_classes=4),
        r"^y: expected labels 0 to 3 \(n_classes=4\), received 1 to 4\. Subtract 1 from them",
    ),
    "one class too many": (lambda: Dataset(X, Y, n_classes=3), r"^y: expected labels 0 to 2 .* received 0 to 3\."),
    "classes for regression": (
        lambda: Dataset(X, X[:, 0] + 0.5, n_classes=4),
        r"^y: expected labels 0 to 3, .* not whole .* Leave n_classes out for regression",
    ),
    "one-hot of another width": (
        lambda: Dataset(X, np.eye(4)[Y], n_classes=10),
        r"^y: expected integer labels 0 to 9, or one-hot rows with n_classes=10 columns, received .*\(\d+, 4\)",
    ),
    "a single sample": (lambda: Dataset(X[:1], Y[:1]), r"one sample cannot be split .* pass test_fraction=0"),
    "another image size in test": (
        lambda: Dataset(np.zeros((4, 28)), [0] * 4, test=(np.zeros((2, 32)), [0] * 2)),
        r"^test: x has samples of shape \(32,\), those of the training data have \(28,\)",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_data_is_named(mistake):
    make, message = MISTAKES[mistake]
    with pytest.raises(DataError, match=message):
        make()


def test_mistakes_in_the_arguments_are_named():
    with pytest.raises(ArgumentError, match=r"test_fraction: expected a share of at least 0 and less than 1, .* 20"):
        Dataset(X, Y, test_fraction=20)
    with pytest.raises(
        ArgumentTypeError, match=r"test: expected \(x, y\) or a Split, received float\. .*test_fraction"
    ):
        Dataset(X, Y, test=0.2)
    with pytest.raises(ArgumentTypeError, match=r"test: expected \(x, y\) or a Split, received 3 items"):
        Dataset(X, Y, test=(X, Y, Y))
    with pytest.raises(ArgumentError, match=r"n_classes: expected a whole number of at least 1, received '4'"):
        Dataset(X, Y, n_classes="4")
    with pytest.raises(ArgumentError, match=r"seed: expected a whole number"):
        Dataset(X, Y, seed=None)


@pytest.mark.parametrize("dtype", ["foo", "S1", "O", "c8"])
def test_a_type_that_is_none_of_numbers(dtype):
    with pytest.raises(ArgumentTypeError, match=r"dtype: expected a type of numbers such as 'float32', received"):
        Dataset(X, Y, dtype=dtype)
