"""Crossentropies of one's own steps and losses, under Keras' names: one number for each prediction."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.errors import ShapeError
from miniDLF.ops.activations import log, log_softmax, softplus
from miniDLF.ops.arguments import axis_of, cast, floating
from miniDLF.tensor.tensor import Tensor, as_tensor

__all__ = ["binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"]

#: Probabilities lie that far from 0 and 1 at least, as in Keras.
EPSILON = 1e-7


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Tensor:
    """Return ``-t log p - (1 - t) log(1 - p)``, element by element; `output` are p, or their logits."""
    target, output = floating(target, output)
    _same("binary_crossentropy", target, output)
    if from_logits:  # of log p = -softplus(-z) and log(1 - p) = -softplus(z)
        return softplus(output) - target * output
    p = np.clip(output, EPSILON, 1 - EPSILON)
    return -(target * log(p) + (1 - target) * log(1 - p))


def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Tensor:
    """Return ``-sum of t log p`` along `axis`; `output` are p, which are divided by their sum, or their logits."""
    target, output = floating(target, output)
    _same("categorical_crossentropy", target, output)
    return -np.sum(target * _log_probabilities(output, from_logits, axis), axis=axis)


def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Tensor:
    """Return ``-log p`` of the class that `target` says, whole numbers in the shape of `output` without `axis`."""
    output, target = floating(output), as_tensor(target)
    place = axis_of("sparse_categorical_crossentropy", axis, output.ndim)
    if target.ndim == output.ndim and target.shape[-1] == 1:
        target = np.squeeze(target, -1)
    expected = tuple(n for i, n in enumerate(output.shape) if i != place)
    if target.shape != expected:
        raise ShapeError(
            f"sparse_categorical_crossentropy: expected classes of shape {expected} for predictions of shape "
            f"{output.shape}, received {target.shape}."
        )
    places = np.expand_dims(cast(target, np.intp), place)
    found: Tensor = np.take_along_axis(_log_probabilities(output, from_logits, place), places, axis=place)
    return -np.squeeze(found, place)


def _log_probabilities(output: Tensor, from_logits: bool, axis: int) -> Tensor:
    if from_logits:
        return log_softmax(output, axis)
    return log(np.clip(output / np.sum(output, axis=axis, keepdims=True), EPSILON, 1 - EPSILON))


def _same(name: str, target: Tensor, output: Tensor) -> None:
    if target.shape != output.shape:
        raise ShapeError(
            f"{name}: expected targets and predictions of one shape, received {target.shape} and {output.shape}."
        )
