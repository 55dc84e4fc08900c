"""A model's graph as a picture of pixels: the layout of `miniDLF.models.drawing`, painted by matplotlib."""

from __future__ import annotations

from typing import Any

from miniDLF.core.graph import Graph
from miniDLF.errors import import_extra
from miniDLF.models.drawing import LINE, laid_out, path_of, texts
from miniDLF.training.plots import figure

__all__ = ["paint"]

#: Pixels of the layout in an inch, and of the file in one of the layout's.
SCALE, SHARPNESS = 100, 2
#: Points of the letters: matplotlib's own font is wider than the one that the layout reckons with.
LETTERS = 7.6


def paint(graph: Graph, path: Any) -> None:
    """Draw the graph to a file, twice as sharp as the SVG is at its natural size."""
    patches = import_extra("matplotlib.patches", "plots", "plot_model to this kind of file")
    paths = import_extra("matplotlib.path", "plots", "plot_model to this kind of file")
    layout = laid_out(graph)
    drawing = figure(layout.width / SCALE, layout.height / SCALE)
    drawing.set_layout_engine("none")
    axes = drawing.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, layout.width)
    axes.set_ylim(layout.height, 0)
    axes.set_axis_off()
    codes = {"M": [paths.Path.MOVETO], "L": [paths.Path.LINETO], "C": [paths.Path.CURVE4] * 3}
    for box in layout.boxes:
        for upper in box.above:
            way = path_of(box, upper)
            points = [point for _, some in way for point in some]
            line = paths.Path(points, [code for kind, _ in way for code in codes[kind]])
            axes.add_patch(patches.PathPatch(line, fill=False, edgecolor="#555", linewidth=0.8))
            tip = [(box.x - 3, box.y - 7), (box.x + 3, box.y - 7), (box.x, box.y)]
            axes.add_patch(patches.Polygon(tip, facecolor="#555", linewidth=0))
    for box in layout.boxes:
        title, shape, lines, colour = texts(graph, box.node)  # type: ignore[arg-type]
        left, right = box.x - box.width / 2, box.x + box.width / 2
        corner = {"boxstyle": "round,pad=0,rounding_size=6", "linewidth": 0.7}
        rectangle = patches.FancyBboxPatch((left, box.y), box.width, box.height, fc=colour, ec="#888", **corner)
        axes.add_patch(rectangle)
        style = {"fontsize": LETTERS, "parse_math": False}
        axes.text(left + 8, box.y + 19, title, weight="bold", **style)
        axes.text(right - 8, box.y + 19, shape, color="#333", ha="right", **style)
        for number, words in enumerate(lines, 1):
            axes.text(left + 8, box.y + 19 + LINE * number, words, color="#555", **style)
    drawing.savefig(path, dpi=SCALE * SHARPNESS)
