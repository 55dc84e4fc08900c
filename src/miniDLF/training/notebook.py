"""Whether the code runs in a notebook, or in a Python that shows results by itself."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["in_notebook", "interactive"]


def in_notebook() -> bool:
    """Say whether a notebook's kernel runs this code; a package that is merely imported is none."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def interactive() -> bool:
    """Say whether whoever called shows the value of a line by itself, as a notebook and Python's prompt do."""
    return hasattr(sys, "ps1") or in_notebook()
