"""Learning curves, drawn once or live."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, import_extra
from miniDLF.training.callbacks import Callback
from miniDLF.training.notebook import in_notebook
from miniDLF.training.states import tables
from miniDLF.whole import is_real

__all__ = ["LivePlot", "figure", "plot_curves", "whole_numbers"]


def figure(width: float, height: float) -> Any:
    """Return an empty matplotlib figure (inches) that belongs to nobody: no window, no global state."""
    import_extra("matplotlib.figure", "plots", "a plot")
    from miniDLF.training.drawing import Drawing

    return Drawing(figsize=(width, height), layout="constrained")


def whole_numbers(*axes: Any) -> None:
    """Let there be ticks at whole numbers only, on axes that count something; also where there is room for one."""
    ticker = import_extra("matplotlib.ticker", "plots", "a plot")
    for axis in axes:
        axis.set_major_locator(ticker.MaxNLocator("auto", integer=True, min_n_ticks=1))


def plot_curves(
    history: Mapping[str, Sequence[Any]],
    path: Any = None,
    metrics: Sequence[str] | None = None,
    title: str = "",
    epochs: Mapping[str, Sequence[int]] | None = None,
) -> Any:
    """Draw the logs over the epochs, a training log and its ``val_`` partner in one panel.

    Parameters
    ----------
    history
        One value an epoch by name: ``History.history``.
    path
        Where to save (.png, .svg, .pdf); ``None`` saves nothing.
    metrics
        Names to draw, without ``val_``; all numbers by default.
    epochs
        The epochs of the values of each log, counted from 0; by default 0, 1, 2 and so on.

    Returns
    -------
    matplotlib.figure.Figure
    """
    panels = list(dict.fromkeys(name.removeprefix("val_") for name in history if _numeric(history[name])))
    if metrics is not None:
        unknown = set(metrics) - set(panels)
        if unknown:
            raise ArgumentError(f"plot: there is no log {sorted(unknown)}; this run has {', '.join(panels)}.")
        panels = list(metrics)
    if not panels:
        raise ArgumentError("plot: the history is empty; train for an epoch first.")
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    drawing = figure(5.2 * columns, 3.8 * rows)
    if title:
        drawing.suptitle(title)
    for axes, name in zip(drawing.subplots(rows, columns, squeeze=False).flat, panels, strict=False):
        for key, style, label in ((name, "-o", "training"), ("val_" + name, "--s", "validation")):
            if key in history:
                values = history[key]
                at = np.arange(len(values)) if epochs is None else np.asarray(epochs[key])
                axes.plot(at + 1, values, style, label=label, markersize=3.5, linewidth=1.6)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
        whole_numbers(axes.xaxis)
        axes.legend()
    for axes in drawing.axes[len(panels) :]:
        axes.set_visible(False)
    if path is not None:
        drawing.savefig(path, dpi=120)
    return drawing


def _numeric(values: Sequence[Any]) -> bool:
    return all(is_real(value) for value in values)


class LivePlot(Callback):
    """Redraws the learning curves after every epoch: in a notebook, or into a picture.

    In a notebook there is one picture below the cell, which is replaced; what the cell prints stays.

    Parameters
    ----------
    path
        A picture to overwrite (.png, .svg); ``None`` draws in the notebook that runs the training.
    every
        Epochs between drawings; the last epoch is always drawn.
    """

    essential = False

    def __init__(self, path: Any = None, every: int = 1) -> None:
        if every < 1:
            raise ArgumentError(f"LivePlot: every counts epochs and is at least 1; received {every}.")
        from pathlib import Path  # loaded with the first picture

        self.path, self.every = None if path is None else Path(path), every
        self._logs: dict[str, list[Any]] = {}
        self._epochs: dict[str, list[int]] = {}
        self._drawn = True
        self._shown: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._logs, self._epochs, self._drawn, self._shown = {}, {}, True, None
        if self.path is None and not in_notebook():
            raise ArgumentError("LivePlot: outside a notebook it needs a file: LivePlot('curves.png').")
        figure(1, 1)  # a missing matplotlib is better reported now than after the first epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name, value in (logs or {}).items():
            self._logs.setdefault(name, []).append(value)
            self._epochs.setdefault(name, []).append(epoch)
        self._drawn = False
        if (epoch + 1) % self.every == 0:
            self._draw()

    def on_train_end(self, logs: Any = None) -> None:
        if not self._drawn:
            self._draw()

    def _draw(self) -> None:
        self._drawn = True
        drawing = plot_curves(self._logs, self.path, epochs=self._epochs)
        if self.path is not None:
            return
        if self._shown is None:
            display = import_extra("IPython.display", "plots", "LivePlot in a notebook").display
            self._shown = display(drawing, display_id=True)
        else:
            self._shown.update(drawing)

    def get_state(self) -> dict[str, Any]:
        return {"logs": self._logs, "epochs": self._epochs}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._logs, self._epochs = tables(state, "logs"), tables(state, "epochs")
