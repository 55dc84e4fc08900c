"""Layers."""

from __future__ import annotations

from miniDLF.core.layer import Layer
from miniDLF.core.operations import Operation
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
from miniDLF.layers.convolution import Conv2D
from miniDLF.layers.dense import Dense
from miniDLF.layers.in_tensors import DerivedLayer, Lambda
from miniDLF.layers.merging import Add, Average, Concatenate, Dot, Maximum, Multiply, Subtract
from miniDLF.layers.normalization import BatchNormalization
from miniDLF.layers.pooling import GlobalAveragePooling2D, Pooling2D, UpSampling2D
from miniDLF.layers.recurrent import GRU, LSTM, RNN
from miniDLF.layers.shaping import Dropout, Flatten, Reshape
from miniDLF.names import names_of_keras

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "Add",
    "Average",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Dense",
    "DerivedLayer",
    "Dot",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "Lambda",
    "Layer",
    "Linear",
    "Maximum",
    "Multiply",
    "Operation",
    "Pooling2D",
    "ReLU",
    "Reshape",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Subtract",
    "Swish",
    "Tanh",
    "UpSampling2D",
]

#: The closed registry by which files name layers.
CHOICES: dict[str, type[Layer]] = {
    name: globals()[name] for name in __all__ if name not in ("Layer", "DerivedLayer", "Lambda")
}

__getattr__ = names_of_keras(__name__)
