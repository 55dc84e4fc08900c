"""Weights of the loss by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError
from miniDLF.kernels.workspace import Array, Shape

__all__ = ["class_weights"]


def class_weights(class_weight: Mapping[int, float], target: Array, loss: Any, output_shape: Shape) -> Array:
    """Return the weight of each sample's class; classes that are not named count 1.

    Parameters
    ----------
    class_weight
        From classes, as the targets hold them, to weights.
    target, loss, output_shape
        Encoded targets, the loss that encoded them, and the shape of a prediction.
    """
    if not isinstance(class_weight, Mapping):
        raise ArgumentTypeError(
            "class_weight: expected a dictionary from classes to weights, such as {0: 1.0, 1: 2.0}; received "
            f"{class_weight!r}. Weights that balance the classes are len(y) / (classes * count of the class)."
        )
    labels = _labels(target, loss)
    if loss.classifies == "categorical":
        least, most = 0.0, output_shape[-1] - 1.0
    else:
        least, most = loss.target_range if target.size == len(target) else (0.0, target.shape[1] - 1.0)
    named = {_class(label, least, most): _weight(label, weight) for label, weight in class_weight.items()}
    first = min(int(labels.min()), *named, 0)
    table = np.ones(max(int(labels.max()), *named, 0) - first + 1)
    for label, weight in named.items():
        table[label - first] = weight
    result: Array = table[labels - first]
    return result


def _labels(target: Array, loss: Any) -> Array:
    """Return the class of each sample, as a whole number."""
    if target.ndim > 2:
        raise ArgumentError("class_weight needs one class a sample; use sample_weight for sequences or images.")
    if target.ndim == 2 and target.shape[1] > 1:
        if (
            loss.classifies != "categorical"
            and not ((target.max(axis=1) == 1) & (np.abs(target).sum(axis=1) == 1)).all()
        ):
            raise DataError(
                "class_weight needs one class a sample, and the targets are no one-hot rows; use sample_weight."
            )
        return np.argmax(target, axis=1)
    labels = target.reshape(-1)
    whole = labels.astype(np.int64)
    if (whole != labels).any():
        raise DataError(
            f"class_weight needs classes, and the targets are numbers such as {labels[whole != labels][0]:g}; use "
            "sample_weight."
        )
    return whole


def _class(label: Any, least: float, most: float) -> int:
    whole = isinstance(label, int | float | np.number) and float(label).is_integer()
    if not whole or not least <= label <= most:
        span = f"from {least:g} to {most:g} " if most < np.inf else ""
        raise ArgumentError(f"class_weight: the classes are whole numbers {span}here, received {label!r}.")
    return int(label)


def _weight(label: Any, weight: Any) -> float:
    if not isinstance(weight, int | float | np.number) or not 0 <= weight < np.inf:
        raise ArgumentError(
            f"class_weight: weights are finite numbers and not negative; that of class {label} is {weight!r}."
        )
    return float(weight)
