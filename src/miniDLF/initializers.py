"""Initial values of parameters."""

from miniDLF.core.configurable import as_config
from miniDLF.core.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    Initializer,
    LecunNormal,
    LecunUniform,
    Normal,
    Ones,
    Orthogonal,
    RandomInitializer,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    Uniform,
    VarianceScaling,
    Zeros,
    get_initializer,
)
from miniDLF.names import names_of_keras

get = deserialize = get_initializer
serialize = as_config

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Normal",
    "Ones",
    "Orthogonal",
    "RandomInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "Zeros",
    "deserialize",
    "get",
    "get_initializer",
    "serialize",
]

__getattr__ = names_of_keras(__name__)
