"""What changes the result of a run besides its checkpoint: the optimizer, the loss, the layers, the batches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from miniDLF.core.configurable import Configurable
from miniDLF.whole import is_real

__all__ = ["differences", "settings_of"]

#: What tells one process' objects from another's, and nothing about them.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_LAYER = "layer "
#: Arguments of layers that matter before the first step only.
_BEFORE = re.compile(r".*initializer|input_shape|name")


def settings_of(model: Any, data: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of a run as texts by name; `data` describes its batches (``feed.described()``)."""
    engine = model.engine()
    result = {"optimizer": _text(model.optimizer, without_rate=True)}
    many = len(engine.heads) > 1
    for head in engine.heads:
        result[f"loss of {head.name}" if many else "loss"] = _text(head.loss)
        result[f"loss_weight of {head.name}" if many else "loss_weight"] = f"{head.weight:g}"
    result.update({_LAYER + name: _text(layer) for layer, name in model.graph.names.items()})
    result["dtype"] = str(model.dtype)
    result["shards"] = str(model.shards)
    result.update({name: str(value) for name, value in data.items()})
    return result


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what has changed between two runs, each as ``"batch_size was 16 and is 32"``.

    Layers that only one of them has are named too: those without weights, others make it another model. Other settings
    that are missing are those of an earlier version.
    """
    changed = [
        f"{name} was {before[name]} and is {now[name]}" for name in before if name in now and before[name] != now[name]
    ]
    gone = [f"{name} is gone" for name in before if name.startswith(_LAYER) and name not in now]
    new = [f"{name}, {now[name]}, is new" for name in now if name.startswith(_LAYER) and name not in before]
    return [*changed, *gone, *new]


def _text(value: Any, without_rate: bool = False) -> str:
    """Describe an object by its arguments: a learning rate that is a number is told apart from the rest."""
    if isinstance(value, Configurable):
        try:
            names = list(value.config())
        except (AttributeError, TypeError, ValueError):  # of one's own, which does not keep its arguments
            return type(value).__name__
        inside = []
        for name in names:
            part = getattr(value, name)
            if _BEFORE.fullmatch(name) or (without_rate and name == "lr" and is_real(part)):
                continue
            inside.append(f"{name}={_text(part, without_rate)}")
        return f"{type(value).__name__}({', '.join(inside)})"
    if isinstance(value, set | frozenset):  # whose order is another one in every process
        return f"{{{', '.join(sorted(_text(item) for item in value))}}}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_text(item, without_rate)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(item, without_rate) for item in value)}]"
    return _ADDRESS.sub("", repr(value))
