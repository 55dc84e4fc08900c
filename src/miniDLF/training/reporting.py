"""What a run prints: the specification's epoch lines, a growing bar on a terminal, the closing lines."""

from __future__ import annotations

import io
import math
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from miniDLF.metrics import Accuracy
from miniDLF.training.callbacks import Callback
from miniDLF.training.engine import Engine
from miniDLF.training.loop import evaluate
from miniDLF.training.notebook import in_notebook
from miniDLF.training.states import found, real
from miniDLF.whole import is_real
from miniDLF.writing import encodable, write_line

__all__ = ["DatasetEvaluation", "ProgressBar"]

_BAR = "=" * 20 + ">"


class DatasetEvaluation(Callback):
    """Measures the whole training and test splits after each epoch: the specification's train_acc and test_acc.

    Adds ``accuracy`` (training split), ``val_loss`` and ``val_accuracy`` (test split) to the logs.
    """

    better = {"accuracy": "max", "val_accuracy": "max"}

    def __init__(self, engine: Engine, train: Any, test: Any, *, accuracy: bool) -> None:
        self.engine, self.train, self.test = engine, train, test
        self.validates = test is not None
        self.accuracy = accuracy

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        head = self.engine.heads[0]
        kept = head.metrics
        head.metrics = [metric for metric in kept if metric.name != "accuracy"]
        if self.accuracy:
            head.metrics.append(Accuracy())
            self.engine.bind(head.metrics[-1], 0)
        try:
            if self.accuracy:
                logs["accuracy"] = evaluate(self.engine, self.train)["accuracy"]
            if self.test is not None:
                logs.update(evaluate(self.engine, self.test, prefix="val_"))
        finally:
            head.metrics = kept


class ProgressBar(Callback):
    """Prints one line an epoch, ``Epoch 03/10: ...``; on a terminal or in a notebook a bar grows, with the time left.

    Given to `evaluate` or `predict` it shows their batches in the same way; the validations inside `fit` it leaves to
    the line of their epoch.

    Parameters
    ----------
    live
        Whether the bar grows; by default on a terminal and in notebooks only.
    specification
        Whether the line has the specification's words (train_acc, test_acc), without the number of all epochs, and its
        closing lines.
    file
        Where to print; standard output by default.
    """

    essential = False

    def __init__(self, live: bool | None = None, *, specification: bool = False, file: TextIO | None = None) -> None:
        self.live, self.specification, self.file = live, specification, file
        self._bar: Any = None
        self._training = False
        self._best: dict[str, Any] = {}

    def _stream(self) -> TextIO:
        return self.file or sys.stdout or io.StringIO()  # pythonw has no output

    @property
    def _grows(self) -> bool:
        if self.live is not None:
            return self.live
        return bool(getattr(self._stream(), "isatty", lambda: False)()) or in_notebook()

    def on_train_begin(self, logs: Any = None) -> None:
        self._training = True
        self._best = {}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._start(self._title(epoch, total=True), self.model.position.batch)

    def _title(self, epoch: int, total: bool) -> str:
        """Return ``Epoch 03/10``, or ``Epoch 03``: the line of the specification does not tell the total."""
        epochs = self.params.get("epochs")
        if not total or epochs is None:
            return f"Epoch {epoch + 1:02d}"
        width = max(2, len(str(epochs)))
        return f"Epoch {epoch + 1:0{width}d}/{epochs:0{width}d}"

    def _start(self, title: str, done: int = 0) -> None:
        self._began = time.perf_counter()
        if not self._grows:
            return
        from tqdm import tqdm  # 30 ms that `import miniDLF` need not spend

        steps = self.params.get("steps")
        self._bar = tqdm(
            initial=done,
            total=steps,
            file=self._stream(),
            leave=False,
            ascii=" =",
            bar_format=f"{title}: {{bar:20}}> {{desc}} {{n_fmt}}/{{total_fmt}} [{{elapsed}} passed, {{remaining}} left]"
            if steps
            else f"{title}: {{desc}} {{n_fmt}} batches [{{elapsed}} passed]",
        )

    def _advance(self, logs: Any) -> None:
        bar = self._bar
        if bar is None:
            return
        if bar.n + 1 - bar.last_print_n >= bar.miniters:  # looking at the logs costs more than a small step
            words = _words(logs, self.specification)
            bar.set_description_str(encodable(words, self._stream()), refresh=False)
        bar.update()

    def _finish(self, title: str, words: str) -> None:
        self._close()
        took = time.perf_counter() - getattr(self, "_began", time.perf_counter())
        self._write(f"{title}: {_BAR} {words} time: {took:.2f}s")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._advance(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._finish(self._title(epoch, total=not self.specification), _words(logs, self.specification))
        accuracy = logs.get("val_accuracy", logs.get("accuracy"))
        if accuracy is not None:
            best = self._best
            best["maximum"] = max(best.get("maximum", 0.0), accuracy)
            if logs["loss"] <= best.get("loss", math.inf):
                best["loss"], best["at optimal loss"] = logs["loss"], accuracy

    def on_train_end(self, logs: Any = None) -> None:
        self._training = False
        self._close()
        reason = getattr(self.model, "stop_reason", None)
        if reason:
            self._write(f"Terminating early ({reason})")
        if self.model.interrupted:
            self._write("Interrupted; the model keeps what it has learned so far")
        if self.specification and self._best:
            self._write(
                f"Accuracy: Maximum={self._best['maximum']:.2%}; With optimal loss={self._best['at optimal loss']:.2%}"
            )

    def on_test_begin(self, logs: Any = None) -> None:
        if not self._training:
            self._start("Evaluate")

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if not self._training:
            self._advance(logs)

    def on_test_end(self, logs: Any = None) -> None:
        if not self._training:
            self._finish("Evaluate", _words(logs, self.specification))

    def on_predict_begin(self, logs: Any = None) -> None:
        self._start("Predict")

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self._advance({})

    def on_predict_end(self, logs: Any = None) -> None:
        self._finish("Predict", f"{self.params.get('steps') or ''} batches".lstrip())

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _write(self, line: str) -> None:
        stream = self._stream()
        write_line(line, stream)
        stream.flush()

    def get_state(self) -> dict[str, Any]:
        return {"best": self._best}

    def set_state(self, state: Mapping[str, Any]) -> None:
        best = found(state, "best", dict)
        self._best = {name: real(best, name) for name in best}


def _words(logs: Mapping[str, Any], specification: bool) -> str:
    """Return ``loss: 0.36526 train_acc = 91.98% test_acc = 92.62%``."""
    values = dict(logs)
    names = {"accuracy": "train_acc", "val_accuracy": "test_acc", "val_loss": "test_loss"} if specification else {}
    if specification and "val_accuracy" in values:
        values.pop("val_loss", None)
    words = []
    for name, value in values.items():
        shown = names.get(name, name)
        if not is_real(value):
            continue  # a confusion matrix has no place in a line
        if "acc" in name and 0 <= value <= 1:
            words.append(f"{shown} = {value:.2%}")
        else:
            words.append(f"{shown}: {value:.5f}" if abs(value) >= 1e-4 or value == 0 else f"{shown}: {value:.3e}")
    return " ".join(words)
