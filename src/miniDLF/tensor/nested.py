"""Values in nested tuples, lists and dicts: taken out, and put back."""

from __future__ import annotations

from typing import Any

__all__ = ["flatten", "unflatten"]


def flatten(value: Any) -> tuple[list[Any], Any]:
    """Return the values in nested tuples, lists and dicts, and what is left when they are taken out."""
    if isinstance(value, dict):
        parts = {key: flatten(one) for key, one in value.items()}
        return [leaf for flat, _ in parts.values() for leaf in flat], (
            "dict",
            {key: structure for key, (_, structure) in parts.items()},
        )
    if isinstance(value, (list, tuple)):
        items = [flatten(one) for one in value]
        kind = "list" if isinstance(value, list) else "tuple"
        return [leaf for flat, _ in items for leaf in flat], (kind, [structure for _, structure in items])
    return ([], ("none", None)) if value is None else ([value], ("leaf", None))


def unflatten(structure: Any, values: Any) -> Any:
    """Put `values`, in order, into what `flatten` left."""
    rest = iter(values)

    def build(part: Any) -> Any:
        kind, inner = part
        if kind == "leaf":
            return next(rest)
        if kind == "none":
            return None
        if kind == "dict":
            return {key: build(one) for key, one in inner.items()}
        made = [build(one) for one in inner]
        return made if kind == "list" else tuple(made)

    return build(structure)
