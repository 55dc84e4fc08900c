"""NumPy's whole numbers are whole numbers wherever one is asked for, and True is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF import get_threads, set_threads
from miniDLF.callbacks import BackupAndRestore, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau, TensorBoard
from miniDLF.constraints import MaxNorm, UnitNorm
from miniDLF.datasets import Dataset
from miniDLF.errors import MiniDLFError
from miniDLF.layers import LSTM, Conv2D, Dense, Dot, Flatten, Pooling2D, Reshape
from miniDLF.models import Input, Sequential
from miniDLF.optimizers import Accumulate
from miniDLF.whole import is_real, is_whole, whole_number

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
Y = X[:, :1]
TYPES = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]


def model(**options: Any) -> Sequential:
    made = Sequential([Dense(1, input_shape=(4,))], seed=0, **options)
    made.compile("mse", "adam")
    return made


@pytest.mark.parametrize("kind", TYPES)
def test_what_is_a_whole_number(kind: type[Any]) -> None:
    assert is_whole(kind(2), 2)
    assert not is_whole(kind(2), 3)
    assert type(whole_number(kind(2), "n", 0)) is int
    assert not any(map(is_whole, (True, np.True_, 2.0, np.float32(2), "2", None, np.arange(2))))
    assert all(map(is_real, (1, 1.5, kind(2), np.float16(2))))
    assert not any(map(is_real, (True, np.True_, "2", None, 1j, np.ones(1))))


#: What takes a whole number; each is called with one of NumPy's, and with True.
TAKERS: dict[str, Callable[[Any, Path], Any]] = {
    "shards": lambda n, path: model(shards=n),
    "fit": lambda n, path: model().fit(
        X, Y, epochs=n, batch_size=n, steps_per_epoch=n, validation_split=0.5, validation_steps=n, verbose=0
    ),
    "fit(validation_freq)": lambda n, path: model().fit(X, Y, validation_split=0.5, validation_freq=n, verbose=0),
    "ModelCheckpoint": lambda n, path: ModelCheckpoint(path, save_freq=n),
    "BackupAndRestore": lambda n, path: BackupAndRestore(path, save_freq=n),
    "TensorBoard": lambda n, path: TensorBoard(path, update_freq=n),
    "EarlyStopping": lambda n, path: EarlyStopping(patience=n),
    "ReduceLROnPlateau": lambda n, path: ReduceLROnPlateau(patience=n, cooldown=n),
    "MaxNorm": lambda n, path: MaxNorm(1.0, axis=n),
    "UnitNorm": lambda n, path: UnitNorm(axis=(n,)),
    "Accumulate": lambda n, path: Accumulate("adam", n),
    "LSTM": lambda n, path: Sequential([LSTM(n, input_shape=(3, 4))]),
    "predict": lambda n, path: model().predict(X, batch_size=n, verbose=0),
}


@pytest.mark.parametrize("kind", [np.int32, np.uint8])
@pytest.mark.parametrize("taker", TAKERS)
def test_whole_numbers_of_numpy(taker: str, kind: type[Any], tmp_path: Path) -> None:
    TAKERS[taker](kind(2), tmp_path / "x")
    for value in (True, kind(2) * 0.75):
        with pytest.raises(MiniDLFError):
            TAKERS[taker](value, tmp_path / "x")


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_layers_and_fit_take_them(kind: type[Any]) -> None:
    n = kind(2)
    layers = [Conv2D(n, kind(3), kind(1), kind(1), input_shape=(n, kind(8), kind(8))), Pooling2D(n, n), Flatten()]
    net = Sequential([*layers, Reshape(kind(32)), Dense(n)], seed=n, shards=n)
    net.compile("mse", "adam")
    net.fit(np.ones((4, 2, 8, 8)), np.ones((4, 2)), epochs=n, batch_size=n, verbose=kind(0), initial_epoch=kind(1))
    net.fit(Dataset(np.ones((4, 2, 8, 8)), np.ones((4, 2))), kind(1), kind(2), kind(3), verbose=kind(0))
    assert type(net.shards) is int
    a, b = Input(kind(4)), Input((kind(4),))
    Dot(axes=kind(1))([a, b])
    threads = get_threads()
    set_threads(n)
    assert get_threads() == 2
    set_threads(threads)
