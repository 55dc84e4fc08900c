"""What outputs, targets and weights mean to metrics: classes or numbers, answers or none, yes or no."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.arrays import plain_array
from miniDLF.core.ranges import number
from miniDLF.errors import ArgumentError, DataError, ShapeError
from miniDLF.kernels.rows import label_index
from miniDLF.kernels.workspace import Array, Shape

__all__ = [
    "NO_ANSWER",
    "answers",
    "class_labels",
    "class_places",
    "comparable",
    "is_labels",
    "lined_up",
    "need_classes",
    "need_two",
    "numbers",
    "require_threshold",
    "step_weights",
    "threshold_of",
    "yes_or_no",
]

#: What messages call the arrays that `update` takes.
TARGETS, PREDICTIONS = "metric: the targets", "metric: the predictions"
#: Stands for the class of a row that gives no answer, and is no label either.
NO_ANSWER = int(np.iinfo(np.intp).min)


def is_labels(target: Array, prediction: Array) -> bool:
    """Say whether `target` holds class labels, (N, ...) or (N, ..., 1), for scores `prediction` (N, ..., C)."""
    return target.ndim < prediction.ndim or (target.shape[-1] == 1 and prediction.shape[-1] > 1)


def class_labels(metric: Any, target: Array, prediction: Array) -> Array:
    """Return the labels that `target` (labels, or rows (N, ..., C)) holds, one for each row of `prediction`."""
    target, prediction = plain_array(target, TARGETS), plain_array(prediction, PREDICTIONS)
    if is_labels(target, prediction):
        if target.ndim == prediction.ndim:
            target = target[..., 0]
        if target.shape == prediction.shape[:-1]:
            return target
    elif target.shape == prediction.shape:
        return target.argmax(-1)
    raise ShapeError(
        f"metric {metric.name!r}: predictions {prediction.shape} need labels {prediction.shape[:-1]} or one-hot rows "
        f"{prediction.shape}; received targets {target.shape}. Reshape the targets."
    )


def class_places(metric: Any, target: Array, prediction: Array) -> Array:
    """Return `class_labels` as whole numbers that can index the classes of `prediction`."""
    labels = class_labels(metric, target, prediction)
    classes = prediction.shape[-1]
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise DataError(
            f"metric {metric.name!r}: class labels must lie in 0 to {classes - 1}, because the predictions have "
            f"{classes} classes; received {labels.min()} to {labels.max()}. Count the classes from 0."
        )
    if labels.dtype.kind == "f" and (labels != np.floor(labels)).any():
        raise DataError(f"metric {metric.name!r}: class labels must be whole numbers; choose a metric of numbers.")
    return labels.astype(np.intp, copy=False)


def comparable(target: Array, prediction: Array) -> Array:
    """Return targets as numbers with which one can calculate, next to a prediction (N, ...).

    Where there is a number for each of the prediction's they get its type, since that of the user may hold no
    difference or no square (uint8); (N,) fits an output of one. Class labels, of another shape, can index.
    """
    target, prediction = plain_array(target, TARGETS), plain_array(prediction, PREDICTIONS)
    if target.shape == prediction.shape[:-1] and prediction.shape[-1:] == (1,):
        target = target[..., np.newaxis]
    if target.shape == prediction.shape:
        return target.astype(prediction.dtype if prediction.dtype.kind == "f" else np.float64, copy=False)
    return target.astype(np.intp) if target.dtype.kind in "iub" and target.dtype != np.intp else target


def numbers(metric: Any, target: Array, prediction: Array) -> tuple[Array, Array]:
    """Return target and prediction of one shape, in a floating-point type of at least single precision.

    Raises
    ------
    ShapeError
        If their shapes differ, and would broadcast or not fit at all.
    """
    prediction = plain_array(prediction, PREDICTIONS)
    if prediction.dtype.kind != "f":
        prediction = prediction.astype(np.float64)
    elif prediction.dtype.itemsize < 4:
        prediction = prediction.astype(np.float32)
    target = comparable(target, prediction)
    if target.shape != prediction.shape:
        raise ShapeError(
            f"metric {metric.name!r}: predictions {prediction.shape} and targets {target.shape} must have the same "
            "shape. Reshape the targets, or choose a metric of classes."
        )
    return target, prediction


def answers(scores: Array) -> Array:
    """Return the class with the largest score of each row, (N, ..., C) -> (N, ...).

    `NO_ANSWER` where two share it, or a score is NaN: whichever came first would be a hit by chance.
    """
    best = scores.argmax(-1)
    classes = scores.shape[-1]
    largest = scores.take(label_index(best, classes)).reshape(*best.shape, 1)
    less = scores < largest
    if np.count_nonzero(less) != best.size * (classes - 1):  # somewhere; looking at every row takes five times as long
        best = np.where(np.count_nonzero(less, axis=-1) == classes - 1, best, NO_ANSWER)
        best[np.isnan(largest[..., 0])] = NO_ANSWER
    return best


def need_classes(metric: Any, output_shape: Shape) -> None:
    """Refuse an output of one number a row, whose only class is always the answer."""
    if not output_shape or output_shape[-1] < 2:
        raise ShapeError(
            f"metric {metric.name!r}: an output {_shown(output_shape)} holds no classes to choose from. Use 'accuracy' "
            "or 'binary_accuracy', or give the last layer a unit for each class."
        )


def need_two(metric: Any, output_shape: Shape) -> None:
    """Refuse a threshold for more than two classes."""
    if output_shape[-1] != 2:
        raise ArgumentError(
            f"metric {metric.name!r}: a threshold tells yes from no, and an output {_shown(output_shape)} has "
            f"{output_shape[-1]} classes, of which the largest score is the answer. Leave the threshold out."
        )


def yes_or_no(metric: Any, threshold: float | None, scores: Array) -> tuple[Array, Array]:
    """Return where the answer is a yes, and where there is an answer at all: not where the score is NaN."""
    return scores > threshold_of(metric, threshold), scores == scores


def threshold_of(metric: Any, threshold: float | None) -> float:
    """Return above which output an answer is a yes: as given, or in the middle between the loss's yes and no."""
    return metric._decides_at if threshold is None else threshold


def require_threshold(metric: Any) -> None:
    """Refuse a field `threshold` that is no probability."""
    if metric.threshold is not None:
        advice = " Leave it out beside logits and hinges: the loss knows where they decide."
        metric.threshold = number(type(metric).__name__, "threshold", metric.threshold, "[0, 1]", advice)


def step_weights(weights: Array | None, shape: Shape) -> Array:
    """Return the weight of every entry of an array of `shape` (N, ...), flat, in double precision.

    Raises
    ------
    DataError
        If one is negative: what is counted or ranked has no share below nothing.
    """
    if weights is None:
        return np.ones(int(np.prod(shape)))
    weights = plain_array(weights, "weights").astype(np.float64, copy=False)
    if (weights < 0).any():
        raise DataError(
            "weights below 0 are for losses and means; a metric that counts or ranks takes none. Put it under "
            "metrics, not weighted_metrics."
        )
    column = weights.reshape(*weights.shape, *(1,) * (len(shape) - weights.ndim))
    return np.broadcast_to(column, shape).reshape(-1)


def lined_up(metric: Any, weights: Array, shape: Shape) -> Array:
    """Return weights for the first axes of an array of `shape`; one number is that of every entry."""
    if not weights.ndim or not shape:
        return np.broadcast_to(weights, shape)
    if weights.shape != shape[: weights.ndim]:
        raise ShapeError(
            f"metric {metric.name!r}: it gives values {shape}, and the weights are {weights.shape}. Give weights of "
            "samples, (N,), or put the metric under metrics, not weighted_metrics."
        )
    return weights


def _shown(shape: Shape) -> str:
    return f"(N, {', '.join(map(str, shape))})" if shape else "(N,)"
