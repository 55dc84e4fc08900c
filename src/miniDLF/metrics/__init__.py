"""Metrics: measured over batches, right with partial ones and with weights."""

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
from miniDLF.metrics.choices import CHOICES as CHOICES
from miniDLF.metrics.choices import get_metric
from miniDLF.metrics.counts import ConfusionMatrix, F1Score, Precision, Recall
from miniDLF.metrics.ranking import AUC
from miniDLF.metrics.regression import (
    CosineSimilarity,
    MeanAbsoluteError,
    MeanSquaredError,
    R2Score,
    RootMeanSquaredError,
)
from miniDLF.names import names_of_keras

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "ConfusionMatrix",
    "CosineSimilarity",
    "F1Score",
    "MeanAbsoluteError",
    "MeanMetric",
    "MeanSquaredError",
    "Metric",
    "Perplexity",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "get_metric",
]

__getattr__ = names_of_keras(__name__)
