"""How often the answer is right, and how surprised the model is by the truth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from miniDLF.core.ranges import require_count
from miniDLF.errors import ArgumentError
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.metrics.base import Mean
from miniDLF.metrics.reading import (
    answers,
    class_labels,
    class_places,
    comparable,
    is_labels,
    need_classes,
    need_two,
    numbers,
    require_threshold,
    yes_or_no,
)

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
    """Base of the means of yes and no: without weights it only counts.

    NaN is no answer, and where two classes share the largest score none is given: neither is ever a hit.
    """

    better = "max"

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
        Of a yes, from 0 to 1; ``None`` is 0.5, or 0 next to a loss with ``from_logits=True`` and to a hinge. Of two
        classes the second one is a yes; for more there is no threshold.
    """

    threshold: float | None = None
    name: str = "accuracy"

    def __post_init__(self) -> None:
        require_threshold(self)
        super().__post_init__()

    def bind(self, output_shape: Shape, loss: Any) -> None:
        super().bind(output_shape, loss)
        if self.threshold is not None and not self._several and output_shape[-1:] > (1,):
            need_two(self, output_shape)

    def hits(self, target: Array, prediction: Array) -> Array:
        target = comparable(target, prediction)
        if prediction.ndim == 1 or prediction.shape[-1] == 1 or (self._several and target.shape == prediction.shape):
            return right_of(self, self.threshold, *numbers(self, target, prediction))
        labels = class_labels(self, target, prediction)
        if self.threshold is None:
            return answers(prediction) == labels
        need_two(self, prediction.shape[1:])
        return right_of(self, self.threshold, labels, prediction[..., 1])


class BinaryAccuracy(Hits):
    """The share of numbers on the right side of `threshold`; targets of 0 and 1 have the shape of the output.

    The threshold, from 0 to 1, ``None`` is 0.5, or 0 next to a loss with ``from_logits=True`` and to a hinge.
    """

    threshold: float | None = None
    name: str = "binary_accuracy"

    def __post_init__(self) -> None:
        require_threshold(self)
        super().__post_init__()

    def hits(self, target: Array, prediction: Array) -> Array:
        return right_of(self, self.threshold, *numbers(self, target, prediction))


class CategoricalAccuracy(Hits):
    """The share of rows (N, ..., C) whose largest score is the right class; targets are rows, or labels."""

    name: str = "categorical_accuracy"

    def bind(self, output_shape: Shape, loss: Any) -> None:
        super().bind(output_shape, loss)
        need_classes(self, output_shape)

    def hits(self, target: Array, prediction: Array) -> Array:
        need_classes(self, prediction.shape[1:])
        return answers(prediction) == class_labels(self, target, prediction)


class SparseCategoricalAccuracy(CategoricalAccuracy):
    """`CategoricalAccuracy` under the name that Keras gives it for integer labels."""

    name: str = "sparse_categorical_accuracy"


class TopKCategoricalAccuracy(Hits):
    """The share of rows in which the right class is among the `k` with the largest scores.

    Where it shares its score with others it comes after them: if all are equal nothing is a hit, but for C <= k.
    """

    k: int = 5
    name: str = "top_k_categorical_accuracy"

    def __post_init__(self) -> None:
        require_count(self, "k")
        super().__post_init__()

    def bind(self, output_shape: Shape, loss: Any) -> None:
        super().bind(output_shape, loss)
        need_classes(self, output_shape)

    def hits(self, target: Array, prediction: Array) -> Array:
        need_classes(self, prediction.shape[1:])
        labels = class_places(self, target, prediction)
        right = np.take_along_axis(prediction, labels[..., None], axis=-1)
        lower = np.count_nonzero(prediction < right, axis=-1)
        return (lower >= prediction.shape[-1] - self.k) & ~np.isnan(right[..., 0])


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
    better = "min"

    def bind(self, output_shape: Shape, loss: Any) -> None:
        super().bind(output_shape, loss)
        need_classes(self, output_shape)
        self.reads_logits = False
        if self._from_logits and not self.from_logits:
            raise ArgumentError("Perplexity: the loss has from_logits=True; use Perplexity(from_logits=True) too.")

    def absorb(self, activation: str) -> None:
        self.reads_logits = activation == "Softmax"

    def values(self, target: Array, prediction: Array) -> Array:
        need_classes(self, prediction.shape[1:])
        logarithms: Array
        if self.from_logits or self.reads_logits:
            shifted = prediction - prediction.max(axis=-1, keepdims=True)
            logarithms = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        else:
            logarithms = np.log(np.maximum(prediction, np.finfo(prediction.dtype).tiny))
        if not is_labels(target, prediction):
            target, _ = numbers(self, target, prediction)
            terms = np.multiply(target, logarithms, out=np.zeros_like(target), where=target != 0)
            return -terms.sum(axis=-1)
        labels = class_places(self, target, prediction)
        return -np.take_along_axis(logarithms, labels[..., None], axis=-1)[..., 0]

    def result(self) -> Any:
        mean = super().result()
        return math.exp(mean) if mean < 700 else (mean if math.isnan(mean) else math.inf)


def right_of(metric: Hits, threshold: float | None, truth: Array, scores: Array) -> Array:
    """Return where a yes or no is the right one."""
    yes, answered = yes_or_no(metric, threshold, scores)
    return (yes == (truth > 0.5)) & answered
