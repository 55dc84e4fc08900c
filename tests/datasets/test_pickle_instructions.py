"""Large arrays in a pickle: decoded in pieces, into memory of their own."""

from __future__ import annotations

import gzip
import pickle
import struct

import numpy as np
import pytest

from miniDLF.datasets import files
from miniDLF.datasets.pickle_reader import read_pickle
from miniDLF.errors import FileFormatError
from tests.datasets.conftest import no_two_share_memory, same


def large_arrays():
    """Arrays whose text in UTF-8 has characters of one and of two bytes across the ends of the pieces."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, 3 * files.PIECE + 5).astype(np.uint8)
    return (
        noise,
        np.full(files.PIECE, 255, np.uint8),
        noise[: 2 * files.PIECE].view(np.int64),
        np.asfortranarray(rng.random((300, 200), np.float32)),
        rng.random((90, 30, 10)).astype(">f8"),
        [rng.random(files.PIECE) < 0.5, rng.integers(0, 9, (200, 200))],
    )


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("packed", [True, False])
def test_large_arrays_come_back_from_every_binary_protocol(tmp_path, protocol, packed):
    arrays = large_arrays()
    content = pickle.dumps(arrays, protocol=protocol)
    (tmp_path / "a").write_bytes(gzip.compress(content, 1) if packed else content)
    result = read_pickle(tmp_path / "a")
    same(result, arrays)
    assert no_two_share_memory(result)


def of_python_2(data, text):
    """Return the pickle of bytes as an array, as Python 2 wrote it."""
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01J"
        + struct.pack("<I", len(data))
        + b"\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + text
        + b"tb."
    )


def test_a_large_text_of_python_2(tmp_path):
    data = np.random.default_rng(1).integers(0, 256, 2 * files.PIECE + 1).astype(np.uint8).tobytes()
    (tmp_path / "a").write_bytes(of_python_2(data, b"T" + struct.pack("<I", len(data)) + data))
    assert read_pickle(tmp_path / "a").tobytes() == data


LARGE = files.PIECE + 10
LARGE_TEXTS = {
    "cut short": (b"X" + struct.pack("<I", LARGE) + b"a" * (LARGE - 50), r"131,082 bytes were expected, 131,0"),
    "within a character": (b"X" + struct.pack("<I", LARGE) + b"a" * (LARGE - 1) + b"\xc3", r"can't decode|unexpected"),
    "no UTF-8": (b"X" + struct.pack("<I", LARGE) + b"\xff" * LARGE, r"can't decode"),
    "beyond latin1": (b"X" + struct.pack("<I", LARGE) + "\u0107".encode() * (LARGE // 2), r"can't encode"),
    "a surrogate": (b"X" + struct.pack("<I", LARGE) + b"\xed\xa0\x80" * (LARGE // 3), r"can't decode"),
    "characters that are fewer": (
        b"X" + struct.pack("<I", LARGE) + "é".encode() * (LARGE // 2),
        r"an array of shape \(131082,\) and 131,082 bytes, but gives 65,541 bytes",
    ),
    "a name": (b"X" + struct.pack("<I", LARGE) + b"a" * LARGE + b"X\x01\0\0\0a\x93", r"asks for \?\.a"),
}


@pytest.mark.parametrize("damage", LARGE_TEXTS)
def test_a_damaged_large_text_gives_one_clear_sentence(tmp_path, damage):
    text, message = LARGE_TEXTS[damage]
    (tmp_path / "a").write_bytes(of_python_2(b"a" * LARGE, text))
    with pytest.raises(FileFormatError, match=message):
        read_pickle(tmp_path / "a")


def test_an_array_that_is_there_twice_is_copied(tmp_path):
    for size in (3, files.PIECE):
        x = np.arange(size)
        (tmp_path / "a").write_bytes(pickle.dumps((x, [x, x]), protocol=2))
        result = read_pickle(tmp_path / "a")
        same(result, (x, [x, x]))
        assert no_two_share_memory(result)
