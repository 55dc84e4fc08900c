"""What the commands read: data sets, arrays, tables and pictures, from files and from standard input."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from miniDLF.datasets import MNIST, TEXT2SEQ, Dataset, Digits
from miniDLF.datasets.npy import RowsOnDisk, read_npy, read_npz
from miniDLF.datasets.pictures import read_picture
from miniDLF.datasets.tables import read_table
from miniDLF.errors import ArgumentError, FileFormatError
from miniDLF.files import open_file, read_all, size_of
from miniDLF.models import DataInfo

__all__ = ["STANDARD_INPUT", "array_of", "called", "data_of", "samples_of"]

#: Bytes up to which samples are shuffled and scaled in memory, and read at once for a prediction.
_IN_MEMORY = 1 << 30
STANDARD_INPUT = Path("-")
ARRAYS, PICTURES = (".npy", ".npz", ".csv"), (".png", ".jpg")
#: How files begin of which the name says nothing.
_BEGINNINGS = {b"\x93NUMPY": ".npy", b"PK": ".npz", b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}


def data_of(config: Mapping[str, Any], kind: str | None) -> Dataset:
    """Return the data that a [data] section, or --data, stands for.

    `kind` is what the network takes: 'vectors', 'images' or 'text'; ``None`` where layers are listed.
    """
    path, source = config.get("path"), config.get("source")
    if source is None:
        source = "text" if kind == "text" else "arrays" if "x" in config else "digits" if path is None else "mnist"
    shape = (1, 28, 28) if kind != "vectors" else (784,)
    if source == "mnist":
        return MNIST(path, n_classes=10, input_shape=shape)
    if source == "digits":
        return Digits(20_000, 4_000, input_shape=shape)
    if source == "text":
        return TEXT2SEQ(path, config.get("timesteps", 60))
    if source == "arrays":
        return _dataset_of(config)
    raise ArgumentError(f"the source of the data is 'mnist', 'digits', 'text' or 'arrays'; received {source!r}.")


def _dataset_of(config: Mapping[str, Any]) -> Dataset:
    x, y = array_of(Path(config["x"]), "x"), array_of(Path(config.get("y", config["x"])), "y")
    info = DataInfo(scale=config.get("scale"), offset=config.get("offset"))
    share = config.get("test_fraction", 0.1)
    if x.nbytes <= _IN_MEMORY:
        return Dataset(info.prepare(x), y, test_fraction=share)
    if info != DataInfo():
        raise ArgumentError(f"{config['x']}: is too large to scale in memory. Save it as it shall be learned from.")
    cut = len(x) - max(1, round(len(x) * share))  # too large to shuffle: the end is for testing
    return Dataset(x[:cut], y[:cut], test=(x[cut:], y[cut:]))


def called(data: Dataset, config: Mapping[str, Any]) -> str:
    """Say which data these are that `data_of` made of `config`."""
    if isinstance(data, MNIST):
        return f"MNIST ({data.path})"
    if isinstance(data, TEXT2SEQ):
        return f"text ({data.text.name})"
    return "drawn digits (embedded)" if isinstance(data, Digits) else str(config["x"])


def array_of(path: Path, name: str) -> Any:
    """Return the numbers in a .npy, .npz or .csv file.

    Parameters
    ----------
    name
        What they are: "x" or "y". In an archive of several arrays the one of this name is taken; a table with one
        column of targets is a vector, and a vector of whole numbers holds classes.

    Raises
    ------
    ArgumentError
        If it is a file of another kind.
    FileFormatError
        If it is missing or damaged, or holds no numbers.
    """
    if _kind_of(path) not in (*ARRAYS, ""):
        raise ArgumentError(f"{path}: {name} is a .npy, .npz or .csv file.")
    content, kind = _opened(path)
    with content as file:
        if kind not in ARRAYS:
            raise ArgumentError(f"{path}: {name} is a .npy, .npz or .csv file.")
        array = _numbers(file, path, kind, name)
    if name == "y" and kind == ".csv" and array.shape[1] == 1:
        array = array[:, 0]
        whole = np.isfinite(array).all() and (array == np.trunc(array)).all() and np.abs(array).max() < 2**53
        return array.astype(np.int64) if whole else array
    return array


def samples_of(path: Path, shape: Any, resize: bool = False) -> tuple[Any, bool]:
    """Return the samples in a file, or in what standard input gives, and whether they are a picture.

    A picture has the model's input `shape`. Samples larger than memory are `RowsOnDisk`.
    """
    if _kind_of(path) not in (*ARRAYS, *PICTURES, ""):
        raise ArgumentError(f"{path}: samples are a .npy, .npz, .csv, .png or .jpg file, or - for standard input.")
    content, kind = _opened(path)
    with content as file:
        if kind == ".npy" and path != STANDARD_INPUT and size_of(file) > _IN_MEMORY:
            return RowsOnDisk(file, path, size_of(file)), False
        if kind in PICTURES:
            return read_picture(read_all(file, path, _IN_MEMORY), path, shape, resize), True
        return _numbers(file, path, kind, "x"), False


def _kind_of(path: Path) -> str:
    """Return of which kind a file is by its name: a suffix, or nothing for standard input."""
    return "" if path == STANDARD_INPUT else path.suffix.lower().replace(".jpeg", ".jpg") or "?"


def _opened(path: Path) -> tuple[IO[bytes], str]:
    """Return the stream of a file and its kind; what comes from standard input tells by its first bytes."""
    if path != STANDARD_INPUT:
        try:
            return open_file(path), _kind_of(path)
        except FileFormatError:
            raise
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and os.path.exists(path):
                raise FileFormatError(f"{path}: the file cannot be read ({error.strerror or error}).") from None
            where = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
            raise FileFormatError(f"{path}: there is no such file{where}. Check the path.") from None
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        raise FileFormatError("-: there is no standard input. Name a file.")
    content = read_all(stream, path, _IN_MEMORY)
    kind = next((kind for begin, kind in _BEGINNINGS.items() if content.startswith(begin)), ".csv")
    return io.BytesIO(content), kind


def _refuse_beyond_memory(path: Path, size: int) -> None:
    """Refuse a file that this machine has no memory for: a mapped one would end the process where somebody cuts it."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows: NumPy says so where there is too little
        return
    if size > memory:
        raise ArgumentError(
            f"{path}: holds {size:,} bytes, and this machine has {memory:,} of memory. Train on it from Python: "
            "np.load(path, mmap_mode='r') is read batch by batch."
        )


def _numbers(file: IO[bytes], path: Path, kind: str, name: str) -> Any:
    try:
        size = size_of(file) if path != STANDARD_INPUT else len(file.getbuffer())  # type: ignore[attr-defined]
        if kind == ".npy":
            _refuse_beyond_memory(path, size)
            return read_npy(file, path, size)
        if kind == ".csv":
            return read_table(read_all(file, path, _IN_MEMORY), path)
        arrays = read_npz(file, path, size, _IN_MEMORY)
    except FileFormatError:
        raise
    except OSError as error:
        raise FileFormatError(f"{path}: the file cannot be read ({error.strerror or error}).") from None
    if name not in arrays and (len(arrays) > 1 or name == "y"):
        raise ArgumentError(f"{path}: expected an array {name!r}, the archive holds {', '.join(sorted(arrays))[:200]}.")
    return arrays.get(name, next(iter(arrays.values())))
