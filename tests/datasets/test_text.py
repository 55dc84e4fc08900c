"""Texts and their windows."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniDLF.datasets import MNIST, TEXT2SEQ, Text
from miniDLF.datasets import text2seq as module
from miniDLF.datasets.idx import read_idx
from miniDLF.datasets.pickle_reader import read_pickle
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError, FileFormatError, ShapeError

STORY = "the cat sat on the mat; the dog lay by the log, and all was well. " * 3


class Perfect:
    """Predicts the next character of any window of a text whose windows are all different."""

    def __init__(self, data):
        self.data = data

    def predict(self, x):
        text = self.data.text.content
        following = [text[text.index(window) + 1 :][: self.data.timesteps] for window in self.data.decode(x)]
        return np.stack([self.data.text.one_hot(each) for each in following]) * 0.5 + 0.01


class Echo:
    def predict(self, x):
        return x


@pytest.mark.real_data
def test_the_specifications_text(real_data):
    data = TEXT2SEQ(real_data / "TEXT" / "basic_rnn_from_wiki.txt", 60)
    assert str(data.input_shape) == "[60 43]"
    assert data.n_classes == 43
    assert len(data) == 2725 - 60
    assert data.train.x.shape == (len(data.train), 60, 43)
    assert data.train.x.dtype == np.float32
    assert data.train.y.shape == (len(data.train), 60)
    assert data.train.y.dtype == np.int64


@pytest.mark.real_data
def test_the_lines_of_the_specification(real_data):
    data = TEXT2SEQ(str(real_data / "TEXT" / "basic_rnn_from_wiki.txt"), 60)
    lines = data.samples(Perfect(data), n=2)
    assert [line[:4] for line in lines] == ["X = ", "y = ", "p = ", "", "X = ", "y = ", "p = "]
    assert all(len(line) in (0, 64) for line in lines)
    for first in (0, 4):
        assert lines[first][5:] == lines[first + 1][4:-1]  # the target is the input, one character later
        assert lines[first + 2][4:] == lines[first + 1][4:]  # and this model knows it


@given(
    text=st.text("abc \n", min_size=4, max_size=60),
    timesteps=st.integers(1, 3),
    fraction=st.floats(0, 0.9),
    stride=st.integers(1, 3),
)
def test_every_window_is_followed_by_its_target(text, timesteps, fraction, stride):
    if len(range(0, len(text) - timesteps, stride)) < 2:
        fraction = 0
    data = TEXT2SEQ(Text.from_string(text), timesteps, test_fraction=fraction, stride=stride)
    found = sorted(
        pair for split in data.parts.values() for pair in zip(data.decode(split.x), data.decode(split.y), strict=True)
    )
    expected = sorted(
        (text[i : i + timesteps], text[i + 1 : i + timesteps + 1]) for i in range(0, len(text) - timesteps, stride)
    )
    assert found == expected


def test_the_split_is_a_function_of_the_seed():
    text = Text.from_string(STORY)
    first, same, other = (TEXT2SEQ(text, 10, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.test.y, same.test.y)
    assert not np.array_equal(first.test.y, other.test.y)
    assert len(first.test) == round(0.1 * len(first))
    assert TEXT2SEQ(text, 10, test_fraction=0).test is None


def test_the_embedded_text():
    text = Text()
    assert 4000 <= len(text) <= 6000
    assert text.content.isascii()
    data = TEXT2SEQ()
    assert data.text.content == text.content
    assert data.input_shape.tolist() == [60, len(text.alphabet)]
    assert repr(text).startswith("Text(the embedded text: 4")


def test_encode_and_decode_are_inverse():
    data = TEXT2SEQ(Text.from_string(STORY), 10)
    codes = data.encode("the cat")
    assert codes.dtype == np.int64
    assert data.decode(codes) == "the cat"
    rows = data.text.one_hot("the cat")
    assert rows.shape == (7, data.n_classes)
    assert data.decode(rows) == "the cat"
    assert data.decode(rows[np.newaxis]) == ["the cat"]
    assert data.decode(rows.astype(int)[np.newaxis]) == ["the cat"]
    assert data.decode(np.stack([codes, codes[::-1]])) == ["the cat", "tac eht"]
    assert data.decode(codes.tolist()) == "the cat"
    probabilities = 0.6 * rows + 0.4 / data.n_classes
    assert data.decode(probabilities) == "the cat"


def test_samples_come_from_the_test_split_and_are_the_same_each_time():
    data = TEXT2SEQ(Text.from_string(STORY), 20, test_fraction=0.05)
    lines = data.samples(Echo())
    assert lines == data.samples(Echo())
    assert lines != data.samples(Echo(), seed=1)
    assert {line[4:] for line in lines if line.startswith("X")} <= set(data.decode(data.test.x))
    assert len([line for line in lines if line.startswith("p = ")]) == 3


def test_a_line_break_does_not_break_the_line():
    data = TEXT2SEQ(Text.from_string("ab\n\tcd\n" * 20), 9)
    for line in data.samples(Echo(), n=5):
        assert line == "" or len(line) == 13
        assert "\n" not in line
        assert "\t" not in line


def test_samples_are_printed(capsys):
    data = TEXT2SEQ(Text.from_string(STORY), 20)
    stream = io.StringIO()
    data.print_samples(Echo(), 2, file=stream)
    assert stream.getvalue() == "\n".join(data.samples(Echo(), 2)) + "\n"
    data.print_samples(Echo(), 2)
    assert capsys.readouterr().out == stream.getvalue()


# Mistakes of a newcomer -------------------------------------------------------------------------------------------


def test_files_that_are_no_text(tmp_path):
    with pytest.raises(FileFormatError, match=r"none\.txt: there is no such text file \(looked in"):
        TEXT2SEQ(tmp_path / "none.txt")
    with pytest.raises(FileFormatError, match=r"is a folder, a text file was expected"):
        TEXT2SEQ(tmp_path)
    (tmp_path / "empty.txt").touch()
    with pytest.raises(DataError, match=r"empty\.txt is empty: there is no text in it"):
        TEXT2SEQ(tmp_path / "empty.txt")
    (tmp_path / "latin.txt").write_bytes("Übermut ".encode("latin-1") * 20)
    with pytest.raises(
        FileFormatError, match=r"latin\.txt: is not text in utf-8 \(byte 0\)\. Pass its encoding=\.\.\."
    ):
        TEXT2SEQ(tmp_path / "latin.txt")
    assert TEXT2SEQ(tmp_path / "latin.txt", encoding="latin-1").text.content.startswith("Über")
    with pytest.raises(FileFormatError, match=r"there is no encoding 'utf-99'; try 'utf-8'"):
        TEXT2SEQ(tmp_path / "latin.txt", encoding="utf-99")
    with pytest.raises(ArgumentTypeError, match=r"Text: path must be a file or folder name, received 60"):
        TEXT2SEQ(60)
    with pytest.raises(ArgumentTypeError, match=r"Text: path must be a file or folder name, received 'a\\x00b'"):
        Text("a\0b")
    for encoding in (3, "a\0b"):
        with pytest.raises(ArgumentTypeError, match=r"Text: encoding: expected a name such as 'utf-8', received"):
            Text(tmp_path / "latin.txt", encoding=encoding)


def test_a_byte_order_mark_is_no_character(tmp_path):
    (tmp_path / "a.txt").write_text("\ufeff" + STORY, encoding="utf-8")
    assert Text(tmp_path / "a.txt").content == STORY


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_has_no_end_is_no_data(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, what in ((tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device")):
        for read in (Text, TEXT2SEQ, MNIST, read_idx, read_pickle):
            with pytest.raises(FileFormatError, match=f"{path}: expected a file, but this is {what}"):
                read(path)


@pytest.mark.parametrize("length", [1, 59, 60])
def test_a_text_that_is_too_short(length):
    text = Text.from_string("a" * length)
    with pytest.raises(
        DataError, match=rf"the string has {length} characters, too few for windows of 60 .* timesteps="
    ):
        TEXT2SEQ(text)


def test_a_text_with_two_windows_is_long_enough():
    assert len(TEXT2SEQ(Text.from_string("ab" * 31))) == 2


def test_arguments_that_make_no_sense():
    text = Text.from_string(STORY)
    for value in (0, -1, 2.5, "60"):
        with pytest.raises(
            ArgumentError, match=r"TEXT2SEQ: timesteps: expected a whole number of at least 1, received"
        ):
            TEXT2SEQ(text, value)
    with pytest.raises(ArgumentError, match=r"TEXT2SEQ: stride: expected a whole number of at least 1"):
        TEXT2SEQ(text, 10, stride=0)
    with pytest.raises(ArgumentError, match=r"test_fraction: expected a share of at least 0 and less than 1"):
        TEXT2SEQ(text, 10, test_fraction=1)
    for dtype in ("S1", "O", "foo", "M8[s]", "c8", "i4,f8"):
        with pytest.raises(
            ArgumentTypeError, match=r"TEXT2SEQ: dtype: expected a type of numbers such as 'float32', rec"
        ):
            TEXT2SEQ(text, 10, dtype=dtype)
    with pytest.raises(ArgumentTypeError, match=r"Text\.from_string: expected a string, received bytes"):
        Text.from_string(b"abc")


def test_a_text_too_long_for_the_memory(monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 10_000)
    with pytest.raises(
        DataError, match=r"the windows of the string would take 0\.0 GB; pass stride=(\d+) to"
    ) as caught:
        TEXT2SEQ(Text.from_string(STORY), 10)
    stride = int(str(caught.value).partition("stride=")[2].split()[0])
    data = TEXT2SEQ(Text.from_string(STORY), 10, stride=stride)
    assert sum(split.x.nbytes for split in data.parts.values()) <= 10_000


def test_characters_and_arrays_that_do_not_belong():
    data = TEXT2SEQ(Text.from_string(STORY), 10)
    with pytest.raises(DataError, match=r"encode: the character 'T' \(at 4\) is not in the alphabet '"):
        data.encode("cat T")
    size = data.n_classes
    with pytest.raises(
        ShapeError, match=rf"decode: expected one-hot rows or probabilities \(T, {size}\) or \(N, T, {size}\)"
    ):
        data.decode(np.zeros((5, size + 1)))
    with pytest.raises(ShapeError, match=r"Codes must be integers"):
        data.decode(np.zeros(5))
    with pytest.raises(DataError, match=rf"decode: expected codes 0 to {size - 1}, .*, received -1 to 3"):
        data.decode([3, -1])
    with pytest.raises(ShapeError, match=r"decode: expected codes \(T,\) or \(N, T\), received \(\)"):
        data.decode(3)


def test_a_model_that_predicts_one_character_only():
    class Last:
        def predict(self, x):
            return x[:, -1]

    data = TEXT2SEQ(Text.from_string(STORY), 10)
    with pytest.raises(
        ShapeError, match=r"samples: the model must predict one character for each step, \(3, 10, \d+\)"
    ):
        data.samples(Last())
