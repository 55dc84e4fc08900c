"""Callbacks that write the logs down: CSV and TensorBoard."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, FileFormatError, import_extra
from miniDLF.storage.atomic import atomic_file
from miniDLF.training.callbacks import Callback
from miniDLF.whole import is_whole

__all__ = ["CSVLogger", "TensorBoard"]


class CSVLogger(Callback):
    """Writes a row an epoch to a CSV file: the epoch and all logs (Keras' arguments).

    Parameters
    ----------
    append
        Whether an existing file is continued. A resumed run always continues its own file.
    """

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        self.filename, self.separator, self.append = Path(filename), separator, append
        self._names: list[str] = []
        self._rows: list[list[Any]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self._names, self._rows = [], []
        if self.append and self.filename.exists():
            with self.filename.open(newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file, delimiter=self.separator))
            if rows:
                self._names, self._rows = rows[0], rows[1:]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        values = {"epoch": epoch, **{name: _cell(value) for name, value in (logs or {}).items()}}
        self._names += [name for name in values if name not in self._names]
        self._rows.append([values.get(name, "") for name in self._names])
        self._write()

    def _write(self) -> None:
        """Write the whole file anew: a log that appears later gets its column, and a resumed run no row twice."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=self.separator)
        writer.writerow(self._names)
        writer.writerows([*row, *[""] * (len(self._names) - len(row))] for row in self._rows)
        try:
            with atomic_file(self.filename) as file:
                file.write(text.getvalue().encode())
        except FileFormatError as error:
            raise FileFormatError(f"CSVLogger: {error}") from error

    def get_state(self) -> dict[str, Any]:
        return {"names": self._names, "rows": self._rows}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._names, self._rows = list(state["names"]), [list(row) for row in state["rows"]]


def _cell(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


class TensorBoard(Callback):
    """Writes the logs, and on request histograms of the weights, for TensorBoard (through tensorboardX, an extra).

    Parameters
    ----------
    log_dir
        Folder of the event files; training logs and ``val_`` logs get sub-folders, as in Keras.
    histogram_freq
        Epochs between histograms of every weight; 0 for none.
    write_steps_per_second
        Whether the steps a second of every epoch are written too.
    update_freq
        'epoch', 'batch', or a number of batches between two points of the training loss.
    """

    def __init__(
        self,
        log_dir: Any = "logs",
        histogram_freq: int = 0,
        *,
        write_steps_per_second: bool = False,
        update_freq: int | str = "epoch",
    ) -> None:
        if update_freq not in ("epoch", "batch") and not is_whole(update_freq, 1):
            raise ArgumentError(f"TensorBoard: update_freq is 'epoch', 'batch' or a number; received {update_freq!r}.")
        self.log_dir, self.histogram_freq, self.update_freq = Path(log_dir), histogram_freq, update_freq
        self.write_steps_per_second = write_steps_per_second
        self._every = (
            {"epoch": 0, "batch": 1}.get(str(update_freq)) if isinstance(update_freq, str) else int(update_freq)
        )
        self._writers: dict[str, Any] = {}
        self._began = 0.0
        self._first = 0

    def on_train_begin(self, logs: Any = None) -> None:
        writer = import_extra("tensorboardX", "tensorboard", "the TensorBoard callback").SummaryWriter
        self._writers = {name: writer(str(self.log_dir / name)) for name in ("train", "validation")}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._began, self._first = time.perf_counter(), self.model.engine().steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._every and batch % self._every == 0:
            step = self.model.engine().steps
            for name, value in dict(logs or {}).items():
                if np.ndim(value) == 0:
                    self._writers["train"].add_scalar(f"batch_{name}", value, step)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name, value in (logs or {}).items():
            if np.ndim(value) == 0:
                side = "validation" if name.startswith("val_") else "train"
                self._writers[side].add_scalar(f"epoch_{name.removeprefix('val_')}", value, epoch)
        rate = self.model.optimizer.learning_rate
        if "learning_rate" not in (logs or {}):
            step = self.model.engine().steps
            self._writers["train"].add_scalar("epoch_learning_rate", rate if np.isscalar(rate) else rate(step), epoch)
        if self.write_steps_per_second:
            speed = (self.model.engine().steps - self._first) / max(time.perf_counter() - self._began, 1e-9)
            self._writers["train"].add_scalar("epoch_steps_per_second", speed, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for path, weight in self.model.named_weights().items():
                self._writers["train"].add_histogram(path, weight, epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        for writer in self._writers.values():
            writer.close()
