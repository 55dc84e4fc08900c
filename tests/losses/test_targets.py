"""What losses make of targets, and every refusal with its message."""

from __future__ import annotations

import re

import numpy as np
import pytest

from miniDLF import losses
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from miniDLF.losses import get_loss

CCE = losses.CategoricalCrossentropy()
SPARSE = losses.SparseCategoricalCrossentropy()
MSE = losses.MeanSquaredError()
BCE = losses.BinaryCrossentropy()
LABELS = np.array([0, 2, 1])


def test_integer_labels_are_canonical() -> None:
    assert CCE.encode(LABELS, (3,)) is LABELS
    assert SPARSE.encode(LABELS, (3,)) is LABELS


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_one_hot_rows_become_labels(dtype: type) -> None:
    encoded = CCE.encode(np.eye(3, dtype=dtype)[LABELS], (3,))
    np.testing.assert_array_equal(encoded, LABELS)
    assert encoded.dtype.kind == "i"


def test_probabilities_stay() -> None:
    soft = np.array([[0.5, 0.5], [1.0, 0.0]])
    assert CCE.encode(soft, (2,)) is soft


@pytest.mark.parametrize("loss", [MSE, BCE, losses.Hinge(), losses.Poisson()])
def test_targets_without_the_last_axis_fit_an_output_of_one(loss: losses.Loss) -> None:
    target = np.array([0, 1, 1])
    encoded = loss.encode(target, (1,))
    assert encoded.shape == (3, 1)
    assert np.shares_memory(encoded, target)
    assert loss.encode(np.ones((2, 5)), (5, 1)).shape == (2, 5, 1)


@pytest.mark.parametrize("loss", [CCE, SPARSE])
def test_a_column_of_labels_and_whole_floats_and_unsigned_labels_are_labels(loss: losses.Loss) -> None:
    np.testing.assert_array_equal(loss.encode(LABELS[:, None], (3,)), LABELS)
    assert loss.encode(LABELS.astype(np.float32), (3,)).dtype.kind == "i"
    assert loss.encode(LABELS.astype(np.uint64), (3,)).dtype.kind == "i"
    np.testing.assert_array_equal(loss.encode(LABELS.tolist(), (3,)), LABELS)


def test_sequences_take_labels_or_rows_a_step() -> None:
    steps = np.array([[0, 1], [2, 2], [1, 0]])
    assert CCE.encode(steps, (2, 3)) is steps
    np.testing.assert_array_equal(CCE.encode(np.eye(3)[steps], (2, 3)), steps)
    np.testing.assert_array_equal(CCE.encode(steps[..., None], (2, 3)), steps)


@pytest.mark.parametrize(
    ("loss", "dtype", "shape", "high"), [(MSE, "float32", (7,), 1), (BCE, "uint8", (1, 9), 2), (CCE, "int64", (), 3)]
)
def test_memory_mapped_targets_stay_on_the_disk(tmp_path, monkeypatch, loss, dtype, shape, high) -> None:
    monkeypatch.setattr("miniDLF.losses.targets.BLOCK_ELEMENTS", 64)  # many blocks
    array = np.memmap(tmp_path / "y", dtype, "w+", shape=(50, *shape))
    array[...] = np.random.default_rng(0).integers(0, high, size=array.shape)
    assert loss.encode(array, shape or (3,)) is array


def test_blocks_see_the_last_row(monkeypatch) -> None:
    monkeypatch.setattr("miniDLF.losses.targets.BLOCK_ELEMENTS", 10)
    target = np.zeros((23, 3))
    target[22, 1] = np.nan
    with pytest.raises(DataError, match="the target of sample 22 holds NaN"):
        MSE.encode(target, (3,))
    rows = np.eye(3)[np.arange(23) % 3]
    np.testing.assert_array_equal(CCE.encode(rows, (3,)), np.arange(23) % 3)
    rows[22] = [0.5, 0.25, 0.25]
    assert CCE.encode(rows, (3,)) is rows
    rows[21] = [0.5, 0.5, 0.5]
    with pytest.raises(DataError, match="those of sample 21 have the sum 1"):
        CCE.encode(rows, (3,))


REFUSED = [
    (
        MSE,
        np.zeros((5, 3)),
        (3, 1, 1),
        "the output has shape (N, 3, 1, 1), the targets (5, 3). Reshape them: y.reshape(",
    ),
    (MSE, np.ma.zeros((5, 1)), (1,), "MeanSquaredError: the targets: received a masked array"),
    (MSE, np.zeros((5, 1)), (), "the output has shape (N,), the targets (5, 1). Reshape them: y.reshape(-1)."),
    (MSE, np.zeros((5, 2)), (3,), "the output has shape (N, 3), the targets (5, 2). They must have the same shape."),
    (MSE, np.zeros((5, 12)), (3, 4), "Reshape them: y.reshape(-1, 3, 4)."),
    (MSE, np.zeros((5, 13)), (3, 4), "They must have the same shape."),
    (MSE, np.zeros(5, int), (10,), "For class labels use loss='cce', or one-hot targets: np.eye(10)[y]."),
    (MSE, np.array([[1.0], [np.inf]]), (1,), "the target of sample 1 holds NaN or infinity. Clean the data first"),
    (MSE, np.zeros((2, 1), complex), (1,), "targets must be real numbers; received an array of complex128."),
    (MSE, 3.0, (), "targets need one entry a sample, (N, ...); received a single number."),
    (CCE, np.array(["cat", "dog"]), (2,), "Number the classes: classes, y = np.unique(y, return_inverse=True)."),
    (
        CCE,
        np.array([0, 3]),
        (3,),
        "CategoricalCrossentropy: class labels must lie in 0 to 2, because the output has 3 classes; received 0 to 3 "
        "(sample 1). Count the classes from 0, or give the last layer more units.",
    ),
    (SPARSE, np.array([0, -1]), (3,), "class labels must lie in 0 to 2"),
    (CCE, np.array([0.0, 0.5]), (3,), "class labels must be whole numbers; received 0.5 (sample 1). For numbers that"),
    (CCE, np.array([0.0, np.nan]), (3,), "the target of sample 1 holds NaN or infinity"),
    (CCE, np.zeros((2, 4)), (3,), "received targets (2, 4). They are made for 4 classes; the output has 3."),
    (
        CCE,
        np.zeros((2, 4, 5)),
        (3,),
        "expected integer labels (N,) or one-hot rows (N, 3), received targets (2, 4, 5).",
    ),
    (SPARSE, np.zeros((2, 4)), (3,), "Reshape the targets, or change the last layer."),
    (SPARSE, np.eye(3), (3,), "For one-hot targets use loss='cce', or pass y.argmax(-1)."),
    (
        CCE,
        np.ones((2, 3)),
        (3,),
        "have the sum 3. Where several classes may hold at once use a sigmoid and loss='bce'.",
    ),
    (CCE, np.array([[-0.5, 1.5]]), (2,), "targets must be in [0, 1]; received values from -0.5 to 1.5 (sample 0)."),
    (CCE, np.zeros(2, int), (1,), "has one class only, which is always certain. Use one unit with a sigmoid and loss="),
    (
        BCE,
        np.array([[0], [255]], np.uint8),
        (1,),
        "targets must be in [0, 1]; received values from 0 to 255 (sample 1).",
    ),
    (
        losses.Poisson(),
        np.array([[-1.0]]),
        (1,),
        "targets must be at least 0; received values from -1 to -1 (sample 0).",
    ),
    (losses.Hinge(), np.array([[0.5]]), (1,), "targets must be -1 and 1, or 0 and 1; received 0.5 (sample 0)."),
    (losses.Hinge(), np.array([[-1], [0]]), (1,), "the targets hold both -1 and 0, so neither convention fits."),
    (losses.SquaredHinge(), np.array([[2]]), (1,), "targets must be in [-1, 1]"),
    (losses.CategoricalHinge(), np.array([[0.5, 0.5]]), (2,), "targets must name one class; received probabilities."),
    (losses.CosineSimilarity(), np.ones((2, 1)), (1,), "holds no vectors; numbers have no angle. Use 'mse'"),
]


@pytest.mark.parametrize(("loss", "target", "shape", "message"), REFUSED, ids=range(len(REFUSED)))
def test_targets_that_do_not_fit_are_refused(loss, target, shape, message) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        loss.encode(target, shape)
    assert str(caught.value).startswith(type(loss).__name__)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: losses.Huber(delta=0), ArgumentError, "Huber: delta must lie in (0, inf)"),
        (lambda: losses.BinaryCrossentropy(label_smoothing=1), ArgumentError, "label_smoothing must lie in [0, 1)"),
        (lambda: losses.CategoricalCrossentropy(label_smoothing=-1), ArgumentError, "label_smoothing must lie in"),
        (
            lambda: losses.CategoricalCrossentropy(over_time="max"),
            ArgumentError,
            "over_time is 'sum' or 'mean'; received",
        ),
        (lambda: losses.BinaryFocalCrossentropy(alpha=2), ArgumentError, "alpha must lie in [0, 1]"),
        (lambda: losses.CategoricalFocalCrossentropy(gamma=-1), ArgumentError, "gamma must lie in [0, inf)"),
        (lambda: losses.Huber(detla=2), ArgumentTypeError, "Huber has no argument 'detla'; it takes delta."),
        (lambda: get_loss("cse"), UnknownNameError, "unknown loss 'cse'; choose from 'mse', 'cce', 'bce'"),
        (lambda: get_loss("humber"), UnknownNameError, "Did you mean 'huber'?"),
        (lambda: get_loss(3), ArgumentTypeError, "loss: expected a Loss or one of the names"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(make, error, message) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mse", losses.MeanSquaredError),
        ("cce", losses.CategoricalCrossentropy),
        ("bce", losses.BinaryCrossentropy),
        ("MeanSquaredError", losses.MeanSquaredError),
        ("kl_divergence", losses.KLDivergence),
        ("logcosh", losses.LogCosh),
        (losses.Huber, losses.Huber),
        (BCE, losses.BinaryCrossentropy),
    ],
)
def test_names_classes_and_objects_all_stand_for_losses(name, kind) -> None:
    assert type(get_loss(name)) is kind


def test_from_logits_absorbs_nothing() -> None:
    assert (CCE.absorbs, BCE.absorbs) == ("Softmax", "Sigmoid")
    assert losses.CategoricalCrossentropy(from_logits=True).absorbs is None
    assert losses.BinaryFocalCrossentropy(from_logits=True).absorbs is None
    assert (CCE.classifies, BCE.classifies, MSE.classifies) == ("categorical", "binary", "")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            np.ones((1, 7)),
            r"\(N, 1\), the targets \(1, 7\)\. These are the targets of several samples in one row: y\.T",
        ),
        (np.ones((2, 7, 1)), r"one output here, and these look like a list of 2 arrays for several"),
    ],
)
def test_targets_that_are_turned_round_are_told_so(target: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        MSE.encode(target, (1,))
