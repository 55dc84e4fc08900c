"""Layers."""

from __future__ import annotations

from miniDLF.core.layer import Layer
from miniDLF.layers.activations import (
    ELU,
    GELU,
    Activation,
    Linear,
    ReLU,
    Sigmoid,
    Softmax,
    Softplus,
    Swish,
    Tanh,
)
from miniDLF.layers.dense import Dense
from miniDLF.layers.derived import DerivedLayer
from miniDLF.layers.merging import Add, Average, Concatenate, Dot, Maximum, Multiply, Subtract
from miniDLF.layers.normalization import BatchNormalization
from miniDLF.layers.shaping import Dropout, Flatten, Reshape

__all__ = [
    "ELU",
    "GELU",
    "Activation",
    "Add",
    "Average",
    "BatchNormalization",
    "Concatenate",
    "Dense",
    "DerivedLayer",
    "Dot",
    "Dropout",
    "Flatten",
    "Layer",
    "Linear",
    "Maximum",
    "Multiply",
    "ReLU",
    "Reshape",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Subtract",
    "Swish",
    "Tanh",
]

#: The closed registry by which files name layers.
CHOICES: dict[str, type[Layer]] = {name: globals()[name] for name in __all__ if name not in ("Layer", "DerivedLayer")}
