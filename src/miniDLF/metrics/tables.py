"""The table that a confusion matrix is: an array that prints itself with its classes."""

from __future__ import annotations

import numpy as np

from miniDLF.kernels.workspace import Array

__all__ = ["ConfusionTable"]


class ConfusionTable(np.ndarray):
    """Counts (true classes, predicted classes), or shares of them; ``np.asarray(table)`` is a plain array.

    It prints itself, in a program as at a prompt, with a row a true class; parts of it print as arrays do.
    """

    def __repr__(self) -> str:
        plain: Array = np.asarray(self)
        if plain.ndim != 2 or plain.shape[0] != plain.shape[1]:
            return repr(plain)
        whole = bool((plain == np.floor(plain)).all())
        cells = [[f"{number:.0f}" if whole else f"{number:.3f}" for number in row] for row in plain.tolist()]
        names = [str(name) for name in range(len(cells))]
        width = max(len(text) for row in [names, *cells] for text in row) + 2
        corner = "true \\ predicted"
        lines = [(corner, names), *zip(names, cells, strict=True)]
        return "\n".join(f"{name:>{len(corner)}}" + "".join(f"{text:>{width}}" for text in row) for name, row in lines)

    __str__ = __repr__
