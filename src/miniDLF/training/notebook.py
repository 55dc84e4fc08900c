"""Whether the code runs in a notebook."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["in_notebook"]


def in_notebook() -> bool:
    """Say whether a notebook's kernel runs this code; a package that is merely imported is none."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
