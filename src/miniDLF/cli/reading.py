"""What the commands read: data sets, arrays, tables and pictures."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from miniDLF.datasets import MNIST, TEXT2SEQ, Dataset, Digits
from miniDLF.errors import ArgumentError, FileFormatError, import_extra

__all__ = ["array_of", "called", "data_of", "samples_of"]

#: Bytes up to which samples are read into memory; more of them stay on the disk.
_IN_MEMORY = 1 << 30


def data_of(config: dict[str, Any], kind: str | None) -> Dataset:
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
        x, y = array_of(Path(config["x"])), array_of(Path(config["y"]))
        share = config.get("test_fraction", 0.1)
        if x.nbytes <= _IN_MEMORY:
            return Dataset(np.array(x), np.array(y), test_fraction=share)
        cut = len(x) - max(1, round(len(x) * share))  # too large to shuffle: the end is for testing
        return Dataset(x[:cut], y[:cut], test=(x[cut:], y[cut:]))
    raise ArgumentError(f"the source of the data is 'mnist', 'digits', 'text' or 'arrays'; received {source!r}.")


def called(data: Dataset, config: Mapping[str, Any]) -> str:
    """Say which data these are that `data_of` made of `config`."""
    if isinstance(data, MNIST):
        return f"MNIST ({data.path})"
    if isinstance(data, TEXT2SEQ):
        return f"text ({data.text.name})"
    return "drawn digits (embedded)" if isinstance(data, Digits) else str(config["x"])


def _there(path: Path) -> None:
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        where = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
        raise FileFormatError(f"{path}: there is no such file{where}. Check the path.")


def array_of(path: Path) -> Any:
    """Return the array of a .npy file, left on the disk."""
    _there(path)
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise FileFormatError(f"{path}: the file cannot be read ({error.strerror or error}).") from None
    except (ValueError, TypeError, OverflowError, SyntaxError, TokenError, MemoryError):
        array = None
    if array is None or array.dtype.kind not in "fiub" or not array.ndim:
        what = "" if array is None else f", received an array {array.shape} of {array.dtype}"
        raise FileFormatError(
            f"{path}: expected a .npy file of numbers, an entry a sample, as np.save writes it{what}."
        )
    return array


def samples_of(path: Path, shape: Any) -> Any:
    """Read samples and bring them to the model's input shape."""
    if path.suffix not in (".npy", ".csv", ".png"):
        raise ArgumentError(f"{path}: samples are a .npy, .csv or .png file.")
    _there(path)
    x = array_of(path) if path.suffix == ".npy" else _table(path) if path.suffix == ".csv" else _image(path, shape)
    if x.shape == tuple(shape):
        x = x[np.newaxis]
    if x.shape[1:] != tuple(shape) and math.prod(x.shape[1:]) == math.prod(shape):
        x = x.reshape(len(x), *shape)
    return x


def _table(path: Path) -> Any:
    """Read rows of numbers separated by commas."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a file without a row only warns
            # some editors put a byte-order mark before the text
            return np.loadtxt(path, delimiter=",", ndmin=2, encoding="utf-8-sig")
    except UserWarning:
        raise FileFormatError(f"{path}: expected rows of numbers separated by commas, found no row.") from None
    except (OSError, ValueError) as error:
        reason = str(error).partition(";")[0]  # what follows is advice on NumPy's arguments
        raise FileFormatError(f"{path}: expected rows of numbers separated by commas ({reason}).") from None


def _image(path: Path, shape: Any) -> Any:
    """Read a picture as grey or colour values from 0 to 1, of the size that the model takes."""
    try:
        image = import_extra("matplotlib.image", "plots", "reading a .png").imread(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise FileFormatError(f"{path}: not a readable .png file ({error}).") from None
    image = np.asarray(image, dtype=np.float64)[..., :3] if np.ndim(image) == 3 else np.asarray(image, np.float64)
    colours = shape[0] if len(shape) == 3 else 1
    if image.ndim == 3 and colours == 1:
        image = image @ np.array([0.299, 0.587, 0.114])
    picture = image[np.newaxis] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    if picture.size != int(np.prod(shape)):
        raise ArgumentError(f"{path}: the image is {image.shape}, the model takes {tuple(shape)}. Resize it first.")
    return picture[np.newaxis]
