"""Files: what is written is read, nothing half-written ever shows, and a bad file gives one error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from miniDLF.errors import ArgumentError, ArgumentTypeError, FileFormatError
from miniDLF.storage import Checkpoints, atomic, header, inspect, read_tensors, report_mismatch, write_tensors
from miniDLF.storage.atomic import atomic_file

TYPES = st.sampled_from(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u4", "?", ">f4", ">i8"])
ARRAYS = TYPES.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"), ARRAYS, max_size=4))
def test_round_trip(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, tensors, {"kind": "test", "list": [1, "a", None]})
    again, document = read_tensors(path)
    assert document["list"] == [1, "a", None]
    assert set(again) == set(tensors)
    for name, array in tensors.items():
        assert again[name].shape == array.shape
        assert again[name].flags.writeable
        np.testing.assert_array_equal(again[name], array)
    entries, _ = inspect(path)
    assert {name: entry.shape for name, entry in entries.items()} == {n: a.shape for n, a in tensors.items()}


def some(scale: float = 1.0) -> dict[str, np.ndarray]:
    return {"a": scale * np.arange(12.0).reshape(3, 4).T, "b": np.full(5, 7, np.int64)}


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    write_tensors(tmp_path / "1", some(), {"x": 1, "y": 2})
    write_tensors(tmp_path / "2", dict(reversed(some().items())), {"y": 2, "x": 1})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@quick
@given(st.data())
def test_a_damaged_file_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, some(), {"kind": "test"})
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    damage = data.draw(st.sampled_from(["flip", "cut", "insert", "append"]))
    if damage == "flip":
        changed = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    elif damage == "cut":
        changed = whole[:place]
    else:
        at = place if damage == "insert" else len(whole)
        changed = whole[:at] + data.draw(st.binary(min_size=1, max_size=9)) + whole[at:]
    path.write_bytes(changed)
    try:
        tensors, _ = read_tensors(path)
    except FileFormatError as error:
        assert str(path) in str(error)
    else:  # a changed letter of the document that means the same, or white space
        for name, array in some().items():
            np.testing.assert_array_equal(tensors[name], array)


def hostile(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


HOSTILE = {
    "huge header": (
        hostile({}, length=2**63),
        r"a header that fits 10 bytes, received a header length of 9223372036854775808",
    ),
    "a text": (b"Once upon a time there was a text.", r"h.safetensors is not a safetensors file"),
    "NumPy's": (b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'}", r"h.safetensors is not a safetensors file"),
    "header longer than the file": (hostile({}, length=100), r"received a header length of 100"),
    "no JSON": (hostile(b"{nonsense"), r"the header is no valid JSON"),
    "no object": (hostile([1, 2]), r"the header is no JSON object"),
    "deep JSON": (hostile(b"[" * 100_000), r"the header is no valid JSON"),
    "no UTF-8": (hostile(b'{"\xff": 1}'), r"the header is no valid JSON .*utf-8"),
    "NaN": (hostile(b'{"a": NaN}'), r"no valid JSON .NaN is no JSON number"),
    "a name twice": (
        hostile(b'{"a": ' + json.dumps(entry()).encode() + b', "a": ' + json.dumps(entry()).encode() + b"}", b"1234"),
        r"no valid JSON .a name stands there twice",
    ),
    "unknown type": (
        hostile({"a": entry("F99")}, b"1234"),
        r"tensor 'a' has the type 'F99', which NumPy does not know",
    ),
    "type no text": (hostile({"a": entry([1])}, b"1234"), r"tensor 'a' has the type .1., which NumPy"),
    "negative shape": (hostile({"a": entry(shape=(-1,))}, b"1234"), r"tensor 'a' has the shape .-1"),
    "huge shape": (
        hostile({"a": entry(shape=(2**63,), offsets=(0, 2**65))}, b"1234"),
        r"tensor 'a' has the shape .9223372036854775808",
    ),
    "shape against offsets": (
        hostile({"a": entry(shape=(2,))}, b"1234"),
        r"tensor 'a' of shape .2. and type F32 does not fill its bytes .0, 4",
    ),
    "overlap": (hostile({"a": entry(), "b": entry()}, b"1234"), r"tensor 'b' begins at byte 0 of the data, expected 4"),
    "gap": (
        hostile({"a": entry(), "b": entry(offsets=(8, 12))}, b"123456789012"),
        r"tensor 'b' begins at byte 8 of the data, expected 4",
    ),
    "past the end": (
        hostile({"a": entry(offsets=(0, 400), shape=(100,))}, b"1234"),
        r"expected [0-9]+ bytes in all, received",
    ),
    "left over": (hostile({"a": entry()}, b"12345678"), r"expected [0-9]+ bytes in all, received"),
    "missing field": (
        hostile({"a": {"dtype": "F32"}}),
        r"tensor 'a' is not described by dtype, shape and data_offsets",
    ),
    "metadata no table": (hostile({"__metadata__": [1]}), r"the header's metadata is no table of texts"),
    "broken document": (hostile({"__metadata__": {"miniDLF": "{"}}), r"the description in the header is no valid JSON"),
    "empty document": (hostile({"__metadata__": {"miniDLF": "{}"}}), r"the description in the header is incomplete"),
    "document with NaN": (
        hostile({"__metadata__": {"miniDLF": '{"version": 2, "digest": "", "seed": NaN}'}}),
        r"the description in the header is no valid JSON .NaN is no JSON number",
    ),
    "document with a huge number": (
        hostile({"__metadata__": {"miniDLF": '{"version": 2, "digest": "", "seed": 1e999}'}}),
        r"the description in the header is no valid JSON .1e999 is too large",
    ),
    "document with a name twice": (
        hostile({"__metadata__": {"miniDLF": '{"version": 2, "digest": "", "seed": 1, "seed": 2}'}}),
        r"the description in the header is no valid JSON .a name stands there twice",
    ),
    "deep document": (
        hostile({"__metadata__": {"miniDLF": '{"version": 2, "digest": "", "x": ' + "[" * 9999 + "]" * 9999 + "}"}}),
        r"the description in the header is no valid JSON",
    ),
    "newer version": (
        hostile({"__metadata__": {"miniDLF": '{"version": 99, "digest": ""}'}}),
        r"written by a newer miniDLF .format 99, this one reads 2.. Upgrade",
    ),
    "empty file": (b"", r"h.safetensors is not a safetensors file"),
    "no numbers in a huge array": (
        hostile({"a": entry(shape=(0, 2**61, 2**61), offsets=(0, 0))}),
        r"tensor 'a' has the shape .0, 2305843009213693952",
    ),
    "neither true nor false": (
        hostile({"a": entry("BOOL", shape=(4,))}, b"\0\1\2\3"),
        "tensor 'a' holds bytes that are neither true nor false",
    ),
    "a name of a megabyte": (
        hostile({"n" * 1_000_000: entry("F99")}, b"1234"),
        r"tensor 'n{90,110}\.*'?\.* has the type 'F99'",
    ),
    "reversed offsets": (hostile({"a": entry(offsets=(4, 0, 1))}, b"1234"), "tensor 'a' has the offsets .4, 0, 1"),
}


@pytest.mark.parametrize("case", HOSTILE, ids=str)
def test_hostile_files_are_refused_before_anything_is_allocated(tmp_path: Path, case: str) -> None:
    path = tmp_path / "h.safetensors"
    content, message = HOSTILE[case]
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message) as caught:
        read_tensors(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "take another copy" in str(caught.value) or "Upgrade" in str(caught.value)


def test_other_programs_files(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    save_file({"w": np.arange(4.0)}, tmp_path / "theirs.safetensors")
    tensors, document = read_tensors(tmp_path / "theirs.safetensors")
    np.testing.assert_array_equal(tensors["w"], np.arange(4.0))
    assert document == {}
    write_tensors(tmp_path / "ours.safetensors", some())
    np.testing.assert_array_equal(load_file(tmp_path / "ours.safetensors")["a"], some()["a"])


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no such file"):
        read_tensors(tmp_path / "missing")
    with pytest.raises(FileFormatError, match="the file cannot be read .Is a directory"):
        read_tensors(tmp_path)
    with pytest.raises(FileFormatError, match="the folder .*no/folder does not exist; create it"):
        write_tensors(tmp_path / "no" / "folder" / "t", some())
    with pytest.raises(FileFormatError, match="cannot be written .File name too long.*untouched"):
        write_tensors(tmp_path / ("t" * 300), some())
    for path, what in ((tmp_path, "a folder"), (os.devnull, "a device or a pipe")):
        with pytest.raises(FileFormatError, match=f"{path}: expected the name of a file, but this is {what}"):
            write_tensors(path, some())
    for path in (None, "", "a\0b", 5):
        for call in (read_tensors, inspect, partial(write_tensors, tensors=some())):
            with pytest.raises(ArgumentTypeError, match="path: expected a file such as"):
                call(path)
    with pytest.raises(ArgumentError, match="tensor '__metadata__': safetensors keeps this name"):
        write_tensors(tmp_path / "t", {"__metadata__": np.zeros(1)})
    with pytest.raises(ArgumentError, match="names and document take 20[0-9]* bytes, more than the 16777216"):
        write_tensors(tmp_path / "t", some(), {"x": "a" * 20_000_000})
    with pytest.raises(ArgumentTypeError, match="t: the document holds what JSON does not know .Out of range"):
        write_tensors(tmp_path / "t", some(), {"x": float("nan")})
    with pytest.raises(ArgumentTypeError, match="'t'.*expected numbers"):
        write_tensors(tmp_path / "t", {"t": np.array(["text"])})
    write_tensors(tmp_path / "t", some())
    with pytest.raises(FileFormatError, match="at most 10"):
        read_tensors(tmp_path / "t", max_bytes=10)
    with pytest.raises(FileFormatError, match=r"lacks the tensors \['z'\]"):
        read_tensors(tmp_path / "t", names=["z"])
    with pytest.raises(ArgumentError, match="keep at least 1"):
        Checkpoints(tmp_path, keep=0)


def test_altered_numbers_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write_tensors(path, some())
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="the content is not what was saved: the digest differs"):
        read_tensors(path)


def test_altered_words_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write_tensors(path, some(), {"alpha": 0.2, "same": "x"})
    whole = path.read_bytes()
    for old, new, same in ((b"0.2", b"0.9", False), (b'\\"x', b'\\"y', False), (b'\\"x\\"', b'\\"\\u0078\\"', True)):
        length = int.from_bytes(whole[:8], "little") + len(new) - len(old)
        path.write_bytes(length.to_bytes(8, "little") + whole[8:].replace(old, new))
        if same:  # another spelling of the same text
            assert read_tensors(path)[1]["same"] == "x"
        else:
            with pytest.raises(FileFormatError, match="the content is not what was saved: the digest differs"):
                read_tensors(path)


def test_files_of_the_first_version(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    document = {"kind": "test", "format": "miniDLF", "version": 1, "digest": "dd40ccb67cae0336dec902d78a0155af"}
    save_file({"a": np.arange(6.0)}, tmp_path / "t", {"miniDLF": json.dumps(document)})
    assert read_tensors(tmp_path / "t")[1]["kind"] == "test"
    save_file({"a": np.arange(6.0) + 1}, tmp_path / "t", {"miniDLF": json.dumps(document)})
    with pytest.raises(FileFormatError, match="digest differs"):
        read_tensors(tmp_path / "t")


@pytest.mark.parametrize("left", [4, 50, 100_000, 799_999])
def test_a_file_that_is_cut_while_it_is_read(left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t"
    write_tensors(path, {"a": np.zeros(100_000)})
    size = header.size_of

    def cut(file: IO[bytes]) -> int:
        before = size(file)
        os.truncate(path, left)
        return before

    monkeypatch.setattr(header, "size_of", cut)
    with pytest.raises(FileFormatError, match="t: (the header is cut|the data end within the tensor .a.|expected )"):
        read_tensors(path)


def test_a_disk_that_fails_while_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t"
    write_tensors(path, some())

    def gone(file: IO[bytes]) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(header, "size_of", gone)
    with pytest.raises(FileFormatError, match="t: the file cannot be read .Input/output error"):
        read_tensors(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, what in ((tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device")):
        for read in (read_tensors, inspect):
            with pytest.raises(FileFormatError, match=f"{path}: expected a file, but this is {what}"):
                read(path)


def test_many_empty_tensors_take_the_time_of_their_names(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write_tensors(path, {f"t{number}": np.zeros((0, 3)) for number in range(2000)})
    began = time.process_time()
    tensors, _ = read_tensors(path)
    assert time.process_time() - began < 1  # 2000 of 100 000, which take 2 s
    assert len(tensors) == 2000


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t"
    write_tensors(path, some())
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileFormatError, match="No space left"):
        write_tensors(path, some(2.0))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["t"]


def test_what_a_killed_save_left_is_removed_by_the_next_one_to_the_same_file(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, numpy as np; from miniDLF.storage import write_tensors\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_tensors(sys.argv[1], {'x': np.zeros(3)})\n"
    )
    for name in ("[t].safetensors", "other"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], check=False)
    left = sorted(tmp_path.iterdir())
    assert [path.name[:3] for path in left] == [".[t", ".ot"]
    mine = tmp_path / ".[t].safetensors.tmp"
    mine.write_bytes(b"")
    hours_ago = time.time() - 7200
    for path in (left[1], mine):
        os.utime(path, (hours_ago, hours_ago))
    path = tmp_path / "[t].safetensors"
    write_tensors(path, some())
    assert sorted(tmp_path.iterdir()) == sorted([left[1], mine, path])


def test_what_somebody_is_writing_is_left_alone_unless_it_is_surely_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t"
    with atomic_file(path) as file:
        file.write(b"1")
        (slow,) = tmp_path.iterdir()
        with atomic_file(path) as other:
            other.write(b"2")
        assert sorted(tmp_path.iterdir()) == sorted([slow, path])
        assert path.read_bytes() == b"2"
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"1"
    monkeypatch.setattr(atomic, "held_by_nobody", lambda path: None)  # a system without locks
    for age in (0, 7200):
        slow.write_bytes(b"")
        os.utime(slow, (time.time() - age, time.time() - age))
        write_tensors(path, some())
        assert slow.exists() == (age == 0)


def test_a_name_as_long_as_may_be(tmp_path: Path) -> None:
    for path in (tmp_path / ("t" * 255), tmp_path / ("\u20ac" * 85)):
        write_tensors(path, some())
        assert read_tensors(path)[0].keys() == some().keys()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(FileFormatError, match="pipe: expected the name of a file, but this is a device or a pipe"):
        write_tensors(path, some())
    assert path.is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


def test_links_and_permissions_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    write_tensors(real, some())
    real.chmod(0o640)
    link.symlink_to(real)
    write_tensors(link, some(3.0))
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    np.testing.assert_array_equal(read_tensors(real)[0]["a"], some(3.0)["a"])


def test_kill_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "t"
    program = (
        "import sys, numpy as np; from miniDLF.storage import write_tensors\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1; write_tensors(sys.argv[1], {'x': np.full(200_000, n, float)}, {'n': n}); print(n, flush=True)\n"
    )
    for round_ in range(4):
        process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02 + 0.013 * round_)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        tensors, document = read_tensors(path)
        assert (tensors["x"] == document["n"]).all()


def test_checkpoints(tmp_path: Path) -> None:
    folder = Checkpoints(tmp_path / "c", keep=2)
    assert folder.latest() == (None, [])
    paths = [folder.save({"x": np.full(3, n)}, {"n": n}) for n in range(4)]
    assert folder.paths() == paths[-2:]
    found, problems = folder.latest()
    assert found is not None
    assert found[2]["n"] == 3
    assert not problems
    paths[-1].write_bytes(b"damaged")
    found, problems = folder.latest()
    assert found is not None
    assert found[2]["n"] == 2
    assert len(problems) == 1
    (tmp_path / "c" / "checkpoint-old.safetensors").write_bytes(b"kept by hand")
    assert folder.save({"x": np.zeros(3)}, {}).name == "checkpoint-00000005.safetensors"
    folder.clear()
    assert folder.latest() == (None, [])
    assert os.listdir(tmp_path / "c") == ["checkpoint-old.safetensors"]


def test_files_of_others_among_the_checkpoints_are_left_alone(tmp_path: Path) -> None:
    theirs = ["checkpoint-01", "checkpoint-best", "checkpoint-000000001"]
    for name in theirs:
        write_tensors(tmp_path / f"{name}.safetensors", some(), {"kind": "model"})
    folder = Checkpoints(tmp_path)
    assert folder.latest() == (None, [])
    path = folder.save({"x": np.zeros(3)}, {})
    write_tensors(tmp_path / "checkpoint-99999999.safetensors", some(), {"kind": "model"})
    found, problems = folder.latest()
    assert found is not None
    assert found[0] == path
    assert not problems
    folder.clear()
    assert {f"{name}.safetensors" for name in theirs} <= {entry.name for entry in tmp_path.iterdir()}


def test_mismatch_report() -> None:
    report = report_mismatch({"a": (1,), "b": (2,), "c": (3,)}, {"a": (1,), "b": (5,), "d": (4,)})
    assert report.matched == ["a"]
    assert (report.missing, report.extra) == ({"c": (3,)}, {"d": (4,)})
    assert report.misshaped == {"b": ((2,), (5,))}
    assert not report.ok
    assert all(
        word in str(report) for word in ("missing in the file:  c (3,)", "only in the file:     d", "b expected (2,)")
    )
