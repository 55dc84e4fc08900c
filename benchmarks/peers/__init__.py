"""The frameworks that are compared, one module each."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["OURS", "PEERS", "WITH_CALLBACKS", "load"]

#: Ours first, then the order of the report's columns.
OURS = "minidlf"
PEERS = (OURS, "torch_eager", "torch_compile", "jax_jit", "keras_jax")
#: Ours again, with metrics and callbacks; never a peer of itself.
WITH_CALLBACKS = "minidlf_callbacks"


def load(name: str) -> Any:
    """Import a peer's module; the framework itself is only imported by its ``start``."""
    return importlib.import_module(f"benchmarks.peers.{name}")
