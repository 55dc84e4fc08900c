"""The unpickler reads arrays, runs nothing, and has limits."""

from __future__ import annotations

import builtins
import gzip
import io
import os
import pickle
import struct
import subprocess
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miniDLF.datasets import files, pickle_reader
from miniDLF.datasets.pickle_reader import read_pickle
from miniDLF.errors import FileFormatError
from tests.datasets.conftest import leaves, no_two_share_memory, same

ARRAYS = (
    (np.arange(12, dtype=np.float32).reshape(3, 4), np.arange(3)),
    [np.zeros((0, 4)), np.array(5.0), np.array([True, False])],
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(4, dtype=">i4"),
)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("packed", [True, False])
def test_arrays_come_back_from_every_protocol(tmp_path, protocol, packed):
    content = pickle.dumps(ARRAYS, protocol=protocol)
    (tmp_path / "a").write_bytes(gzip.compress(content) if packed else content)
    same(read_pickle(tmp_path / "a"), ARRAYS)


def test_a_pickle_of_python_2(tmp_path):
    """Python 2 wrote bytes as text, and NumPy 1 had other module names: so the file of 2010 was made."""
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85U\x01b\x87Rq\x02"
        b"(K\x01K\x02\x85cnumpy\ndtype\nq\x03U\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x08" + struct.pack("<2f", 1.5, -2) + b"tb."
    )
    (tmp_path / "a").write_bytes(content)
    np.testing.assert_array_equal(read_pickle(tmp_path / "a"), np.array([1.5, -2], np.float32))


class Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


HOSTILE = {
    "os.system": (
        Call(os.system, "touch pwned"),
        r"refused: the pickle asks for (posix|nt)\.system; only NumPy arrays",
    ),
    "eval": (Call(builtins.eval, "open('pwned', 'w')"), r"refused: the pickle asks for (__builtin__|builtins)\.eval"),
    "popen": (Call(subprocess.Popen, ["touch", "pwned"]), r"refused: the pickle asks for (commands|subprocess)\.Popen"),
    "getattr": (Call(getattr, "a", "upper"), r"refused: the pickle asks for (__builtin__|builtins)\.getattr"),
    "objects": (np.array([1, "a", None], object), r"refused: the pickle asks for numbers of the type 'O8'"),
    "text": (np.array(["a"]), r"refused: the pickle asks for numbers of the type 'U1'"),
    "records": (np.zeros(2, "i4,f8"), r"refused: the pickle asks for numbers of the type 'V12'"),
    "dictionary": ({"x": np.zeros(2)}, r"refused: the pickle asks for the instruction EMPTY_DICT"),
    "a string": (["hello"], r"refused: the pickle asks for something that is no array"),
    "a number": (3, r"refused: the pickle asks for something that is no array"),
    "too many arrays": ([np.zeros(1) + i for i in range(17)], r"asks for more than 16 arrays"),
    "too many instructions": (list(range(5000)), r"asks for more than 4096 instructions"),
}


@pytest.mark.parametrize("attack", HOSTILE)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_hostile_pickle_gives_one_error_and_runs_nothing(tmp_path, monkeypatch, attack, protocol):
    monkeypatch.chdir(tmp_path)
    value, message = HOSTILE[attack]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
    with pytest.raises(FileFormatError, match=message):
        read_pickle(tmp_path / "a.pkl")
    assert os.listdir() == ["a.pkl"]


BYTES = b"\x80\x02"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
CRAFTED = {
    "a state for a function": (RECONSTRUCT + b"}b.", r"the instruction EMPTY_DICT"),
    "a change of a name": (RECONSTRUCT + b"(K\x01tb.", r"a change of something that is no array"),
    "a codec": (b"c_codecs\nencode\n(X\x01\0\0\0aX\x03\0\0\0zip\x74R.", r"an encoding other than latin1"),
    "an array without data": (RECONSTRUCT + b"cnumpy\nndarray\nK\0\x85U\x01b\x87R.", r"something that is no array"),
    "a huge shape at once": (RECONSTRUCT + b"cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85U\x01b\x87R.", r"no array"),
    "a call of a number": (b"K\x01)R.", r"a call of something that is no function"),
    "a persistent id": (b"Pos.system\n.", r"the instruction PERSID"),
    "an instance": (b"(ios\nsystem\n.", r"the instruction INST"),
    "an extension": (b"\x82\x01.", r"the instruction EXT1"),
    "an empty stack": (b"\x85.", r"."),
    "an unknown memo": (b"h\x07.", r"is cut short or no pickle"),
    "no end": (b"K\x01", r"is cut short or no pickle"),
    "no pickle": (b"hello", r"is cut short or no pickle"),
    "a text cut short": (b"X\xff\xff\0\0abc", r"is cut short or no pickle"),
    "a text of 4 GB": (b"X\xff\xff\xff\xffabc", r"unpacks to more than 268,435,456 bytes"),
    "bytes of 16 EB": (b"\x8e" + b"\xff" * 7 + b"\x0f" + b"abc", r"unpacks to more than 268,435,456 bytes"),
    "a far memo": (b"K\x01r\xff\xff\xff\xff.", r"something that is no array"),  # 64 GB in the standard unpickler
    "a deep nest": (b"K\x01" + b"\x85" * 4000 + b".", r"something that is no array"),
    "a nested name": (b"K\x01" + b"\x85" * 4000 + b"X\x01\0\0\0a\x93.", r"asks for \?\.a"),
    "a long name": (b"c" + b"a" * 5000 + b"\nb\n.", r"a line of more than 256 bytes"),
    "nothing": (b"", r"is cut short or no pickle"),
}


@pytest.mark.parametrize("attack", CRAFTED)
def test_a_crafted_pickle_gives_one_error_and_takes_no_memory(tmp_path, attack):
    content, message = CRAFTED[attack]
    (tmp_path / "a.pkl").write_bytes(BYTES + content if content else b"")
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=message) as caught:
        read_pickle(tmp_path / "a.pkl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (struct.pack("<B", 3), struct.pack("<B", 4), r"an array of shape \(4,\) and 16 bytes, but gives 12 bytes"),
    ],
)
def test_shape_and_bytes_must_agree(tmp_path, old, new, message):
    content = pickle.dumps(np.arange(3, dtype=np.int32), protocol=2)
    assert content.count(b"K\x01K" + old) == 1
    (tmp_path / "a").write_bytes(content.replace(b"K\x01K" + old, b"K\x01K" + new))
    with pytest.raises(FileFormatError, match=message):
        read_pickle(tmp_path / "a")


def test_a_bomb_is_refused_before_it_unpacks(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGEST_FILE", 1 << 20)
    path = tmp_path / "bomb.pkl.gz"
    path.write_bytes(gzip.compress(pickle.dumps(np.zeros(1 << 22, np.uint8), protocol=4)))
    assert path.stat().st_size < 10_000
    with pytest.raises(FileFormatError, match=r"bomb\.pkl\.gz: unpacks to more than 1,048,576 bytes"):
        read_pickle(path)


@pytest.mark.parametrize("packed", [False, True])
def test_no_memory_is_taken_for_more_than_the_file_can_hold(tmp_path, packed):
    content = b"X" + struct.pack("<I", 200_000_000) + b"abc"
    (tmp_path / "a").write_bytes(gzip.compress(BYTES + content) if packed else BYTES + content)
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=r"a: is cut short: it announces 200,000,0.. bytes and cannot hold more"):
        read_pickle(tmp_path / "a")
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def encoded_many_times(length):
    text = b"X" + struct.pack("<I", length) + b"a" * length + b"q\x00X\x06\0\0\0latin1q\x01c_codecs\nencode\nq\x02"
    return BYTES + text + b"h\x02h\x00h\x01\x86R" * 100 + b"."


def test_the_same_text_cannot_be_encoded_for_ever(tmp_path, monkeypatch):
    """Few bytes, many calls: each result would take memory of its own."""
    monkeypatch.setattr(pickle_reader, "LARGEST_FILE", 1 << 20)
    (tmp_path / "a").write_bytes(encoded_many_times(files.PIECE - 1))
    with pytest.raises(FileFormatError, match=r"asks for more than 1,048,576 bytes"):
        read_pickle(tmp_path / "a")


def test_a_large_text_is_encoded_once(tmp_path):
    (tmp_path / "a").write_bytes(encoded_many_times(1 << 20))
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=r"something that is no array"):
        read_pickle(tmp_path / "a")
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


def over_the_same_bytes(arrays, length):
    """Return the pickle of arrays that all are over the same bytes, which it holds once."""
    function, data = np.zeros(1).__reduce_ex__(5)[0], b"\1" * length
    return pickle.dumps([Call(function, data, np.dtype("u1"), (length,), "C") for _ in range(arrays)], protocol=4)


def test_arrays_over_the_same_bytes_are_apart(tmp_path):
    for length in (8, 2 * files.PIECE):
        (tmp_path / "a").write_bytes(over_the_same_bytes(3, length))
        result = read_pickle(tmp_path / "a")
        same(result, (np.ones(length, np.uint8),) * 3)
        assert no_two_share_memory(result)


def test_the_bytes_of_many_arrays_are_counted_before_they_are_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(pickle_reader, "LARGEST_FILE", 1 << 20)
    (tmp_path / "a").write_bytes(over_the_same_bytes(16, 1 << 20))
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=r"asks for more than 1,048,576 bytes"):
        read_pickle(tmp_path / "a")
    assert tracemalloc.get_traced_memory()[1] < 2.5e6  # two of them
    tracemalloc.stop()


def test_lists_of_lists_cannot_grow_for_ever(tmp_path):
    """Five kilobytes could ask for half a billion parts."""
    for content, message in ((np.zeros(1), "16 arrays"), ([], "4096 parts")):
        (tmp_path / "a").write_bytes(pickle.dumps([[[content] * 800] * 800] * 800, protocol=2))
        with pytest.raises(FileFormatError, match=f"asks for more than {message}"):
            read_pickle(tmp_path / "a")


def test_a_truncated_archive(tmp_path):
    content = gzip.compress(pickle.dumps(ARRAYS, protocol=2))
    for cut in (2, 10, len(content) // 2, len(content) - 4):
        (tmp_path / "a.gz").write_bytes(content[:cut])
        with pytest.raises(FileFormatError, match=r"a\.gz: is cut short"):
            read_pickle(tmp_path / "a.gz")


def test_a_damaged_archive(tmp_path):
    content = bytearray(gzip.compress(pickle.dumps(ARRAYS, protocol=2)))
    content[-6] ^= 1  # the checksum
    (tmp_path / "a.gz").write_bytes(bytes(content))
    with pytest.raises(FileFormatError, match=r"compressed data are damaged"):
        read_pickle(tmp_path / "a.gz")


VALID = pickle.dumps(ARRAYS, protocol=2)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.integers(0, len(VALID) - 1), value=st.integers(0, 255), cut=st.integers(1, len(VALID)))
def test_any_damage_gives_arrays_or_one_kind_of_error(tmp_path, place, value, cut):
    damaged = bytearray(VALID)
    damaged[place] = value
    for content in (bytes(damaged), VALID[:cut]):
        (tmp_path / "a").write_bytes(content)
        try:
            result = read_pickle(tmp_path / "a")
        except FileFormatError:
            continue
        for leaf in leaves(result):
            assert isinstance(leaf, np.ndarray)
            assert leaf.dtype.kind in "iufb"


def test_a_wrong_escape_sequence_is_an_error_and_no_warning(tmp_path):
    (tmp_path / "a").write_bytes(b"(S'a\\_b'\n.")
    with pytest.raises(FileFormatError, match="escape"):
        read_pickle(tmp_path / "a")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_give_one_kind_of_error(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(FileFormatError):
        read_pickle(tmp_path / "a")


@pytest.mark.parametrize("protocol", [1, pickle.HIGHEST_PROTOCOL])
def test_which_protocols_are_read_is_said(tmp_path, protocol):
    array = np.arange(1000.0)
    (tmp_path / "a").write_bytes(pickle.dumps(array, protocol=0))
    with pytest.raises(FileFormatError, match=r"Of pickles, those of protocol 1 and later are read"):
        read_pickle(tmp_path / "a")
    (tmp_path / "a").write_bytes(pickle.dumps(array, protocol=protocol))
    same(read_pickle(tmp_path / "a"), array)


@pytest.mark.parametrize("text", ["The sea is calm.", "In the sea.", "Begin.", "X is a variable."])
def test_a_text_is_no_pickle(tmp_path, text):
    (tmp_path / "a").write_text(text * 100)
    with pytest.raises(FileFormatError, match=rf"is cut short or no pickle \(it begins with b'{text[0]}'\)"):
        read_pickle(tmp_path / "a")


def test_the_standard_machine_reads_the_same(tmp_path):
    (tmp_path / "a").write_bytes(VALID)
    same(read_pickle(tmp_path / "a"), pickle.load(io.BytesIO(VALID)))  # noqa: S301 - made above
