"""Tables of numbers as text: a row a sample, with or without a line of column names."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miniDLF.errors import FileFormatError

__all__ = ["read_table"]

#: Characters of a line: a sample of a million numbers takes so many.
LONGEST_LINE = 1 << 24
#: Characters of a number.
LONGEST_NUMBER = 512
SEPARATORS = ",;\t"


def read_table(content: bytes, path: Path) -> NDArray[np.float64]:
    """Return the rows of numbers (N, D) in a text.

    Numbers are separated by commas, semicolons or tabs. A first line without any number in it names the columns and is
    passed over, as are empty lines and what follows a ``#``.

    Raises
    ------
    FileFormatError
        If there is no row, an entry is missing or no number, or rows have different lengths; the message names the
        line of the file.
    """
    try:
        lines = content.decode("utf-8-sig").splitlines()  # some editors put a byte-order mark before the text
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: expected rows of numbers as text (byte {error.start} is no UTF-8).") from None
    rows = [(number, text) for number, line in enumerate(lines, 1) if (text := line.partition("#")[0].strip(" "))]
    for number, text in rows:
        if len(text) > LONGEST_LINE:
            raise FileFormatError(
                f"{path}: row {number} has {len(text):,} characters; rows of up to {LONGEST_LINE:,} are read. Save "
                "large samples with np.save."
            )
    if rows and not any(map(_is_number, _fields(rows[0][1], _separator(rows[0][1])))):
        del rows[0]
    if not rows:
        raise FileFormatError(f"{path}: expected rows of numbers separated by commas, found no row.")
    separator = _separator(rows[0][1])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return np.loadtxt((text for _, text in rows), delimiter=separator, ndmin=2, comments=None, quotechar='"')
    except (ValueError, UserWarning):
        mistake = _first_mistake(rows, separator)
        raise FileFormatError(f"{path}: expected rows of numbers separated by commas ({mistake}).") from None


def _separator(line: str) -> str:
    return next((separator for separator in SEPARATORS if separator in line), ",")


def _fields(line: str, separator: str) -> list[str]:
    return [field.strip().strip('"') for field in line.split(separator)]


def _is_number(field: str) -> bool:
    try:
        float(field[:LONGEST_NUMBER])
    except ValueError:
        return False
    return True


def _first_mistake(rows: list[tuple[int, str]], separator: str) -> str:
    """Return what is wrong with a table, in words."""
    expected: Any = None
    for number, text in rows:
        fields = _fields(text, separator)
        expected = expected or len(fields)
        if len(fields) != expected:
            return f"the number of columns changed from {expected} to {len(fields)} at row {number}"
        for column, field in enumerate(fields, 1):
            if not field:
                return f"row {number}, column {column} is empty"
            if not _is_number(field) or len(field) > LONGEST_NUMBER:
                return f"row {number}, column {column} holds {field[:40]!r}"
        if text.count('"') % 2:
            return f"row {number} has a quotation mark that nothing closes"
    return "something in it is no number"
