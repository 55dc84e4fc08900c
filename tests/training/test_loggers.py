"""Callbacks that write the logs down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.callbacks import CSVLogger
from miniDLF.errors import FileFormatError
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
