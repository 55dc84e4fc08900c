"""Penalties on the values of parameters."""

from collections.abc import Mapping
from typing import Any

from miniDLF.core.configurable import as_config, from_config
from miniDLF.core.regularizers import (
    L1,
    L1L2,
    L2,
    OrthogonalRegularizer,
    Regularizer,
    get_regularizer,
)
from miniDLF.names import names_of_keras

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "get_regularizer",
    "serialize",
]


def get(identifier: Any) -> Any:
    """Return a regularizer by its name or its configuration; one that is made already is itself."""
    return get_regularizer(identifier)


def serialize(regularizer: Any) -> Any:
    """Return the configuration of a regularizer, with its class."""
    return as_config(regularizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the regularizer that `serialize` described; `custom_objects` are classes of one's own by name."""
    own = dict(custom_objects or {})
    if isinstance(config, Mapping) and config.get("class") in own:
        return from_config(config, own, "regularizer")
    return get_regularizer(config)


__getattr__ = names_of_keras(__name__)
