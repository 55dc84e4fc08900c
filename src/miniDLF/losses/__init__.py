"""Losses: value and gradient of one formula each."""

from miniDLF.losses.base import ElementwiseLoss, Loss
from miniDLF.losses.binary import BinaryCrossentropy, BinaryFocalCrossentropy
from miniDLF.losses.choices import CHOICES as CHOICES
from miniDLF.losses.choices import get_loss
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
from miniDLF.names import names_of_keras

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "ElementwiseLoss",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "get_loss",
]

__getattr__ = names_of_keras(__name__)
