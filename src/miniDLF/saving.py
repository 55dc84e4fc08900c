"""What marks classes of one's own that files may name, under Keras' name for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from miniDLF.names import names_of_keras

__all__ = ["register_keras_serializable"]

T = TypeVar("T")


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
    """Let `models.load` find the decorated class without `custom_objects`, by its own name and module.

    Nothing is executed for a file but classes that were marked so, or handed over. Functions are returned as they are.

    Parameters
    ----------
    package, name
        What the class goes by in Keras' files.
    """

    def register(thing: T) -> T:
        if isinstance(thing, type):
            thing._registered_as = f"{package}>{name or thing.__name__}"  # type: ignore[attr-defined]
        return thing

    return register


__getattr__ = names_of_keras(__name__)
