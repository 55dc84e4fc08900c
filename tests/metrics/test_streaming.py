"""Every metric: streamed in uneven batches as all at once, with weights and without; states come back exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from miniDLF import metrics
from miniDLF.core.configurable import from_config
from miniDLF.metrics import Metric, get_metric
from miniDLF.metrics.choices import CHOICES

COUNT = 41
CUTS = (0, 7, 8, 20, 40, 41)  # uneven, one batch of one sample, a partial last one


def _rng() -> np.random.Generator:
    return np.random.default_rng(3)


def _binary(*tail: int) -> tuple[np.ndarray, np.ndarray]:
    rng = _rng()
    target = rng.integers(0, 2, size=(COUNT, *tail))
    scores = np.clip(0.3 * target + rng.uniform(size=target.shape) * 0.7, 0, 1)
    return target, np.round(scores, 1)  # rounded: many ties


def _classes(classes: int = 4, *lead: int) -> tuple[np.ndarray, np.ndarray]:
    rng = _rng()
    target = rng.integers(0, classes, size=(COUNT, *lead))
    scores = rng.dirichlet(np.ones(classes), size=(COUNT, *lead)) + 0.1 * np.eye(classes)[target]
    return target, scores / scores.sum(axis=-1, keepdims=True)


def _one_hot(classes: int = 4, *lead: int) -> tuple[np.ndarray, np.ndarray]:
    target, scores = _classes(classes, *lead)
    return np.eye(classes)[target], scores


def _numbers(*tail: int) -> tuple[np.ndarray, np.ndarray]:
    rng = _rng()
    target = rng.normal(10.0, 1.0, size=(COUNT, *tail))
    return target, target + rng.normal(size=target.shape)


def absolute(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return np.abs(target - prediction).mean(axis=1)


@dataclass
class MetricCase:
    """A metric, and targets with predictions for it."""

    make: Callable[[], Metric]
    data: Callable[[], tuple[np.ndarray, np.ndarray]]

    def __str__(self) -> str:
        return f"{self.make()!r} {self.data()[0].shape} {self.data()[1].shape}"


CASES = [
    MetricCase(metrics.Accuracy, lambda: _binary(1)),
    MetricCase(metrics.Accuracy, _classes),
    MetricCase(metrics.Accuracy, _one_hot),
    MetricCase(metrics.Accuracy, lambda: _classes(4, 5)),
    MetricCase(metrics.BinaryAccuracy, lambda: _binary(3)),
    MetricCase(lambda: metrics.BinaryAccuracy(threshold=0.7), lambda: _binary(1)),
    MetricCase(metrics.CategoricalAccuracy, lambda: _one_hot(4, 5)),
    MetricCase(metrics.SparseCategoricalAccuracy, lambda: _classes(4, 5)),
    MetricCase(lambda: metrics.TopKCategoricalAccuracy(2), _classes),
    MetricCase(lambda: metrics.TopKCategoricalAccuracy(k=2), lambda: _one_hot(4, 5)),
    MetricCase(lambda: metrics.SparseTopKCategoricalAccuracy(k=2), _classes),
    MetricCase(metrics.Precision, lambda: _binary(1)),
    MetricCase(lambda: metrics.Precision("macro"), _classes),
    MetricCase(lambda: metrics.Recall(average=None), lambda: _one_hot(4, 5)),
    MetricCase(metrics.Recall, lambda: _classes(2)),
    MetricCase(lambda: metrics.F1Score("weighted"), _classes),
    MetricCase(lambda: metrics.F1Score("micro", multi_label=True), lambda: _binary(3)),
    MetricCase(metrics.AUC, lambda: _binary(1)),
    MetricCase(lambda: metrics.AUC("PR"), lambda: _binary(1)),
    MetricCase(metrics.AUC, _classes),
    MetricCase(metrics.AUC, lambda: _binary(3)),
    MetricCase(metrics.ConfusionMatrix, _classes),
    MetricCase(lambda: metrics.ConfusionMatrix("true"), lambda: _binary(1)),
    MetricCase(metrics.MeanAbsoluteError, lambda: _numbers(3)),
    MetricCase(metrics.MeanSquaredError, lambda: _numbers(2, 3)),
    MetricCase(metrics.RootMeanSquaredError, lambda: _numbers(1)),
    MetricCase(metrics.R2Score, lambda: _numbers(3)),
    MetricCase(metrics.CosineSimilarity, lambda: _numbers(3)),
    MetricCase(metrics.Perplexity, lambda: _classes(4, 5)),
    MetricCase(metrics.Perplexity, _one_hot),
    MetricCase(lambda: metrics.MeanMetric(absolute), lambda: _numbers(3)),
]


def _stream(metric: Metric, target: Any, prediction: Any, weights: Any, cuts: Any = CUTS) -> Any:
    for start, stop in pairwise(cuts):
        part = None if weights is None else weights[start:stop]
        metric.update(target[start:stop], prediction[start:stop], part)
    return metric.result()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_streamed_is_all_at_once(case: MetricCase, weighted: bool) -> None:
    target, prediction = case.data()
    weights = _rng().uniform(0.2, 3.0, size=COUNT) if weighted else None
    whole = case.make()
    whole.update(target, prediction, weights)
    streamed = _stream(case.make(), target, prediction, weights)
    assert np.isfinite(streamed).all()
    assert isinstance(streamed, float | np.ndarray)
    np.testing.assert_allclose(streamed, whole.result(), rtol=1e-12)
    if weighted:
        plain = case.make()
        plain.update(target, prediction)
        if np.ndim(streamed):
            assert not np.allclose(streamed, plain.result())
        else:
            assert streamed != plain.result()
            assert type(streamed) is type(plain.result()) is float


@pytest.mark.parametrize("case", CASES, ids=str)
def test_whole_weights_are_repetitions_and_zero_leaves_out(case: MetricCase) -> None:
    target, prediction = case.data()
    weights = _rng().integers(0, 4, size=COUNT)
    weighted, repeated = case.make(), case.make()
    weighted.update(target, prediction, weights.astype(np.float64))
    repeated.update(np.repeat(target, weights, axis=0), np.repeat(prediction, weights, axis=0))
    np.testing.assert_allclose(weighted.result(), repeated.result(), rtol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_state_comes_back_to_the_last_bit(case: MetricCase) -> None:
    target, prediction = case.data()
    weights = _rng().uniform(size=COUNT)
    expected = _stream(case.make(), target, prediction, weights)
    first = case.make()
    _stream(first, target, prediction, weights, CUTS[:4])
    saved = {name: np.asarray(value) for name, value in first.state().items()}  # as a checkpoint holds it
    second = case.make()
    second.update(target, prediction)  # what was measured before does not matter
    second.set_state(saved)
    result = _stream(second, target, prediction, weights, CUTS[3:])
    np.testing.assert_array_equal(result, expected)
    _stream(first, target, prediction, weights, CUTS[3:])
    np.testing.assert_array_equal(first.result(), expected)  # the state was a copy


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reset_forgets_and_nothing_measured_is_nan(case: MetricCase) -> None:
    metric = case.make()
    assert np.isnan(metric.result())
    target, prediction = case.data()
    metric.update(target[:9] * 0, prediction[:9])
    metric.reset()
    assert np.isnan(metric.result())
    metric.set_state(metric.state())  # an empty state is a state
    assert np.isnan(metric.result())
    np.testing.assert_array_equal(
        _stream(metric, target, prediction, None), _stream(case.make(), target, prediction, None)
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inputs_stay_and_are_not_kept(case: MetricCase) -> None:
    target, prediction = case.data()
    weights = np.full(COUNT, 0.5)
    one, other = case.make(), case.make()
    one.update(target, prediction, weights)
    for array in (target, prediction, weights):
        array.flags.writeable = False
    other.update(target, prediction, weights)
    expected = other.result()
    for array in (target, prediction, weights):  # the executor lends its arrays: the next step writes to them
        array.flags.writeable = True
        array[...] = 1
    np.testing.assert_array_equal(one.result(), expected)
    np.testing.assert_array_equal(other.result(), expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_predictions_give_nearly_the_same(case: MetricCase) -> None:
    target, prediction = case.data()
    one, other = case.make(), case.make()
    one.update(target, prediction)
    if target.dtype.kind == "f":
        target = target.astype(np.float32)
    other.update(target, prediction.astype(np.float32), np.ones(COUNT, np.float32))
    np.testing.assert_allclose(other.result(), one.result(), rtol=1e-5)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_configuration_comes_back(case: MetricCase) -> None:
    metric = case.make()
    config = {"class": type(metric).__name__, **metric.config()}
    again = from_config(config, CHOICES, "metric")
    assert type(again) is type(metric)
    assert again.config() == metric.config()
    assert again.name == metric.name


def test_every_exported_metric_has_a_case_and_a_name() -> None:
    exported = {getattr(metrics, name) for name in metrics.__all__}
    classes = {one for one in exported if isinstance(one, type)} - {Metric}
    assert classes == {type(case.make()) for case in CASES}
    assert classes == set(CHOICES.values())
    for name in CHOICES:
        assert get_metric(name).name == name
