"""The names of losses: the specification's, Keras', and the names of the classes."""

from __future__ import annotations

from typing import Any

from miniDLF.core.configurable import resolve
from miniDLF.losses.base import FunctionLoss, Loss
from miniDLF.losses.binary import BinaryCrossentropy, BinaryFocalCrossentropy
from miniDLF.losses.crossentropy import CategoricalCrossentropy, KLDivergence, SparseCategoricalCrossentropy
from miniDLF.losses.focal import CategoricalFocalCrossentropy
from miniDLF.losses.margins import CategoricalHinge, Hinge, SquaredHinge
from miniDLF.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
)

__all__ = ["CHOICES", "get_loss"]

CHOICES: dict[str, type[Loss]] = {
    "mse": MeanSquaredError,
    "cce": CategoricalCrossentropy,
    "bce": BinaryCrossentropy,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
    "mean_squared_error": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
    "huber": Huber,
    "log_cosh": LogCosh,
    "poisson": Poisson,
    "cosine_similarity": CosineSimilarity,
    "hinge": Hinge,
    "squared_hinge": SquaredHinge,
    "categorical_hinge": CategoricalHinge,
    "kl_divergence": KLDivergence,
    "kld": KLDivergence,
    "kullback_leibler_divergence": KLDivergence,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "scce": SparseCategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "binary_focal_crossentropy": BinaryFocalCrossentropy,
    "categorical_focal_crossentropy": CategoricalFocalCrossentropy,
}


def get_loss(value: Any) -> Loss:
    """Return the loss that `value` is, names or describes.

    A function ``f(y_true, y_pred)`` of tensors is a loss as well.
    """
    if callable(value) and not isinstance(value, Loss | type):
        return FunctionLoss(value)
    return resolve(value, CHOICES, "loss", Loss)
