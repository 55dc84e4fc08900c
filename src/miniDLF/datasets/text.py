"""Texts as numbers: an alphabet, codes, one-hot rows, and back."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from miniDLF.arrays import plain_array
from miniDLF.datasets.checking import one_hot
from miniDLF.datasets.files import as_path
from miniDLF.errors import ArgumentTypeError, DataError, FileFormatError, ShapeError
from miniDLF.files import read_text

__all__ = ["Text"]

Array = NDArray[Any]

EMBEDDED = "small_networks.txt"
#: The most bytes of a text: more of them have no place in memory as windows.
LARGEST = 1 << 28


class Text:
    """A text and its alphabet. ``Text()`` is the one that comes with miniDLF.

    Parameters
    ----------
    path
        A text file.
    encoding
        How its characters are stored.

    Attributes
    ----------
    content : str
        The text.
    alphabet : str
        Its different characters in order; a character's code is its place there.

    Raises
    ------
    FileFormatError
        If the file is missing or not text in this encoding.
    DataError
        If it is empty.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, encoding: str = "utf-8") -> None:
        if path is None:
            content = resources.files("miniDLF.datasets").joinpath(EMBEDDED).read_text("ascii")
            self._set(content, "the embedded text")
        else:
            file = as_path(path, "Text")
            self._set(_read(file, encoding), str(file))

    @classmethod
    def from_string(cls, content: str) -> Text:
        """Make a text of a string."""
        if not isinstance(content, str):
            raise ArgumentTypeError(f"Text.from_string: expected a string, received {type(content).__name__}.")
        self = cls.__new__(cls)
        self._set(content, "the string")
        return self

    def _set(self, content: str, name: str) -> None:
        if not content:
            raise DataError(f"{name} is empty: there is no text in it.")
        self.content, self.name = content, name
        self.alphabet = "".join(sorted(set(content)))
        self._codes = {character: code for code, character in enumerate(self.alphabet)}

    def __len__(self) -> int:
        return len(self.content)

    def __repr__(self) -> str:
        return f"Text({self.name}: {len(self)} characters, {len(self.alphabet)} different)"

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the codes (T,) of a string.

        Raises
        ------
        DataError
            If a character is not in the alphabet.
        """
        codes = self._codes
        try:
            return np.fromiter((codes[character] for character in text), np.int64, len(text))
        except KeyError as error:
            place = text.index(error.args[0])
            raise DataError(
                f"encode: the character {error.args[0]!r} (at {place}) is not in the alphabet {self.alphabet!r}; "
                "leave it out or replace it."
            ) from None

    def one_hot(self, text: str, dtype: DTypeLike = np.float32) -> Array:
        """Return a string as one-hot rows (T, V), the form a network reads."""
        return one_hot(self.encode(text), len(self.alphabet), dtype)

    def decode(self, array: Any) -> Any:
        """Return the text that an array stands for; a list of texts for a batch.

        Parameters
        ----------
        array
            Codes, (T,) or (N, T) integers; or one-hot rows or probabilities, (T, V) or (N, T, V) floats, of which the
            most likely character is taken.

        Raises
        ------
        DataError
            If a code is not in the alphabet.
        ShapeError
            If the array is of another form.
        """
        codes = plain_array(array, "decode", ShapeError)
        size = len(self.alphabet)
        if codes.dtype.kind == "f" or (codes.ndim == 3 and codes.shape[-1] == size):
            if codes.ndim not in (2, 3) or codes.shape[-1] != size:
                raise ShapeError(
                    f"decode: expected one-hot rows or probabilities (T, {size}) or (N, T, {size}), received "
                    f"{codes.shape}. Codes must be integers."
                )
            codes = codes.argmax(axis=-1)
        if codes.dtype.kind not in "iu" or codes.ndim not in (1, 2):
            raise ShapeError(f"decode: expected codes (T,) or (N, T), received {codes.shape} of {codes.dtype}.")
        if codes.size and not (codes.min() >= 0 and codes.max() < size):
            raise DataError(
                f"decode: expected codes 0 to {size - 1}, one for each character of the alphabet, received "
                f"{codes.min()} to {codes.max()}."
            )
        if codes.ndim == 1:
            return "".join(self.alphabet[code] for code in codes)
        return ["".join(self.alphabet[code] for code in row) for row in codes]


def _read(path: Path, encoding: str) -> str:
    if not isinstance(encoding, str) or "\0" in encoding:
        raise ArgumentTypeError(f"Text: encoding: expected a name such as 'utf-8', received {encoding!r}.")
    try:
        text = read_text(path, encoding, LARGEST)
        return text.removeprefix("\ufeff")  # some editors put a byte-order mark before the text
    except FileFormatError:
        raise
    except FileNotFoundError:
        raise FileFormatError(
            f"{path}: there is no such text file (looked in {Path.cwd()}). Without a path the embedded text is used."
        ) from None
    except IsADirectoryError:
        raise FileFormatError(f"{path}: is a folder, a text file was expected.") from None
    except UnicodeError as error:
        place = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else ""
        raise FileFormatError(
            f"{path}: is not text in {encoding}{place}. Pass its encoding=..., or save it as UTF-8."
        ) from None
    except LookupError:
        raise FileFormatError(f"{path}: there is no encoding {encoding!r}; try 'utf-8' or 'latin-1'.") from None
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read ({error.strerror or error}).") from None
