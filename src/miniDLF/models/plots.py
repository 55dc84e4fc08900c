"""Pictures of a model: its weights, activations, mistakes and predictions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from miniDLF.arrays import plain_array
from miniDLF.core.graph import Graph
from miniDLF.errors import ArgumentError
from miniDLF.kernels.workspace import Array
from miniDLF.models.model import Model
from miniDLF.models.pictures import draw_confusion, draw_filters
from miniDLF.training.plots import figure, whole_numbers

__all__ = ["Plots"]


class Plots:
    """``model.plot.weights()``, ``.activations(x)``, ``.confusion(x, y)``, ``.predictions(x, y)``.

    Each returns a matplotlib figure, and saves it where `path` is given.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def weights(self, path: Any = None) -> Any:
        """Every parameter: the filters of a convolution as pictures, all others as histograms.

        Filters of one or three channels are shown side by side; of other filters a row each, with a picture a channel,
        the first `FILTERS` of both. Blue is negative, red positive, white 0; three channels are red, green and blue.
        """
        named = self._model.named_weights()
        if not named:
            raise ArgumentError("plot.weights: the model has no parameters. Add a layer that has some, such as Dense.")
        drawing, panels = _grid(len(named), 3.2, 2.6)
        for axes, (name, value) in zip(panels, named.items(), strict=False):
            axes.set_title(f"{name} {value.shape}", fontsize=8)
            if value.ndim == 4 and value[0, 0].size > 1:
                draw_filters(axes, np.asarray(value))
            else:
                axes.hist(np.asarray(value).ravel(), bins=int(np.clip(value.size // 4, 10, 40)), color="#4477aa")
                axes.tick_params(labelsize=7)
                whole_numbers(axes.yaxis)
        return _saved(drawing, path)

    def activations(self, x: Array, layer: str | None = None, path: Any = None) -> Any:
        """What a layer gives for the first sample of `x`: the maps of an image layer, bars for a vector.

        Without `layer` the first layer with parameters is taken.
        """
        model = self._model
        graph: Graph = model.graph
        name = layer or next((graph.names[la] for la in graph.layers if la.parameters), graph.names[graph.layers[0]])
        wanted = model.get_layer(name)
        found = [n for n in graph.nodes if wanted in (n.layer, n.host)]
        node = found[1] if found[1:] and found[1].host is wanted else found[0]  # with the activation it brought along
        part = Model(graph.inputs, node, dtype=model.dtype, seed=model.seed)
        values = np.asarray(part.predict(plain_array(x[:1], "x").astype(model.dtype, copy=False)))[0]
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
            whole_numbers(axes.xaxis, axes.yaxis)
        else:
            drawing = figure(8, 3)
            axes = drawing.subplots()
            axes.bar(np.arange(values.size), values, color="#4477aa")
            axes.set_xlabel("unit")
            whole_numbers(axes.xaxis)
        drawing.suptitle(f"{name}: {values.shape}", fontsize=10)
        return _saved(drawing, path)

    def confusion(self, x: Array, y: Array, names: Any = None, path: Any = None) -> Any:
        """Counts of predicted against true classes: what is right in grey, mistakes in red.

        The red of a mistake is its share of the samples of the true class, and the deepest red that of the most
        frequent mistake, so that few mistakes are seen as well as many.
        """
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
        ticks = [str(k) for k in range(count)] if names is None else list(names)
        return _saved(draw_confusion(table, ticks), path)

    def predictions(
        self, x: Array, y: Array | None = None, count: int = 20, path: Any = None, worst: bool = False
    ) -> Any:
        """Samples as pictures with what the model makes of them; mistakes are red.

        Parameters
        ----------
        y
            The classes, as labels or one-hot rows.
        count
            How many pictures, the first ones, or with `worst` the worst ones.
        worst
            Begin with the mistake that the model is surest of: where the output of the class that it takes is furthest
            above that of the right one. Behind the mistakes stand the right answers, the most uncertain first.
        """
        if worst and y is None:
            raise ArgumentError("plot.predictions: worst=True needs the right classes; pass predictions(x, y, ...).")
        x = plain_array(x if worst else x[:count], "x")
        _images(x[:1])
        outputs = np.asarray(self._model.predict(x))
        if outputs.ndim != 2:
            raise ArgumentError(
                f"plot.predictions: expected a model that gives classes, received outputs of shape {outputs.shape[1:]}."
            )
        truths = None if y is None else _labels(np.asarray(y[: len(x)])).reshape(-1)
        rows = np.arange(len(x)) if truths is None or not worst else _worst_first(outputs, truths)[:count]
        guesses, images = _labels(outputs), _images(x[rows])
        drawing, panels = _grid(len(rows), 1.3, 1.6)
        for axes, image, row in zip(panels, images, rows, strict=False):
            axes.imshow(image, cmap="gray")
            axes.set_axis_off()
            guess, truth = int(guesses[row]), None if truths is None else int(truths[row])
            wrong = truth is not None and truth != guess
            words = f"{guess}, not {truth}" if wrong else f"{guess}"
            axes.set_title(words, fontsize=9, color="red" if wrong else "black")
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
    y = plain_array(y, "y")
    if y.ndim > 1 and y.shape[-1] > 1:
        return np.argmax(y, axis=-1)
    if y.dtype.kind == "f" and y.ndim > 1:
        return (y[..., 0] >= 0.5).astype(np.int64)
    return y.astype(np.int64)


def _worst_first(outputs: Array, truths: Array) -> Array:
    """Return the order of samples from the surest mistake to the surest right answer."""
    if outputs.shape[1] == 1:
        outputs = np.concatenate([1 - outputs, outputs], axis=1)
    if truths.min(initial=0) < 0 or truths.max(initial=0) >= outputs.shape[1] or len(truths) != len(outputs):
        raise ArgumentError(
            f"plot.predictions: expected {len(outputs)} classes from 0 to {outputs.shape[1] - 1}, received "
            f"{len(truths)} from {truths.min(initial=0)} to {truths.max(initial=0)}. Give the class of every sample."
        )
    own = outputs[np.arange(len(outputs)), truths]
    others = outputs.copy()
    others[np.arange(len(outputs)), truths] = -np.inf
    return np.argsort(own - others.max(axis=1), kind="stable")


def _images(x: Array) -> Array:
    """Return samples as pictures: (N, 1 or 3, H, W), or vectors of a square number of values."""
    if x.ndim == 4:
        return x[:, 0] if x.shape[1] != 3 else np.moveaxis(x, 1, -1)
    side = math.isqrt(x.shape[1]) if x.ndim == 2 else 0
    if x.ndim == 2 and side * side == x.shape[1]:
        return x.reshape(-1, side, side)
    raise ArgumentError(f"plot.predictions: samples of shape {x.shape[1:]} are not pictures.")
