"""Conditions on the values of parameters."""

from collections.abc import Mapping
from typing import Any

from miniDLF.core.configurable import as_config, from_config
from miniDLF.core.constraints import (
    Constraint,
    MaxNorm,
    NonNeg,
    UnitNorm,
    get_constraint,
)
from miniDLF.names import names_of_keras

__all__ = [
    "Constraint",
    "MaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "get_constraint",
    "serialize",
]


def get(identifier: Any) -> Any:
    """Return a constraint by its name or its configuration; one that is made already is itself."""
    return get_constraint(identifier)


def serialize(constraint: Any) -> Any:
    """Return the configuration of a constraint, with its class."""
    return as_config(constraint)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the constraint that `serialize` described; `custom_objects` are classes of one's own by name."""
    own = dict(custom_objects or {})
    if isinstance(config, Mapping) and config.get("class") in own:
        return from_config(config, own, "constraint")
    return get_constraint(config)


__getattr__ = names_of_keras(__name__)
