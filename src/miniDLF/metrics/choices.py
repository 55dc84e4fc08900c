"""The names of metrics: Keras', their short forms, and the names of the classes."""

from __future__ import annotations

from typing import Any

from miniDLF.core.configurable import resolve
from miniDLF.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    Perplexity,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from miniDLF.metrics.base import MeanMetric, Metric
from miniDLF.metrics.counts import ConfusionMatrix, F1Score, Precision, Recall
from miniDLF.metrics.ranking import AUC
from miniDLF.metrics.regression import (
    CosineSimilarity,
    MeanAbsoluteError,
    MeanSquaredError,
    R2Score,
    RootMeanSquaredError,
)

__all__ = ["CHOICES", "get_metric"]

CHOICES: dict[str, type[Metric]] = {
    "accuracy": Accuracy,
    "acc": Accuracy,
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "precision": Precision,
    "recall": Recall,
    "f1_score": F1Score,
    "f1": F1Score,
    "auc": AUC,
    "confusion_matrix": ConfusionMatrix,
    "mae": MeanAbsoluteError,
    "mse": MeanSquaredError,
    "rmse": RootMeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_squared_error": MeanSquaredError,
    "root_mean_squared_error": RootMeanSquaredError,
    "r2_score": R2Score,
    "r2": R2Score,
    "cosine_similarity": CosineSimilarity,
    "perplexity": Perplexity,
    "mean_metric": MeanMetric,
}


def get_metric(value: Any) -> Metric:
    """Return the metric that `value` is, names or describes; its key in the logs is a name as it was given.

    A function ``f(target, prediction) -> (N,) or (N, ...)`` stands for the mean of its values.
    """
    if callable(value) and not isinstance(value, Metric | type):
        return MeanMetric(value)
    metric = resolve(value, CHOICES, "metric", Metric)
    if isinstance(value, str) and value in CHOICES:
        metric.name = value  # as in Keras: compile(metrics=["mae"]) logs "mae"
    return metric
