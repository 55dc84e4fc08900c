"""How metrics read outputs and targets, their edge cases, and every refusal."""

from __future__ import annotations

import re

import numpy as np
import pytest

from miniDLF import losses, metrics
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError, UnknownNameError
from miniDLF.metrics import get_metric
from miniDLF.metrics.accuracy import Hits
from miniDLF.metrics.base import Mean
from miniDLF.metrics.counts import Counts


def _after(metric, *batch):
    metric.update(*batch)
    return metric.result()


def test_accuracy_over_sequences_is_the_mean_over_all_steps() -> None:
    prediction = np.eye(3)[[[0, 1], [2, 2]]]
    assert _after(metrics.Accuracy(), np.array([[0, 1], [2, 0]]), prediction) == 0.75
    assert _after(metrics.Accuracy(), np.array([[0, 1], [2, 0]]), prediction, np.array([1.0, 3.0])) == 0.625


def test_accuracy_next_to_a_binary_loss_counts_every_answer() -> None:
    target, prediction = np.array([[1, 0, 1]]), np.array([[0.9, 0.8, 0.7]])
    metric = metrics.Accuracy()
    assert _after(metric, target, prediction) == 1.0  # the largest score is right
    metric.bind((3,), losses.BinaryCrossentropy())
    metric.reset()
    assert _after(metric, target, prediction) == pytest.approx(2 / 3)


@pytest.mark.parametrize("make", [metrics.Accuracy, metrics.BinaryAccuracy, metrics.Precision])
def test_next_to_a_loss_from_logits_the_threshold_is_zero(make) -> None:
    metric = make()
    metric.bind((1,), losses.BinaryCrossentropy(from_logits=True))
    assert _after(metric, np.array([[1], [0]]), np.array([[0.2], [-0.2]])) == 1.0
    fixed = make(threshold=0.5)
    fixed.bind((1,), losses.BinaryCrossentropy(from_logits=True))
    assert _after(fixed, np.array([[1], [0]]), np.array([[0.2], [-0.2]])) != 1.0


def test_precision_of_nothing_is_zero_and_an_area_of_one_kind_is_nan() -> None:
    nothing = np.zeros((3, 1))
    assert _after(metrics.Precision(), np.ones((3, 1)), nothing) == 0.0
    assert _after(metrics.Recall(), np.zeros((3, 1)), nothing) == 0.0
    assert np.isnan(_after(metrics.AUC(), np.ones((3, 1)), nothing))
    assert np.isnan(_after(metrics.AUC("PR"), np.zeros((3, 1)), nothing))


def test_the_confusion_matrix_has_the_truth_in_rows_and_hands_out_copies() -> None:
    metric = metrics.ConfusionMatrix()
    table = _after(metric, np.array([0, 1, 1]), np.eye(3)[[0, 2, 2]])
    np.testing.assert_array_equal(table, [[1, 0, 0], [0, 0, 2], [0, 0, 0]])
    table[0, 0] = 9
    assert metric.result()[0, 0] == 1


def test_perplexity_of_an_even_guess_is_the_number_of_classes_and_of_the_impossible_finite() -> None:
    assert _after(metrics.Perplexity(), np.zeros((2, 3), int), np.full((2, 3, 43), 1 / 43)) == pytest.approx(43)
    assert np.isfinite(_after(metrics.Perplexity(), np.array([1]), np.array([[1.0, 0.0]], np.float32)))
    assert _after(metrics.Perplexity(from_logits=True), np.array([1]), np.array([[900.0, 0.0]])) == np.inf


def test_a_function_stands_for_the_mean_of_its_values() -> None:
    def largest_error(target, prediction):
        return np.abs(target - prediction).max(axis=1)

    metric = get_metric(largest_error)
    assert metric.name == "largest_error"
    assert _after(metric, np.zeros((2, 2)), np.array([[1.0, 2.0], [4.0, 0.0]]), np.array([3.0, 1.0])) == 2.5


def test_a_running_mean_of_numbers() -> None:
    metric = metrics.MeanMetric(name="loss")
    metric.add(2.0, 3.0)
    metric.add([5.0, 1.0])
    assert metric.result() == pytest.approx((2 * 3 + 5 + 1) / 5)
    assert metric.name == "loss"


def test_millions_of_hits_are_counted_exactly() -> None:
    metric = metrics.BinaryAccuracy()
    ones = np.ones((1 << 20, 1), np.float32)
    for _ in range(20):
        metric.update(ones, ones)
    metric.update(ones[:1], 0 * ones[:1])
    assert metric.result() == (20 << 20) / ((20 << 20) + 1)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("accuracy", metrics.Accuracy),
        ("acc", metrics.Accuracy),
        ("mae", metrics.MeanAbsoluteError),
        ("MSE", metrics.MeanSquaredError),
        ("AUC", metrics.AUC),
        ("RootMeanSquaredError", metrics.RootMeanSquaredError),
        (metrics.Recall, metrics.Recall),
        ({"class": "TopKCategoricalAccuracy", "k": 3}, metrics.TopKCategoricalAccuracy),
    ],
)
def test_names_classes_and_configurations_stand_for_metrics(name, kind) -> None:
    assert type(get_metric(name)) is kind


ROWS, COLUMN = np.full((2, 3), 1 / 3), np.ones((2, 1))
REFUSED = [
    (lambda: get_metric("acuracy"), UnknownNameError, "unknown metric 'acuracy'; choose from 'accuracy', 'acc'"),
    (lambda: get_metric("acuracy"), UnknownNameError, "Did you mean 'accuracy'?"),
    (lambda: get_metric(3), ArgumentTypeError, "metric: expected a Metric or one of the names"),
    (lambda: metrics.TopKCategoricalAccuracy(0), ArgumentError, "TopKCategoricalAccuracy: k must be at least 1"),
    (
        lambda: metrics.Precision("mean"),
        ArgumentError,
        "Precision: average is 'binary', 'micro', 'macro', 'weighted' or",
    ),
    (lambda: metrics.AUC("PRC"), ArgumentError, "AUC: curve is 'ROC' or 'PR'; received 'PRC'."),
    (
        lambda: metrics.ConfusionMatrix("rows"),
        ArgumentError,
        "ConfusionMatrix: normalize is 'true', 'pred', 'all' or None",
    ),
    (
        lambda: metrics.MeanMetric(3),
        ArgumentTypeError,
        "MeanMetric: function must be a function of (target, prediction)",
    ),
    (
        lambda: metrics.Perplexity().bind((3,), losses.CategoricalCrossentropy(from_logits=True)),
        ArgumentError,
        "Perplexity: the loss has from_logits=True; use Perplexity(from_logits=True) too.",
    ),
    (lambda: metrics.MeanMetric().update(COLUMN, COLUMN), ArgumentTypeError, "use add(values, weights)."),
    (
        lambda: metrics.MeanMetric("mine", "mine").update(COLUMN, COLUMN),
        ArgumentTypeError,
        "metric 'mine': a model file does not hold functions, and this model was loaded from one. Compile it again "
        "with the function 'mine'.",
    ),
    (
        lambda: get_metric(lambda t, p: np.mean(t - p)).update(COLUMN, COLUMN),
        ShapeError,
        "the function must return one value a sample, (2, ...); it returned shape (). Leave the mean over samples to",
    ),
    (
        lambda: metrics.MeanSquaredError().update(np.zeros((2, 1)), ROWS),
        ShapeError,
        "metric 'mean_squared_error': predictions (2, 3) and targets (2, 1) must have the same shape.",
    ),
    (lambda: metrics.R2Score().update(np.zeros(2), ROWS), ShapeError, "metric 'r2_score': predictions (2, 3) and"),
    (
        lambda: metrics.Accuracy().update(np.zeros((3, 2), int), ROWS),
        ShapeError,
        "metric 'accuracy': predictions (2, 3) need labels (2,) or one-hot rows (2, 3); received targets (3, 2).",
    ),
    (
        lambda: metrics.TopKCategoricalAccuracy().update(np.array([0, 3]), ROWS),
        DataError,
        "class labels must lie in 0 to 2, because the predictions have 3 classes; received 0 to 3. Count the",
    ),
    (
        lambda: metrics.F1Score().update(np.array([0, 1]), ROWS),
        ArgumentError,
        "F1Score: average='binary' is for one output or two classes; there are 3. Choose average='macro'",
    ),
    (
        lambda: [m := metrics.Recall("macro"), m.update(np.array([0, 1]), ROWS), m.update(COLUMN, COLUMN)],
        ShapeError,
        "metric 'recall': a batch with 2 classes after one with 3. Call reset() between models.",
    ),
    (
        lambda: [m := metrics.ConfusionMatrix(), m.update(np.array([0, 1]), ROWS), m.update(COLUMN, COLUMN)],
        ShapeError,
        "metric 'confusion_matrix': a batch with 2 classes after one with 3. Call reset() between models.",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_makes_no_sense_is_refused(make, error, message) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


class Bare(metrics.Metric):
    """A metric of one's own that gives nothing but `reset`."""

    def reset(self) -> None:
        pass


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (metrics.Metric, "Metric has no reset()"),
        (lambda: Bare().update(COLUMN, COLUMN), "Bare has no update()"),
        (lambda: Bare().result(), "Bare has no result()"),
        (lambda: Mean().update(COLUMN, COLUMN), "Mean has no values()"),
        (lambda: Hits().update(COLUMN, COLUMN), "Hits has no hits()"),
        (lambda: Counts().score(COLUMN, COLUMN, COLUMN), "Counts has no score()"),
    ],
)
def test_what_a_metric_of_ones_own_has_to_give(run, message) -> None:
    with pytest.raises(NotImplementedError, match=re.escape(message)):
        run()


def test_r2_of_a_constant_that_is_no_binary_fraction() -> None:
    for predictions, expected in (([0.1, 0.2, 0.3], 0.0), ([0.1, 0.1, 0.1], 1.0)):
        metric = metrics.R2Score()
        metric.update(np.full((3, 1), 0.1), np.array(predictions)[:, np.newaxis])
        assert metric.result() == expected
