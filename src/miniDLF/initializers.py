"""Initial values of parameters."""

from collections.abc import Mapping
from typing import Any

from miniDLF.core.configurable import as_config, from_config
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


def get(identifier: Any) -> Any:
    """Return an initializer by its name or its configuration; one that is made already is itself."""
    return get_initializer(identifier)


def serialize(initializer: Any) -> Any:
    """Return the configuration of an initializer, with its class."""
    return as_config(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the initializer that `serialize` described; `custom_objects` are classes of one's own by name."""
    own = dict(custom_objects or {})
    if isinstance(config, Mapping) and config.get("class") in own:
        return from_config(config, own, "initializer")
    return get_initializer(config)


__getattr__ = names_of_keras(__name__)
