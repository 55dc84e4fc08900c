"""What metrics make of targets, scores and thresholds: arithmetic, answers that are none, arguments they follow."""

from __future__ import annotations

import re

import numpy as np
import pytest

from miniDLF import losses, metrics
from miniDLF.errors import ArgumentError, DataError, MiniDLFError, ShapeError
from miniDLF.metrics import MeanMetric

NUMBERS = [
    metrics.MeanAbsoluteError,
    metrics.MeanSquaredError,
    metrics.RootMeanSquaredError,
    metrics.CosineSimilarity,
    metrics.R2Score,
    lambda: MeanMetric(lambda t, p: t * p - t * t),
]


def _after(metric, *batch):
    metric.update(*batch)
    return metric.result()


@pytest.mark.parametrize("make", NUMBERS)
@pytest.mark.parametrize("kind", ["uint8", "int8", "int16", "uint16", "int64", "bool", "float16", "float32"])
def test_numbers_are_compared_in_the_type_of_the_prediction(make, kind) -> None:
    top = {"bool": 2, "int8": 127}.get(kind, 255)
    target = np.random.default_rng(0).integers(0, top, size=(30, 4)).astype(kind)
    prediction = np.random.default_rng(1).uniform(0, top, size=(30, 4)).astype("float32")
    expected = _after(make(), target.astype("float64"), prediction.astype("float64"))
    assert _after(make(), target, prediction) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("make", NUMBERS[:-1])
def test_half_precision_does_not_overflow(make) -> None:
    target, prediction = np.full((2, 3), 300, "float16"), np.array([[1, 2, 3], [3, 2, 1]], "float16")
    prediction[1] += 900
    exact = _after(make(), target.astype("float64"), prediction.astype("float64"))
    assert _after(make(), target, prediction) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 3e9, 1e30, 3e38])
def test_the_cosine_of_vectors_of_any_length(size) -> None:
    p, t = np.array([[3.0, 4.0, 0.0]]) / 4, np.array([[0.6, 0.8, 0.0]])
    for other in (1.0, size):
        prediction, target = (p * size).astype("float32"), (t * other).astype("float32")
        expected = min(size / 8e-7, 1) * min(other / 1e-6, 1)  # the prediction is 5/4 long
        measured = _after(metrics.CosineSimilarity(), target, prediction)
        assert measured == pytest.approx(expected, rel=1e-5)
        loss = losses.CosineSimilarity()
        value, gradient = loss.value_and_grad(prediction, target, np.ones(1, "float32"), _empty)
        assert value == pytest.approx(-expected, rel=1e-5)
        assert np.isfinite(gradient).all()


def _empty(name, shape, dtype=None):
    return np.empty(shape, dtype or np.float32)


@pytest.mark.parametrize("make", [*NUMBERS, metrics.Accuracy, metrics.BinaryAccuracy, metrics.Precision, metrics.AUC])
def test_targets_without_the_last_axis_fit_an_output_of_one(make) -> None:
    rng = np.random.default_rng(0)
    target, prediction = rng.integers(0, 2, 20), rng.uniform(size=(20, 1)).astype("float32")
    assert _after(make(), target, prediction) == _after(make(), target[:, np.newaxis], prediction)


# No answer is no hit --------------------------------------------------------------------------------------------------

NAN, TIE = np.full((5, 5), np.nan), np.full((5, 5), 0.2)
ONE_NAN = np.where(np.eye(5) > 0, np.nan, 0.2)
CERTAIN = np.eye(5)
EVERY = np.arange(5)
CATEGORICAL = [
    metrics.Accuracy,
    metrics.CategoricalAccuracy,
    metrics.SparseCategoricalAccuracy,
    lambda: metrics.TopKCategoricalAccuracy(k=1),
    lambda: metrics.TopKCategoricalAccuracy(k=4),
    lambda: metrics.Precision("macro"),
    lambda: metrics.Recall("micro"),
    lambda: metrics.F1Score("weighted"),
]


@pytest.mark.parametrize("scores", [NAN, TIE, ONE_NAN], ids=["nan", "tie", "one nan"])
@pytest.mark.parametrize("target", [EVERY, np.eye(5)], ids=["labels", "rows"])
@pytest.mark.parametrize("make", CATEGORICAL)
def test_nan_and_ties_are_no_hits(make, target, scores) -> None:
    assert _after(make(), target, CERTAIN) == 1.0
    assert _after(make(), target, scores) == 0.0
    both = _after(make(), np.concatenate([target, target]), np.concatenate([CERTAIN, scores]))
    assert 0 < both <= 1.0


def test_the_right_class_comes_behind_those_with_its_score() -> None:
    scores = np.array([[3.0, 2, 2, 1], [3, 2, 2, 1], [3, 2, 1, 1], [1, 1, 1, 1]])
    target = np.array([0, 1, 1, 2])
    hits = [_after(metrics.TopKCategoricalAccuracy(k=k), target, scores) for k in (1, 2, 3, 4)]
    assert hits == [0.25, 0.5, 0.75, 1.0]
    assert np.isnan(_after(metrics.AUC(), EVERY % 2, NAN[:, :1]))
    assert _after(metrics.TopKCategoricalAccuracy(k=9), EVERY, NAN) == 0.0


def test_a_nan_is_neither_yes_nor_no() -> None:
    scores, target = np.array([[np.nan], [np.nan], [0.9], [0.1]]), np.array([[0], [1], [1], [0]])
    assert _after(metrics.Accuracy(), target, scores) == 0.5
    assert _after(metrics.BinaryAccuracy(), target, scores) == 0.5
    assert _after(metrics.Precision(), target, scores) == 1.0
    assert _after(metrics.Recall(), target, scores) == 0.5
    np.testing.assert_array_equal(_after(metrics.ConfusionMatrix(), target, scores), [[1, 0], [0, 1]])
    for curve in ("ROC", "PR"):
        assert np.isnan(_after(metrics.AUC(curve), target, scores))


def test_rows_without_an_answer_are_missed_and_in_no_column() -> None:
    scores = np.array([[0.5, 0.5], [0.1, 0.9], [np.nan, 1.0]])
    target = np.array([0, 1, 1])
    assert _after(metrics.Precision(), target, scores) == 1.0
    assert _after(metrics.Recall(), target, scores) == 0.5
    np.testing.assert_array_equal(_after(metrics.ConfusionMatrix(), target, scores), [[0, 0], [0, 1]])
    weighted = _after(metrics.Recall(average=None), target, scores, np.array([1.0, 2.0, 6.0]))
    np.testing.assert_allclose(weighted, [0.0, 0.25])


def test_a_label_that_means_nothing_is_no_hit_beside_a_tie() -> None:
    assert _after(metrics.Accuracy(), np.array([-1, -1]), np.array([[0.5, 0.5], [0.1, 0.9]])) == 0.0


# Arguments ------------------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(5)
TWO = RNG.dirichlet(np.ones(2), 60)
YES = RNG.integers(0, 2, 60)
SEVERAL = RNG.uniform(size=(60, 3))
MANY = RNG.integers(0, 2, (60, 3))


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("target", [YES, np.eye(2)[YES], YES[:, np.newaxis]], ids=["labels", "rows", "column"])
def test_a_threshold_decides_between_two_classes(target, threshold) -> None:
    called = TWO[:, 1] > threshold
    right = float(np.sum(called & (YES == 1)))
    assert _after(metrics.Accuracy(threshold=threshold), target, TWO) == np.mean(called == YES)
    assert _after(metrics.Precision(threshold=threshold), target, TWO) == pytest.approx(right / max(called.sum(), 1))
    assert _after(metrics.Recall(threshold=threshold), target, TWO) == pytest.approx(right / YES.sum())
    table = _after(metrics.ConfusionMatrix(threshold=threshold), target, TWO)
    np.testing.assert_array_equal(table[:, 1], [called.sum() - right, right])


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
def test_a_threshold_of_several_classes_asks_each(average) -> None:
    sk = pytest.importorskip("sklearn.metrics")
    labels, scores = RNG.integers(0, 4, 80), RNG.dirichlet(np.ones(4), 80)
    expected = sk.recall_score(np.eye(4)[labels], scores > 0.3, average=average)
    for target in (labels, np.eye(4)[labels]):
        measured = _after(metrics.Recall(average, threshold=0.3), target, scores)
        np.testing.assert_allclose(measured, expected, rtol=1e-12)


def test_multi_label_is_followed_beside_a_categorical_loss() -> None:
    metric = metrics.Recall("micro", multi_label=True)
    metric.bind((3,), losses.CategoricalCrossentropy())
    assert _after(metric, np.eye(3)[[0, 1]], np.array([[0.4, 0.3, 0.3], [0.2, 0.7, 0.1]])) == 0.5


@pytest.mark.parametrize("loss", [losses.Hinge(), losses.SquaredHinge(), losses.BinaryCrossentropy(from_logits=True)])
@pytest.mark.parametrize("make", [metrics.Accuracy, metrics.BinaryAccuracy, metrics.Precision, metrics.F1Score])
def test_the_loss_says_where_yes_begins(make, loss) -> None:
    metric, several = make(), make() if make in (metrics.Accuracy, metrics.BinaryAccuracy) else make("macro")
    metric.bind((1,), loss)
    several.bind((2,), loss)
    no = loss.target_range[0]
    assert _after(metric, np.array([[1], [no], [1]]), np.array([[0.3], [-0.1], [0.9]])) == 1.0
    assert _after(several, np.array([[1, no], [no, 1]]), np.array([[0.3, -0.1], [-0.2, 0.1]])) == 1.0


def test_a_loss_of_ones_own_says_where_yes_begins() -> None:
    class Percent(losses.MeanSquaredError):
        decides_at = 50.0

    metric = metrics.Accuracy()
    metric.bind((1,), Percent())
    assert _after(metric, np.array([[0], [1]]), np.array([[40.0], [60.0]])) == 1.0


@pytest.mark.parametrize(
    "make", [metrics.Accuracy, metrics.BinaryAccuracy, metrics.Precision, metrics.F1Score, metrics.ConfusionMatrix]
)
@pytest.mark.parametrize("threshold", [70.0, -1, 1.0001, np.nan, "half", True])
def test_a_threshold_that_is_no_probability_is_refused(make, threshold) -> None:
    with pytest.raises(MiniDLFError, match="threshold"):
        make(threshold=threshold)


CCE, BCE = losses.CategoricalCrossentropy(), losses.BinaryCrossentropy()
REFUSED = [
    (
        metrics.Accuracy(threshold=0.4),
        (3,),
        CCE,
        ArgumentError,
        "a threshold tells yes from no, and an output (N, 3) has",
    ),
    (metrics.ConfusionMatrix(threshold=0.4), (3,), CCE, ArgumentError, "Leave the threshold out."),
    (metrics.F1Score(), (10,), CCE, ArgumentError, "average='binary' is for one output or two classes; there are 10."),
    (metrics.Precision(), (2,), BCE, ArgumentError, "there are 2. Choose average='macro'"),
    (metrics.CategoricalAccuracy(), (1,), BCE, ShapeError, "an output (N, 1) holds no classes to choose from. Use"),
    (metrics.TopKCategoricalAccuracy(), (1,), BCE, ShapeError, "holds no classes to choose from"),
    (metrics.Perplexity(), (1,), BCE, ShapeError, "holds no classes to choose from"),
]


@pytest.mark.parametrize(("metric", "shape", "loss", "error", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_an_output_has_no_use_for_is_refused_at_once(metric, shape, loss, error, message) -> None:
    with pytest.raises(error, match=re.escape(message)):
        metric.bind(shape, loss)
    with pytest.raises(error, match=re.escape(message)):
        metric.update(np.zeros((2, *shape)), np.full((2, *shape), 0.5))


def test_multi_label_needs_a_target_for_each_answer() -> None:
    with pytest.raises(ShapeError, match="multi_label=True needs a target for each answer"):
        metrics.F1Score("macro", multi_label=True).update(np.array([0, 1]), np.full((2, 3), 0.5))


# Weights --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "target"),
    [
        (metrics.Accuracy, "labels"),
        (lambda: metrics.F1Score("macro"), "labels"),
        (metrics.ConfusionMatrix, "labels"),
        (metrics.AUC, "labels"),
        (metrics.Perplexity, "labels"),
        (metrics.MeanSquaredError, "numbers"),
        (metrics.CosineSimilarity, "numbers"),
        (metrics.R2Score, "flat"),
    ],
)
def test_weights_of_steps_are_those_of_samples_of_one_step(make, target) -> None:
    rng = np.random.default_rng(3)
    prediction = rng.dirichlet(np.ones(4), (10, 5))
    truth = rng.integers(0, 4, (10, 5)) if target == "labels" else rng.uniform(size=(10, 5, 4))
    weights = rng.uniform(size=(10, 5))
    flat = _after(make(), truth.reshape(50, *truth.shape[2:]), prediction.reshape(50, 4), weights.reshape(50))
    if target == "flat":  # the share of the variance is that of each element of the output, of every step here
        each = [_after(make(), truth[:, t], prediction[:, t], weights[:, t]) for t in range(5)]
        flat = np.mean(each)
    np.testing.assert_allclose(_after(make(), truth, prediction, weights), flat, rtol=1e-12)


def test_weights_that_do_not_fit_are_refused() -> None:
    prediction = np.full((4, 3, 2), 0.5)
    with pytest.raises(ShapeError, match=r"it gives values \(4,\), and the weights are \(4, 3\)"):
        MeanMetric(lambda t, p: p.mean(axis=(1, 2))).update(prediction, prediction, np.ones((4, 3)))
    negative = np.array([1.0, -1.0])
    for metric in (metrics.Precision(), metrics.AUC(), metrics.ConfusionMatrix(), metrics.R2Score()):
        with pytest.raises(DataError, match="Put it under metrics, not weighted_metrics"):
            metric.update(np.array([[0], [1]]), np.array([[0.2], [0.7]]), negative)
    mean = _after(metrics.MeanAbsoluteError(), np.zeros((2, 1)), np.array([[3.0], [1.0]]), np.array([2.0, -1.0]))
    assert mean == 5.0
