"""The figure that all plots return. It needs matplotlib, so `miniDLF.training.plots.figure` imports it when asked."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

__all__ = ["Drawing"]


class Drawing(Figure):
    """A matplotlib figure that belongs to nobody (no window, no global state) and that a notebook shows as a picture.

    A plain `Figure` shows itself only where ``matplotlib.pyplot`` has set the notebook up.
    """

    def _repr_png_(self) -> bytes:
        """Return the picture, for notebooks."""
        memory = io.BytesIO()
        self.savefig(memory, format="png", dpi=100)
        return memory.getvalue()
