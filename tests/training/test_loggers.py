"""Callbacks that write the logs down."""

from __future__ import annotations

import csv
import io
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.callbacks import CSVLogger, LambdaCallback
from miniDLF.errors import ArgumentError, FileFormatError
from miniDLF.layers import Dense
from miniDLF.models import Sequential

X, Y = np.ones((20, 2)), np.zeros((20, 1))


def fit(*callbacks: Any) -> None:
    made = Sequential([Dense(1, input_shape=(2,))], seed=0)
    made.compile("mse", "sgd")
    made.fit(X, Y, verbose=0, callbacks=list(callbacks))


def test_a_table_that_cannot_be_written_keeps_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.csv"
    fit(CSVLogger(path))
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FileFormatError, match=r"CSVLogger: .*log.csv: the file cannot be written \(no space left\)"):
        fit(CSVLogger(path, append=True))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["log.csv"]


BAD: dict[str, bytes] = {
    "a line of 60 MB": b"epoch,loss\r\n" + b"x" * 60_000_000,
    "a first line of 60 MB": b"," * 60_000_000,
    "a field in quotes without an end": b'epoch,loss\r\n0,"' + b"x\n" * 1_000_000,
    "NUL": b"epoch,loss\r\n0,\0\r\n",
    "no text": b"\xff\xfe\x00e",
    "a table of something else": b"name,value\r\na,1\r\n",
    "another separator": b"epoch;loss\r\n0;1.0\r\n",
    "a column twice": b"epoch,loss,loss\r\n0,1,2\r\n",
    "a row that is too long": b"epoch,loss\r\n0,1\r\n1,2,3\r\n",
    "an image": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "empty lines": b"\r\n" * 1000,
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_no_log_is_not_continued(case: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(BAD[case])
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=r"CSVLogger: .*log.csv cannot be continued: .*Give another") as e:
            fit(CSVLogger(path, append=True))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert path.read_bytes() == BAD[case]
    assert len(str(e.value)) < 400


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_what_is_no_file_is_not_continued(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(FileFormatError, match="cannot be continued: it is no file"):
            fit(CSVLogger(tmp_path / name, append=True))


def test_a_log_is_continued_with_the_rows_as_they_stand_there(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b'\xef\xbb\xbfepoch,loss,"a ""note"""\n0,0.50,"two\nlines"\n\n1,0.25')
    for _ in range(2):
        fit(CSVLogger(path, append=True))
    rows = list(csv.reader(io.StringIO(path.read_text(), newline="")))
    assert rows[:3] == [["epoch", "loss", 'a "note"'], ["0", "0.50", "two\nlines"], []]
    assert [row[0] for row in rows[3:]] == ["1", "0", "0"]
    more = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(more=2.5))
    fit(more, CSVLogger(path, append=True))
    rows = list(csv.reader(io.StringIO(path.read_text(), newline="")))
    assert rows[0][3] == "more"
    assert [row[3] for row in rows[1:]] == ["", "", "", "", "2.5"]
    path.write_bytes(b"")
    fit(CSVLogger(path, append=True))
    assert path.read_text().startswith("epoch,loss")


def test_texts_that_no_encoding_knows_are_written_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    fit(LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update({"\udc80é": "\udcff"})), CSVLogger(path))
    assert path.read_bytes().splitlines()[0].endswith(rb"\udc80" + "é".encode())


@pytest.mark.parametrize("separator", ["", ",,", 3, None])
def test_a_separator_is_one_character(separator: Any) -> None:
    with pytest.raises(ArgumentError, match="CSVLogger: separator is one character"):
        CSVLogger("log.csv", separator)
