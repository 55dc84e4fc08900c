"""What the commands leave behind and say: lines of progress, results as JSON, samples of text and pictures."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
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
