"""How a confusion and the filters of a convolution are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from miniDLF.kernels.workspace import Array
from miniDLF.training.plots import figure

__all__ = ["FILTERS", "draw_confusion", "draw_filters"]

#: Filters, and channels of each, that are drawn at the most where every channel has a picture.
FILTERS = 16
#: Classes up to which the counts are written into the picture of a confusion.
WRITTEN = 20


def draw_confusion(table: Array, names: Sequence[Any]) -> Any:
    """Return the drawing of counts (true, predicted): hits in grey, mistakes in red by share of the class."""
    count = len(table)
    side = max(4.0, 0.5 * count)
    drawing = figure(side + 1.2, side)
    axes = drawing.subplots()
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    hits = np.eye(count, dtype=bool)
    mistakes = share[~hits]
    most = max(float(mistakes.max()), 1e-9) if mistakes.size else 1.0
    axes.imshow(np.where(hits, share, np.nan), cmap="Greys", vmin=0, vmax=2.2)
    shown = axes.imshow(np.where(hits, np.nan, share), cmap="Reds", vmin=0, vmax=most)
    bar = drawing.colorbar(shown, format=_percent, shrink=0.9)
    bar.set_label("mistakes, as a share of the true class")
    axes.set_xticks(range(count), names)
    axes.set_yticks(range(count), names)
    if max(len(str(name)) for name in names) > 3:
        axes.tick_params(axis="x", labelrotation=45)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    right, total = int(np.trace(table)), int(table.sum())
    axes.set_title(f"{right} of {total} right, {total - right} wrong", fontsize=10)
    if count <= WRITTEN:
        for (i, j), number in np.ndenumerate(table):
            if i == j:
                style = {"color": "black", "weight": "bold"}
            else:
                style = {"color": "white" if share[i, j] > 0.6 * most else "black" if number else "#bbbbbb"}
            axes.text(j, i, str(number), ha="center", va="center", fontsize=8, **style)
    return drawing


def _percent(value: float, place: Any = None) -> str:
    return f"{100 * value:.3g}%"


def draw_filters(axes: Any, weight: Array) -> None:
    """Draw the filters of a convolution, (filters, channels, height, width), as one picture with lines between them."""
    filters, channels = weight.shape[:2]
    span = float(np.abs(weight).max()) or 1.0
    if channels == 3:
        columns = math.ceil(math.sqrt(filters))
        tiles = np.moveaxis(weight, 1, -1) / (2 * span) + 0.5  # (filters, height, width, red green blue)
        axes.imshow(_mosaic(tiles, columns, 1.0))
        note = ""
    else:
        if channels == 1:
            columns, tiles, note = math.ceil(math.sqrt(filters)), weight[:, 0], ""
        else:
            columns = min(channels, FILTERS)
            tiles = weight[:FILTERS, :columns].reshape(-1, *weight.shape[2:])
            cut = filters > FILTERS or channels > FILTERS
            note = f"channels ({columns} of {channels}); rows: filters ({min(filters, FILTERS)} of {filters})"
            note = note if cut else "channels; rows: filters"
        axes.imshow(np.ma.masked_invalid(_mosaic(tiles, columns, np.nan)), cmap="RdBu_r", vmin=-span, vmax=span)
    axes.set_facecolor("#cccccc")  # of the lines between
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(note, fontsize=7)
    for side in axes.spines.values():
        side.set_visible(False)


def _mosaic(tiles: Array, columns: int, between: float) -> Array:
    """Return one array with the tiles (count, height, width, ...) in rows of so many, and lines of `between` around."""
    count, height, width = tiles.shape[:3]
    rows = math.ceil(count / columns)
    picture = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, *tiles.shape[3:]), between)
    for number, tile in enumerate(tiles):
        down, across = divmod(number, columns)
        top, left = down * (height + 1) + 1, across * (width + 1) + 1
        picture[top : top + height, left : left + width] = tile
    return picture
