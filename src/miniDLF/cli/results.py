"""What the commands leave behind and say: lines of progress, results as JSON, samples of text and pictures."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from miniDLF.datasets import TEXT2SEQ, Dataset
from miniDLF.errors import ArgumentError
from miniDLF.models import Sequential

__all__ = ["pictures", "samples", "say", "write_json"]


def say(line: str) -> None:
    """Write a line of progress."""
    sys.stderr.write(line + "\n")


def write_json(results: Mapping[str, Any]) -> None:
    """Write results for machines."""
    sys.stdout.write(json.dumps(_plain(results)) + "\n")


def _plain(value: Any) -> Any:
    """Return what JSON knows: lists for arrays, and null for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {name: _plain(content) for name, content in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(content) for content in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def classes_of(outputs: Any, model: Any, names: Sequence[str] | None) -> tuple[Any, Any]:
    """Return the most likely classes (N, ...) of predictions, and their names, where there are such."""
    if outputs.ndim > 1 and outputs.shape[-1] > 1:
        classes = np.argmax(outputs, axis=-1)
    elif names is not None:  # one output tells two classes apart: a probability, or a number around zero
        final = model.graph.outputs[0].layer
        limit = 0.5 if final is not None and final.says("absorbable") == "Sigmoid" else 0.0
        classes = (outputs[..., 0] if outputs.ndim > 1 else outputs) > limit
        classes = classes.astype(int)
    else:
        return None, None
    return classes, None if names is None else np.asarray(names, object)[classes]


def predictions(outputs: Any, classes: Any, names: Any) -> Iterator[str]:
    """Yield a line for each sample: its class and how sure the model is, else the classes or numbers in a row."""
    for number, output in enumerate(outputs):
        if classes is not None and classes[number].ndim == 0:
            shown = classes[number] if names is None else names[number]
            sure = output[classes[number]] if output.size > 1 else np.ravel(output)[0]
            yield f"{shown}\t{sure:.4f}"
        elif names is not None:
            row = np.ravel(names[number]).tolist()
            yield ("" if all(len(name) == 1 for name in row) else " ").join(" ".join(name.split("\n")) for name in row)
        else:
            values = classes[number] if classes is not None else output
            yield " ".join(f"{value:g}" for value in np.ravel(values))


def samples(model: Sequential, data: Dataset, out: Path) -> dict[str, Path]:
    """Write, and show, what the model makes of some windows of a text."""
    if not isinstance(data, TEXT2SEQ):
        return {}
    path = out / "predictions.txt"
    with path.open("w", encoding="utf-8") as file:
        data.print_samples(model, n=5, file=file)
    say("")
    data.print_samples(model, n=3, file=sys.stderr)
    return {"predictions": path}


def pictures(model: Sequential, data: Dataset, history: Any, out: Path) -> dict[str, Path]:
    """Draw the learning curves and some predictions."""
    paths = {"curves": out / "curves.png"}
    history.plot(paths["curves"])
    split = data.test if data.test is not None else data.train
    if isinstance(data, TEXT2SEQ):
        paths["picture"] = out / "predictions.png"
        _draw_text(out / "predictions.txt", paths["picture"])
        return paths
    paths["predictions"] = out / "predictions.png"
    try:
        model.plot.predictions(split.x, split.y, count=30, path=paths["predictions"])
    except ArgumentError:  # samples that are not pictures
        del paths["predictions"]
    else:
        paths["confusion"] = out / "confusion.png"
        model.plot.confusion(split.x, split.y, path=paths["confusion"])
    return paths


def _draw_text(text: Path, path: Path) -> None:
    from miniDLF.training.plots import figure

    drawing = figure(10, 4)
    drawing.text(0.02, 0.97, text.read_text(encoding="utf-8"), family="monospace", fontsize=9, va="top")
    drawing.savefig(path, dpi=120)
