"""Pictures of a model: its weights, activations, mistakes and predictions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from miniDLF.core.graph import Graph
from miniDLF.errors import ArgumentError
from miniDLF.kernels.workspace import Array
from miniDLF.training.plots import figure

__all__ = ["Plots"]


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
        wanted = model.get_layer(name)
        found = [n for n in graph.nodes if wanted in (n.layer, n.host)]
        node = found[1] if found[1:] and found[1].host is wanted else found[0]  # with the activation it brought along
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
        outputs = np.asarray(self._model.predict(x))
        truth, guess = _labels(y), _labels(outputs)
        if truth.shape != guess.shape:
            raise ArgumentError(
                f"plot.confusion: expected a class a sample, {guess.shape}, received targets {np.shape(y)}. It is for "
                "models that classify."
            )
        count = max(outputs.shape[-1] if outputs.ndim > 1 else 2, 2, int(truth.max()) + 1)
        if names is not None and len(names) != count:
            raise ArgumentError(f"plot.confusion: names: expected {count}, one a class; received {len(names)}.")
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
        images = _images(x)
        outputs = np.asarray(self._model.predict(x))
        if outputs.ndim != 2:
            raise ArgumentError(
                f"plot.predictions: expected a model that gives classes, received outputs of shape {outputs.shape[1:]}."
            )
        guesses = _labels(outputs)
        drawing, panels = _grid(len(x), 1.3, 1.6)
        for number, (axes, image) in enumerate(zip(panels, images, strict=False)):
            axes.imshow(image, cmap="gray")
            axes.set_axis_off()
            guess = int(guesses[number])
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
