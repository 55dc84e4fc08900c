"""NumPy's files: every array of numbers comes back as it was, and everything else is one clear error."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from miniDLF.datasets.npy import read_npy, read_npz
from miniDLF.errors import FileFormatError

PATH = Path("x.npy")
KINDS = ["f2", "f4", ">f4", "f8", ">f8", "i1", "<i2", ">i4", "i8", "u1", ">u2", "u4", "u8", "?"]
ARRAYS = st.sampled_from(KINDS).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
)


def saved(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def read(content: bytes) -> np.ndarray:
    return read_npy(io.BytesIO(content), PATH, len(content))


@settings(deadline=None, max_examples=60)
@given(ARRAYS, st.booleans(), st.sampled_from([(1, 0), (2, 0)]))
def test_what_was_saved_comes_back(array: np.ndarray, fortran: bool, version: tuple[int, int]) -> None:
    if fortran:
        array = np.asfortranarray(array)
    again = read(saved(array, version=version))
    np.testing.assert_array_equal(again, array)
    assert again.shape == array.shape
    assert again.dtype == array.dtype.newbyteorder("=")
    assert again.dtype.isnative


def described(text: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    size = len(text).to_bytes(2 if version == b"\1\0" else 4, "little")
    return b"\x93NUMPY" + version + size + text.encode("latin1") + data


def header(descr: str = "'<f8'", shape: str = "(1,)", fortran: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}}}"


ODD: dict[str, tuple[bytes, str]] = {
    "fields": (saved(np.zeros(2, [("a", "f4"), ("b", "i4")])), r"received an array \(2,\) of \[\('a', '<f4'"),
    "an array in each": (described(header("('<f4', (1000000,))")), r"received an array \(1,\) of"),
    "objects": (saved(np.array([1, None], object), allow_pickle=True), r"an array \(2,\) of object"),
    "texts": (saved(np.array(["a"])), r"an array \(1,\) of <U1"),
    "dates": (saved(np.array(["2020-01-01"], "M8[D]")), r"an array \(1,\) of datetime64"),
    "complex": (saved(np.zeros(2, complex)), r"an array \(2,\) of complex128"),
    "long doubles": (described(header("'<f16'"), bytes(16)), r"an array \(1,\) of float128|header is damaged"),
    "no axis": (saved(np.array(1.0)), r"an array \(\) of float64"),
    "a huge shape": (described(header(shape="(10**20, 5)")), "its header is damaged"),
    "a huge number": (described(header(shape=f"({10**20}, 5)")), r"it cannot hold \(100000000000000000000, 5\)"),
    "no numbers of a huge shape": (described(header(shape=f"(0, {2**62})")), r"it cannot hold \(0, 46116860184"),
    "a negative length": (described(header(shape="(-1, 5)"), bytes(40)), r"an array \(-1, 5\) of float64"),
    "two negative lengths": (described(header(shape="(-1, -1)"), bytes(8)), r"an array \(-1, -1\) of float64"),
    "a length that is true": (described(header(shape="(True,)"), bytes(8)), r"an array \(True,\) of float64"),
    "more than there is": (described(header(shape="(2,)"), bytes(8)), r"says 16 bytes of numbers \(2,\), 8 are there"),
    "a terabyte": (described(header(shape="(10000000, 100000)")), r"says 8,000,000,000,000 bytes of numbers .* 0 are"),
    "less than there is": (saved(np.zeros(2)) + bytes(8), r"says 16 bytes of numbers \(2,\), 24 are there"),
    "neither true nor false": (described(header("'|b1'"), b"\2"), "bytes that are neither true nor false"),
    "an archive": (b"PK\3\4" + bytes(100), "its header is damaged .the magic string is not correct"),
    "a text": (b"1,2\n3,4\n" * 4, "its header is damaged"),
    "nothing": (b"", "its header is damaged"),
    "only the magic": (b"\x93NUMPY\1\0", "its header is damaged"),
    "a header without end": (b"\x93NUMPY\2\0\xff\xff\xff\xff{", r"to more than 65,536|its header is damaged"),
    "a header cut short": (saved(np.zeros(3))[:40], "its header is damaged"),
    "brackets": (described("(" * 3000), "its header is damaged"),
    "a call": (described(header(shape="print(1)")), "its header is damaged"),
    "not a number": (described(header(shape="(1.5,)")), "its header is damaged"),
    "no such type": (described(header("'<q9'")), "its header is damaged"),
    "a type of a list": (described(header("[['a']]")), "its header is damaged"),
    "version 3": (described(header(), bytes(8), b"\3\0"), r"version \(3, 0\) of the format is for arrays with named"),
    "version 9": (described(header(), bytes(8), b"\x09\0"), r"version \(9, 0\) of the format"),
    "half a number": (saved(np.zeros(3))[:-3], r"says 24 bytes of numbers \(3,\), 21 are there"),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_no_array_of_numbers(case: str) -> None:
    content, message = ODD[case]
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=message) as caught:
            read(content)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith("x.npy")
    assert len(str(caught.value)) < 400


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_damage_gives_an_array_or_one_kind_of_error(data: st.DataObject) -> None:
    whole = saved(np.arange(6, dtype=data.draw(st.sampled_from(KINDS[:-1]))).reshape(2, 3))
    place = data.draw(st.integers(0, len(whole) - 1))
    damage = data.draw(st.sampled_from(["flip", "cut", "insert"]))
    more = {
        "flip": bytes([whole[place] ^ data.draw(st.integers(1, 255))]),
        "cut": b"",
        "insert": whole[place:] + data.draw(st.binary(min_size=1, max_size=4)),
    }[damage]
    content = whole[:place] + more + (whole[place + 1 :] if damage == "flip" else b"")
    try:
        assert read(content).dtype.kind in "fiub"
    except FileFormatError as error:
        assert str(error).startswith("x.npy")


def archive(compression: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as packed:
        for name, content in members.items():
            packed.writestr(f"{name}.npy", content)
    return file.getvalue()


def read_archive(content: bytes, limit: int = 1 << 24) -> dict[str, np.ndarray]:
    return read_npz(io.BytesIO(content), Path("x.npz"), len(content), limit)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives(save: Any) -> None:
    file = io.BytesIO()
    x, y = np.arange(6.0).reshape(2, 3), np.array([True, False])
    save(file, x=x, y=y)
    again = read_archive(file.getvalue())
    assert list(again) == ["x", "y"]
    np.testing.assert_array_equal(again["x"], x)
    np.testing.assert_array_equal(again["y"], y)


def changed(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


ZEROS = saved(np.zeros(1 << 22, np.uint8))
BAD_ARCHIVES: dict[str, tuple[bytes, str]] = {
    "no archive": (b"hello", "it is no whole .npz archive"),
    "nothing": (b"", "it is no whole .npz archive"),
    "no arrays": (archive(), "it holds 0 arrays"),
    "too many": (archive(**{f"a{n}": b"" for n in range(1025)}), "it holds 1025 arrays"),
    "objects": (archive(x=saved(np.array([None]), allow_pickle=True)), "of object"),
    "a bomb": (archive(x=ZEROS), r"its [0-9,]+ bytes would unpack to 4,194,4\d\d; no more than 1,048,576 are read"),
    "packed by bzip2": (archive(zipfile.ZIP_BZIP2, x=saved(np.zeros(3))), "'x.npy' is packed in a way that np.savez"),
    "cut": (archive(x=saved(np.zeros(3)))[:-30], "it is no whole .npz archive"),
    "another checksum": (changed(archive(0, x=saved(np.ones(3))), np.ones(3).tobytes(), bytes(24)), "Bad CRC-32"),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_archives_that_are_none(case: str) -> None:
    content, message = BAD_ARCHIVES[case]
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=message) as caught:
            read_archive(content, 1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 3e6
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith("x.npz: expected a .npz file of numbers")


def test_an_archive_that_says_less_than_it_unpacks_to() -> None:
    content = archive(x=ZEROS)
    size = len(ZEROS).to_bytes(4, "little")
    with pytest.raises(FileFormatError, match="x.npz"):
        read_archive(changed(content, size, (1000).to_bytes(4, "little")))
