"""Programs in an interpreter of their own."""

from __future__ import annotations

import os
import subprocess
import sys

__all__ = ["said"]


def said(program: str, **environment: str) -> str:
    """Run Python code with variables of the environment; return what it wrote to both streams."""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout + ran.stderr
