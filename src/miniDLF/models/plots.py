"""Pictures of a model: its weights, activations, mistakes and predictions, and its graph as SVG."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from miniDLF.core.graph import Graph, Node
from miniDLF.errors import ArgumentError
from miniDLF.kernels.workspace import Array
from miniDLF.training.plots import figure

__all__ = ["Plots", "graph_svg", "plot_model"]


class Plots:
    """``model.plot.weights()``, ``.activations(x)``, ``.confusion(x, y)``, ``.predictions(x, y)``.

    Each returns a matplotlib figure, and saves it where `path` is given.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def weights(self, path: Any = None) -> Any:
        """Histograms of every parameter."""
        named = self._model.named_weights()
        if not named:
            raise ArgumentError("plot.weights: the model has no parameters.")
        drawing, panels = _grid(len(named), 3.0, 2.3)
        for axes, (name, value) in zip(panels, named.items(), strict=False):
            axes.hist(np.asarray(value).ravel(), bins=40, color="#4477aa")
            axes.set_title(f"{name} {value.shape}", fontsize=8)
            axes.tick_params(labelsize=7)
        return _saved(drawing, path)

    def activations(self, x: Array, layer: str | None = None, path: Any = None) -> Any:
        """What a layer gives for the first sample of `x`: the maps of an image layer, bars for a vector.

        Without `layer` the first layer with parameters is taken.
        """
        from miniDLF.models.model import Model  # it holds this class

        model = self._model
        graph: Graph = model.graph
        name = layer or next((graph.names[la] for la in graph.layers if la.parameters), graph.names[graph.layers[0]])
        node = next(n for n in graph.nodes if n.layer is model.get_layer(name))
        part = Model(graph.inputs, node, dtype=model.dtype, seed=model.seed)
        values = np.asarray(part.predict(np.asarray(x[:1], model.dtype)))[0]
        if values.ndim == 3:
            drawing, panels = _grid(len(values), 1.2, 1.2)
            for axes, image in zip(panels, values, strict=False):
                axes.imshow(image, cmap="gray")
                axes.set_axis_off()
        elif values.ndim == 2:
            drawing = figure(8, 4)
            axes = drawing.subplots()
            drawing.colorbar(axes.imshow(values.T, aspect="auto", cmap="coolwarm"))
            axes.set_xlabel("step")
            axes.set_ylabel("feature")
        else:
            drawing = figure(8, 3)
            drawing.subplots().bar(np.arange(values.size), values, color="#4477aa")
        drawing.suptitle(f"{name}: {values.shape}", fontsize=10)
        return _saved(drawing, path)

    def confusion(self, x: Array, y: Array, names: Any = None, path: Any = None) -> Any:
        """Counts of predicted against true classes."""
        truth, guess = _labels(y), _labels(self._model.predict(x))
        count = int(max(truth.max(), guess.max())) + 1
        table = np.zeros((count, count), dtype=np.int64)
        np.add.at(table, (truth.ravel(), guess.ravel()), 1)
        side = max(4.0, 0.5 * count)
        drawing = figure(side + 1, side)
        axes = drawing.subplots()
        shown = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        drawing.colorbar(axes.imshow(shown, cmap="Blues", vmin=0, vmax=1), label="share of the true class")
        ticks = [str(k) for k in range(count)] if names is None else list(names)
        axes.set_xticks(range(count), ticks)
        axes.set_yticks(range(count), ticks)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        if count <= 20:
            for (i, j), number in np.ndenumerate(table):
                colour = "white" if shown[i, j] > 0.5 else "black"
                axes.text(j, i, str(number), ha="center", va="center", fontsize=7, color=colour)
        return _saved(drawing, path)

    def predictions(self, x: Array, y: Array | None = None, count: int = 20, path: Any = None) -> Any:
        """Samples as pictures with what the model makes of them; mistakes are red."""
        x = np.asarray(x[:count])
        outputs = np.asarray(self._model.predict(x))
        images = _images(x)
        drawing, panels = _grid(len(x), 1.3, 1.6)
        for number, (axes, image) in enumerate(zip(panels, images, strict=False)):
            axes.imshow(image, cmap="gray")
            axes.set_axis_off()
            guess = int(np.argmax(outputs[number]))
            if y is None:
                axes.set_title(f"{guess}", fontsize=9)
                continue
            truth = int(_labels(np.asarray(y[: number + 1]))[-1])
            right = guess == truth
            axes.set_title(
                f"{guess}" if right else f"{guess}, not {truth}", fontsize=9, color="black" if right else "red"
            )
        return _saved(drawing, path)


def _grid(count: int, width: float, height: float) -> tuple[Any, list[Any]]:
    columns = min(count, max(4, math.ceil(math.sqrt(count))))
    rows = math.ceil(count / columns)
    drawing = figure(max(width * columns, 3), height * rows + 0.4)
    panels = list(drawing.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[count:]:
        axes.set_visible(False)
    return drawing, panels


def _saved(drawing: Any, path: Any) -> Any:
    if path is not None:
        drawing.savefig(path, dpi=120)
    return drawing


def _labels(y: Array) -> Array:
    y = np.asarray(y)
    if y.ndim > 1 and y.shape[-1] > 1:
        return np.argmax(y, axis=-1)
    if y.dtype.kind == "f" and y.ndim > 1:
        return (y[..., 0] >= 0.5).astype(np.int64)
    return y.astype(np.int64)


def _images(x: Array) -> Array:
    """Return samples as pictures: (N, 1 or 3, H, W), or vectors of a square number of values."""
    if x.ndim == 4:
        return x[:, 0] if x.shape[1] != 3 else np.moveaxis(x, 1, -1)
    side = math.isqrt(x.shape[1]) if x.ndim == 2 else 0
    if x.ndim == 2 and side * side == x.shape[1]:
        return x.reshape(-1, side, side)
    raise ArgumentError(f"plot.predictions: samples of shape {x.shape[1:]} are not pictures.")


# The graph as SVG -----------------------------------------------------------------------------------------------------

_BOX, _GAP_X, _GAP_Y = (210, 44), 26, 34


def plot_model(model: Any, path: Any = "model.svg") -> str:
    """Draw the graph of a model to an SVG file, with nothing but Python; return the SVG text."""
    text = graph_svg(model.graph)
    Path(path).write_text(text, encoding="utf-8")
    return text


def graph_svg(graph: Graph) -> str:
    """Return the graph as SVG: a box a node, inputs above, data flowing down."""
    nodes: list[Node] = [*graph.inputs, *graph.nodes]
    depth: dict[Node, int] = {}
    for node in nodes:
        depth[node] = 1 + max((depth[source] for source in node.inputs), default=-1)
    ranks: dict[int, list[Node]] = {}
    for node in nodes:
        ranks.setdefault(depth[node], []).append(node)
    widest = max(len(rank) for rank in ranks.values())
    width = widest * (_BOX[0] + _GAP_X) + _GAP_X
    height = len(ranks) * (_BOX[1] + _GAP_Y) + _GAP_Y
    corner = {
        node: (
            (width - len(rank) * (_BOX[0] + _GAP_X) + _GAP_X) / 2 + place * (_BOX[0] + _GAP_X),
            _GAP_Y / 2 + level * (_BOX[1] + _GAP_Y),
        )
        for level, rank in ranks.items()
        for place, node in enumerate(rank)
    }
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="3" orient="auto">'
        '<path d="M0,0 L7,3 L0,6 z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for node in nodes:
        x, y = corner[node]
        for source in node.inputs:
            from_x, from_y = corner[source][0] + _BOX[0] / 2, corner[source][1] + _BOX[1]
            to_x, bend = x + _BOX[0] / 2, _GAP_Y / 2
            parts.append(
                f'<path d="M{from_x},{from_y} C{from_x},{from_y + bend} {to_x},{y - bend} {to_x},{y}" fill="none" '
                'stroke="#555" marker-end="url(#tip)"/>'
            )
    for node in nodes:
        parts.append(_box(graph, node, *corner[node]))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(graph: Graph, node: Node, x: float, y: float) -> str:
    layer = node.layer
    if layer is None:
        title, detail, colour = node.name or "input", "Input", "#e8e8e8"
    else:
        count = sum(parameter.size for parameter in layer.parameters)
        title, detail = graph.names[layer], type(layer).__name__
        colour = "#cfe2f3" if count else "#f6f6f6"
        if count:
            detail += f", {count:,} parameters" + ("" if layer.trainable else ", frozen")
    shape = "x".join(map(str, node.shape))
    return (
        f'<g><rect x="{x}" y="{y}" width="{_BOX[0]}" height="{_BOX[1]}" rx="6" fill="{colour}" stroke="#888"/>'
        f'<text x="{x + 8}" y="{y + 18}" font-weight="bold">{escape(title)}</text>'
        f'<text x="{x + _BOX[0] - 8}" y="{y + 18}" text-anchor="end" fill="#333">{escape(shape)}</text>'
        f'<text x="{x + 8}" y="{y + 35}" fill="#555">{escape(detail)}</text></g>'
    )
