"""Activations as functions of tensors, under Keras' names: those of `miniDLF.ops`, and how they go by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from miniDLF.errors import ArgumentTypeError, UnknownNameError, nearest
from miniDLF.names import names_of_keras
from miniDLF.ops import (
    celu,
    elu,
    exponential,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    leaky_relu,
    linear,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    swish,
    tanh,
    tanh_shrink,
    threshold,
)

__all__ = [
    "celu", "deserialize", "elu", "exponential", "gelu", "get", "glu", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu",
    "serialize", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid",
    "sparsemax", "squareplus", "swish", "tanh", "tanh_shrink", "threshold",
]  # fmt: skip

_NAMES = [name for name in __all__ if name not in ("deserialize", "get", "serialize")]


def get(identifier: Any) -> Callable[..., Any]:
    """Return the activation that a name means; a function is itself, ``None`` is `linear`.

    Raises
    ------
    UnknownNameError
        If no activation has the name.
    ArgumentTypeError
        If `identifier` is no name and no function.
    """
    if identifier is None:
        return linear
    if callable(identifier):
        return identifier
    if not isinstance(identifier, str):
        raise ArgumentTypeError(f"activation: expected a name or a function of tensors, received {identifier!r}.")
    if identifier not in _NAMES:
        raise UnknownNameError(
            f"unknown activation {identifier!r}; choose from {', '.join(_NAMES)}.{nearest(identifier, _NAMES)}"
        )
    function: Callable[..., Any] = globals()[identifier]
    return function


def serialize(activation: Callable[..., Any]) -> str:
    """Return the name of an activation of this module, as a configuration holds it.

    Raises
    ------
    ArgumentTypeError
        If it is another function: no file holds code.
    """
    for name in _NAMES:
        if globals()[name] is activation:
            return name
    raise ArgumentTypeError(
        f"activation: {getattr(activation, '__name__', activation)!r} is none of miniDLF.activations, and no file "
        "holds functions. Give the layer a method for it, or one of the names."
    )


def deserialize(config: Any, custom_objects: Mapping[str, Callable[..., Any]] | None = None) -> Callable[..., Any]:
    """Return the activation that `serialize` named; `custom_objects` are functions of one's own by name."""
    own = dict(custom_objects or {})
    return own[config] if isinstance(config, str) and config in own else get(config)


__getattr__ = names_of_keras(__name__)
