"""Metrics that are updated by hand: masked arrays are refused, whatever comes under the mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from miniDLF import metrics
from miniDLF.errors import MiniDLFError
from miniDLF.metrics import Metric

RNG = np.random.default_rng(0)
YES = RNG.uniform(size=(6, 1))
CLASSES = RNG.uniform(size=(6, 3))
KINDS = [
    kind
    for name in metrics.__all__
    if isinstance(kind := getattr(metrics, name), type) and issubclass(kind, Metric) and kind is not Metric
]


def masked(array: np.ndarray) -> Any:
    return np.ma.masked_array(array, np.arange(array.size).reshape(array.shape) == 0)


def made(kind: type) -> Metric:
    return kind(lambda t, p: np.abs(t - p)) if kind is metrics.MeanMetric else kind()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_masked_targets_and_predictions_are_refused(kind: Any) -> None:
    refused = 0
    for prediction, target in (
        (YES, np.array([[0.0], [1], [0], [1], [1], [0]])),
        (CLASSES, np.array([0, 1, 2, 0, 1, 2])),
    ):
        try:
            made(kind).update(target, prediction)
        except (MiniDLFError, TypeError, NotImplementedError):
            continue  # not made for such outputs
        for given in ((masked(target), prediction), (target, masked(prediction))):
            with pytest.raises(MiniDLFError, match="masked array"):
                made(kind).update(*given)
            refused += 1
    assert refused or kind is metrics.Mean


def test_a_function_that_returns_a_masked_array_is_refused() -> None:
    metric = metrics.MeanMetric(lambda t, p: np.ma.masked_invalid(np.where(t > 0, t - p, np.nan)))
    with pytest.raises(MiniDLFError, match="what the function returns: received a masked array"):
        metric.update(YES - 0.5, YES)


def test_matrices_are_plain_arrays() -> None:
    target, prediction = np.array([[1.0, 2], [3, 5]]), np.array([[1.0, 4], [3, 3]])
    metric = metrics.MeanSquaredError()
    metric.update(target.view(np.matrix), prediction.view(np.matrix))
    assert metric.result() == pytest.approx(2.0)
