"""Callbacks that write the logs down: CSV and TensorBoard."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from miniDLF.errors import ArgumentError, DataError, FileFormatError, import_extra
from miniDLF.storage.atomic import atomic_file
from miniDLF.training.callbacks import Callback, as_filled
from miniDLF.training.states import found
from miniDLF.whole import is_whole

__all__ = ["CSVLogger", "TensorBoard"]


#: Bytes of a line, at the most, of a file that is continued: a row of logs has a few hundred.
LONGEST_LINE = 1 << 20


class CSVLogger(Callback):
    """Writes a row an epoch to a CSV file: the epoch and all logs (Keras' arguments).

    Parameters
    ----------
    append
        Whether an existing file is continued, which has to be one that a CSVLogger wrote. A resumed run always
        continues its own file.

    Raises
    ------
    FileFormatError
        If the file that is to be continued is no such one, or the file cannot be written.
    """

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        self.filename = Path(as_filled(filename, "CSVLogger: filename", "a file such as 'log.csv'"))
        try:
            csv.writer(io.StringIO(), delimiter=separator)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"CSVLogger: separator is one character, such as ',' or ';'; received {separator!r}."
            ) from None
        self.separator, self.append = separator, append
        self._names: list[str] = []
        self._rows: list[list[Any]] = []
        self._before = ""  # the rows of earlier runs, as they stand in the file

    def on_train_begin(self, logs: Any = None) -> None:
        self._names, self._rows, self._before = [], [], ""
        if self.append and self.filename.exists():
            try:
                self._read()
            except (OSError, ValueError, csv.Error) as error:
                raise FileFormatError(
                    f"CSVLogger: {self.filename} cannot be continued: {error}. Give another file, or leave append=True."
                ) from None

    def _read(self) -> None:
        """Take over the rows of the file, a line at a time: its size bounds what is held, and a line's the time."""
        if not self.filename.is_file():
            raise ValueError("it is no file")
        with self.filename.open("rb") as file:
            lines = _Lines(file)
            for number, row in enumerate(csv.reader(lines, delimiter=self.separator)):
                if number == 0:
                    if "epoch" not in row or len(set(row)) < len(row):
                        raise ValueError(f"its first line names no column 'epoch' (separated by {self.separator!r})")
                    self._names, lines.text = row, []
                elif len(row) > len(self._names):
                    raise ValueError(f"row {number} has {len(row)} values for {len(self._names)} columns")
        self._before = "".join(lines.text)
        if self._before and not self._before.endswith(("\n", "\r")):
            self._before += "\r\n"

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        values = {"epoch": epoch, **{name: _cell(value) for name, value in (logs or {}).items()}}
        new = [name for name in values if name not in self._names]
        if new:
            self._names += new
            self._before = self._text(csv.reader(io.StringIO(self._before, newline=""), delimiter=self.separator))
        self._rows.append([values.get(name, "") for name in self._names])
        self._write()

    def _text(self, rows: Iterable[Sequence[Any]]) -> str:
        """Return rows as they stand in the file, each with a place for every column."""
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self.separator).writerows(
            [*row, *[""] * (len(self._names) - len(row))] for row in rows if row
        )
        return text.getvalue()

    def _write(self) -> None:
        """Write the whole file anew: a log that appears later gets its column, and a resumed run no row twice."""
        text = self._text([self._names]) + self._before + self._text(self._rows)
        try:
            with atomic_file(self.filename) as file:
                file.write(text.encode("utf-8", "backslashreplace"))
        except FileFormatError as error:
            raise FileFormatError(f"CSVLogger: {error}") from error

    def get_state(self) -> dict[str, Any]:
        before = np.frombuffer(self._before.encode("utf-8", "backslashreplace"), np.uint8)
        return {"names": self._names, "rows": self._rows, "before": before}

    def set_state(self, state: Mapping[str, Any]) -> None:
        names, rows = found(state, "names", list), found(state, "rows", list)
        if not all(isinstance(name, str) for name in names):
            raise DataError("names: expected the names of columns")
        if not all(isinstance(row, list) and len(row) <= len(names) for row in rows):
            raise DataError("rows: expected lists of at most as many values as there are columns")
        before = found({"before": np.zeros(0, np.uint8), **state}, "before", np.ndarray)
        self._names, self._rows = list(names), [list(row) for row in rows]
        self._before = before.astype(np.uint8).tobytes().decode("utf-8", "replace")


class _Lines:
    """The lines of a file, none of them endless; those that were read stay in `text`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.text: list[str] = []

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise ValueError(f"a line is longer than {LONGEST_LINE} bytes")
            if b"\0" in line:
                raise ValueError("it holds bytes that are no text")
            self.text.append(line.decode("utf-8" if self.text else "utf-8-sig"))
            yield self.text[-1]


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
        self.log_dir = Path(as_filled(log_dir, "TensorBoard: log_dir", "a folder such as 'logs'"))
        self.histogram_freq, self.update_freq = histogram_freq, update_freq
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
        self._close()

    def _release(self) -> None:
        super()._release()
        self._close()

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
