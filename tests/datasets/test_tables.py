"""Tables as text: with and without names of columns, and every mistake with its row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from miniDLF.datasets.tables import read_table
from miniDLF.errors import FileFormatError

ROWS = [[1.0, 2.5], [-3.0, 4e-3]]
GOOD = {
    "numbers": b"1,2.5\n-3,4e-3\n",
    "names": b"width,height\n1,2.5\n-3,4e-3\n",
    "names in quotes": b'"width, cm","height"\n"1","2.5"\n-3,4e-3',
    "semicolons": b"a;b\n1;2.5\n-3;4e-3\n",
    "tabs": b"1\t2.5\n-3\t4e-3\n",
    "spaces": b" 1, 2.5\n -3 ,4e-3 \n",
    "comments and empty lines": b"# of today\n\na,b\n1,2.5 # the first\n\n-3,4e-3\n",
    "a byte-order mark": "\ufeffa,b\n1,2.5\n-3,4e-3\n".encode(),
    "ends of lines of other systems": b"a,b\r\n1,2.5\r\n-3,4e-3\r\n",
}


@pytest.mark.parametrize("case", GOOD)
def test_tables(case: str) -> None:
    table = read_table(GOOD[case], Path("t.csv"))
    np.testing.assert_array_equal(table, ROWS)
    assert table.dtype == np.float64


def test_one_column() -> None:
    np.testing.assert_array_equal(read_table(b"species\n0\n2\n", Path("t.csv")), [[0], [2]])


BAD = {
    "nothing": (b"", "found no row"),
    "names alone": (b"a,b\n", "found no row"),
    "a word": (b"1,2\n3,four\n", r"\(row 2, column 2 holds 'four'\)"),
    "a word in the first row": (b"1,two\n3,4\n", r"\(row 1, column 2 holds 'two'\)"),
    "names twice": (b"a,b\na,b\n1,2\n", r"\(row 2, column 1 holds 'a'\)"),
    "an empty entry": (b"a,b\n1,\n", r"\(row 2, column 2 is empty\)"),
    "a shorter row": (b"a,b\n1,2\n\n3\n", r"the number of columns changed from 2 to 1 at row 4"),
    "a longer row": (b"1,2\n3,4,5\n", r"the number of columns changed from 2 to 3 at row 2"),
    "no text": (b"1,2\n\xff\xfe", r"byte 4 is no UTF-8"),
    "a comma as the point": (b"1,5;2\n3;4\n", "row 1|changed from"),
    "binary": (bytes(range(256)) * 3, "no UTF-8"),
    "a number of a million digits": (b"1,x" + b"1" * 1_000_000, "column 2 holds 'x1111"),
    "a quote that never ends": (b'1,"2\n3,4\n5,6\n', r"row 1 has a quotation mark that nothing closes"),
    "a zero byte": (b"1,2\n3,\0\n", "row 2"),
    "a large row": (b"1," * (1 << 23) + b"1", "row 1 has 16,777,217 characters; rows of up to 16,777,216 are read"),
}


@pytest.mark.parametrize("case", BAD)
def test_mistakes_in_a_table(case: str) -> None:
    content, message = BAD[case]
    with pytest.raises(FileFormatError, match=message) as caught:
        read_table(content, Path("t.csv"))
    assert str(caught.value).startswith("t.csv: ")
    assert len(str(caught.value)) < 200
