"""Text as sequences: read T characters, predict each next one."""

from __future__ import annotations

import os
from typing import Any, TextIO

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import DTypeLike, NDArray

from miniDLF.datasets.batches import seeded
from miniDLF.datasets.checking import number_type, whole_number
from miniDLF.datasets.dataset import Dataset, Split, choose_test
from miniDLF.datasets.text import Text
from miniDLF.errors import DataError, ShapeError
from miniDLF.writing import write_line

__all__ = ["TEXT2SEQ"]

Array = NDArray[Any]

#: Bytes that the one-hot windows may take.
LARGEST = 1 << 32


class TEXT2SEQ(Dataset):
    """Windows of a text and, as targets, the same windows one character later.

    ``x[n]`` is ``text[s:s + T]`` in one-hot rows (T, V) and ``y[n]`` is ``text[s + 1:s + T + 1]`` as codes (T,), for
    every start s. V is the number of different characters.

    Parameters
    ----------
    path
        A text file, or a `Text`; without it the text that comes with miniDLF.
    timesteps
        The length T of a window.
    test_fraction, seed
        The share of the windows, chosen at random as a function of the seed, that is not trained on.
    stride
        Characters from one window to the next; a larger one saves memory with long texts.
    encoding
        How the file stores its characters.
    dtype
        The type of x.

    Attributes
    ----------
    text : Text
    timesteps : int

    Raises
    ------
    FileFormatError
        If the file is missing or not text.
    DataError
        If the text is empty, or too short for windows of this length.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Text | None = None,
        timesteps: int = 60,
        *,
        test_fraction: float = 0.1,
        seed: int = 0,
        stride: int = 1,
        encoding: str = "utf-8",
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.timesteps = whole_number(timesteps, "TEXT2SEQ: timesteps", 1)
        self.stride = whole_number(stride, "TEXT2SEQ: stride", 1)
        kind = number_type(dtype, "TEXT2SEQ: dtype")
        self.text = path if isinstance(path, Text) else Text(path, encoding=encoding)
        self.seed = seed
        if len(self.text) <= self.timesteps:
            raise DataError(
                f"TEXT2SEQ: {self.text.name} has {len(self.text)} characters, too few for windows of {self.timesteps} "
                f"and one to predict; use timesteps={max(1, len(self.text) // 2)} or less, or a longer text."
            )
        codes = self.text.encode(self.text.content)
        windows = sliding_window_view(codes.astype(np.intp, copy=False), self.timesteps)[:: self.stride]
        starts = np.arange(0, len(codes) - self.timesteps, self.stride)  # each has a character after its window
        windows, following = windows[: len(starts)], sliding_window_view(codes[1:], self.timesteps)[:: self.stride]
        self._check_memory(windows, kind)
        rows = np.eye(len(self.text.alphabet), dtype=kind)
        tested = choose_test(len(starts), test_fraction, seed)
        train, test = (Split(rows.take(windows[part], axis=0), following[part]) for part in (~tested, tested))
        self._set(train, test if len(test) else None, None, len(self.text.alphabet))
        self.class_names = tuple(self.text.alphabet)

    def _check_memory(self, windows: Array, dtype: np.dtype[Any]) -> None:
        needed = windows.size * len(self.text.alphabet) * dtype.itemsize
        if needed > LARGEST:
            fitting = self.stride * -(-needed // LARGEST)
            raise DataError(
                f"TEXT2SEQ: the windows of {self.text.name} would take {needed / 1e9:.1f} GB; pass stride={fitting} to "
                "begin a window only every so many characters, or fewer timesteps."
            )

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the codes (T,) of a string (see `Text.encode`)."""
        return self.text.encode(text)

    def decode(self, array: Any) -> Any:
        """Return the text that codes, one-hot rows or probabilities stand for (see `Text.decode`)."""
        return self.text.decode(array)

    def samples(self, model: Any, n: int = 3, *, seed: int = 0) -> list[str]:
        """Return what `model` makes of `n` windows chosen at random: lines of input, target and prediction.

        The windows come from the test split, if there is one. Line breaks within them are shown as spaces.

        Parameters
        ----------
        model
            Anything with ``predict(x)``, (n, T, V) to (n, T, V).

        Returns
        -------
        lines
            ``X = ...``, ``y = ...``, ``p = ...``, and an empty line between one window and the next.
        """
        count = whole_number(n, "samples: n", 1)
        split = self.train if self.test is None else self.test
        chosen = seeded("samples", seed).permutation(len(split))[:count]
        x, y = split.x[chosen], split.y[chosen]
        prediction = np.asarray(model.predict(x))
        if prediction.shape != x.shape:
            raise ShapeError(
                f"samples: the model must predict one character for each step, {x.shape}; it returned "
                f"{prediction.shape}. Use a recurrent layer that returns sequences."
            )
        lines: list[str] = []
        for blocks in zip(self.decode(x), self.decode(y), self.decode(prediction), strict=True):
            lines += [""] if lines else []
            lines += [f"{name} = {_one_line(text)}" for name, text in zip("Xyp", blocks, strict=True)]
        return lines

    def print_samples(self, model: Any, n: int = 3, file: TextIO | None = None, *, seed: int = 0) -> None:
        """Write `samples` to a stream, by default to standard output."""
        write_line("\n".join(self.samples(model, n, seed=seed)), file)


def _one_line(text: str) -> str:
    return "".join(" " if character.isspace() else character for character in text)
