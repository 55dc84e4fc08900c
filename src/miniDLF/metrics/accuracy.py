"""How often the answer is right, and how surprised the model is by the truth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from miniDLF.core.ranges import require_count
from miniDLF.errors import ArgumentError
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.metrics.base import Mean, check_same_shape, class_labels, class_places, is_labels, threshold_of

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "Perplexity",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
]


class Hits(Mean):
    """Base of the means of yes and no: without weights it only counts."""

    def hits(self, target: Array, prediction: Array) -> Array:
        """Return an array of booleans, one an answer."""
        raise NotImplementedError(f"{type(self).__name__} has no hits()")

    def update(self, target: Array, prediction: Array, weights: Array | None = None) -> None:
        hits = self.hits(target, prediction)
        if weights is None:
            self.count(float(np.count_nonzero(hits)), hits.size)
        else:
            self.add(hits, weights)


class Accuracy(Hits):
    """The share of right answers, in the form that fits: binary, categorical or sparse categorical.

    With integer labels for scores (N, ..., C), C > 1, or one-hot rows the largest score is the answer; over sequences
    it is the mean over all steps. With an output (N, ..., 1), or next to a binary loss (several answers a sample), each
    number above `threshold` is a yes.

    Parameters
    ----------
    threshold
        Of a yes; ``None`` is 0.5, or 0 next to a loss with ``from_logits=True``.
    """

    threshold: float | None = None
    name: str = "accuracy"

    def hits(self, target: Array, prediction: Array) -> Array:
        if prediction.ndim == 1 or prediction.shape[-1] == 1 or (self._several and target.shape == prediction.shape):
            check_same_shape(self, target, prediction)
            return (prediction > threshold_of(self, self.threshold)) == (target > 0.5)
        return prediction.argmax(-1) == class_labels(self, target, prediction)


class BinaryAccuracy(Hits):
    """The share of numbers on the right side of `threshold`; targets of 0 and 1 have the shape of the output.

    The threshold ``None`` is 0.5, or 0 next to a loss with ``from_logits=True``.
    """

    threshold: float | None = None
    name: str = "binary_accuracy"

    def hits(self, target: Array, prediction: Array) -> Array:
        check_same_shape(self, target, prediction)
        return (prediction > threshold_of(self, self.threshold)) == (target > 0.5)


class CategoricalAccuracy(Hits):
    """The share of rows (N, ..., C) whose largest score is the right class; targets are rows, or labels."""

    name: str = "categorical_accuracy"

    def hits(self, target: Array, prediction: Array) -> Array:
        return prediction.argmax(-1) == class_labels(self, target, prediction)


class SparseCategoricalAccuracy(CategoricalAccuracy):
    """`CategoricalAccuracy` under the name that Keras gives it for integer labels."""

    name: str = "sparse_categorical_accuracy"


class TopKCategoricalAccuracy(Hits):
    """The share of rows in which fewer than `k` classes have a larger score than the right one."""

    k: int = 5
    name: str = "top_k_categorical_accuracy"

    def __post_init__(self) -> None:
        require_count(self, "k")
        super().__post_init__()

    def hits(self, target: Array, prediction: Array) -> Array:
        labels = class_places(self, target, prediction)
        right = np.take_along_axis(prediction, labels[..., None], axis=-1)
        return np.count_nonzero(prediction > right, axis=-1) < self.k


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """`TopKCategoricalAccuracy` under the name that Keras gives it for integer labels."""

    k: int = 5
    name: str = "sparse_top_k_categorical_accuracy"


class Perplexity(Mean):
    """``exp(mean of -log p of the right class)`` over all steps: between how many equally likely classes it wavers.

    Parameters
    ----------
    from_logits
        Whether the predictions are logits; else they are probabilities, taken as at least the smallest normal number.
    """

    from_logits: bool = False
    name: str = "perplexity"

    def bind(self, output_shape: Shape, loss: Any) -> None:
        super().bind(output_shape, loss)
        if self._from_logits and not self.from_logits:
            raise ArgumentError("Perplexity: the loss has from_logits=True; use Perplexity(from_logits=True) too.")

    def values(self, target: Array, prediction: Array) -> Array:
        logarithms: Array
        if self.from_logits:
            shifted = prediction - prediction.max(axis=-1, keepdims=True)
            logarithms = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        else:
            logarithms = np.log(np.maximum(prediction, np.finfo(prediction.dtype).tiny))
        if not is_labels(target, prediction):
            check_same_shape(self, target, prediction)
            return -(target * logarithms).sum(axis=-1)
        labels = class_places(self, target, prediction)
        return -np.take_along_axis(logarithms, labels[..., None], axis=-1)[..., 0]

    def result(self) -> Any:
        mean = super().result()
        return math.exp(mean) if mean < 700 else (mean if math.isnan(mean) else math.inf)
