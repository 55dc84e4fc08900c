"""MNIST from the pickle and from the IDX files."""

from __future__ import annotations

import gzip
import pickle
import struct

import numpy as np
import pytest

from miniDLF.datasets import MNIST
from miniDLF.datasets.files import PIECE
from miniDLF.datasets.idx import read_idx
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError, FileFormatError
from tests.datasets.conftest import idx_bytes

# The real files ---------------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_the_real_pickle(real_data):
    mnist = MNIST(real_data / "MNIST" / "mnist.pkl.gz", n_classes=10, input_shape=(784,))
    assert [(name, len(split)) for name, split in mnist.parts.items()] == [
        ("train", 50_000),
        ("validation", 10_000),
        ("test", 10_000),
    ]
    assert mnist.train.x.dtype == np.float32
    assert mnist.train.x.min() == 0
    assert 0.99 < mnist.train.x.max() < 1
    assert mnist.train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.train.x.flags.writeable
    assert str(mnist.input_shape) == "[784]"


@pytest.mark.real_data
def test_the_real_idx_files_hold_the_same_images(real_data):
    mnist = MNIST(real_data / "MNIST", 10, (1, 28, 28))
    assert (len(mnist.train), len(mnist.test), mnist.validation) == (60_000, 10_000, None)
    assert mnist.train.x.shape[1:] == (1, 28, 28)
    other = MNIST(real_data / "MNIST" / "mnist.pkl.gz")
    np.testing.assert_array_equal(mnist.train.x[:50_000].reshape(-1, 784), other.train.x)
    np.testing.assert_array_equal(mnist.train.x[50_000:].reshape(-1, 784), other.validation.x)
    np.testing.assert_array_equal(mnist.test.x.reshape(-1, 784), other.test.x)
    np.testing.assert_array_equal(mnist.test.y, other.test.y)


# Small files ------------------------------------------------------------------------------------------------------


def save_pickle(path, value, protocol=2):
    with gzip.open(path, "wb") as stream:
        pickle.dump(value, stream, protocol=protocol)
    return path


@pytest.fixture
def three_pairs():
    rng = np.random.default_rng(0)
    return tuple(
        (rng.integers(0, 256, (count, 784)).astype(np.float32) / 256, np.arange(count) % 10) for count in (12, 11, 10)
    )


def test_train_is_the_first_test_the_last_validation_between(tmp_path, three_pairs):
    mnist = MNIST(save_pickle(tmp_path / "mnist.pkl.gz", three_pairs))
    for split, (x, y) in zip((mnist.train, mnist.validation, mnist.test), three_pairs, strict=True):
        np.testing.assert_array_equal(split.x, x)
        np.testing.assert_array_equal(split.y, y)
        assert split.y.dtype == np.int64


@pytest.mark.parametrize("protocol", [2, 4])
def test_the_images_can_be_written_to_and_no_split_sees_what_another_one_does(tmp_path, three_pairs, protocol):
    (x, y), *_ = three_pairs
    large, labels = np.tile(x, (10, 1)), np.tile(y, 10)
    assert large.nbytes > 2 * PIECE  # read straight into the memory of the array
    for images in (x, large, np.asfortranarray(large), large.astype(">f4"), large.astype(np.float64)):
        pair = (images, labels[: len(images)])
        mnist = MNIST(save_pickle(tmp_path / "mnist.pkl.gz", (pair, pair, pair), protocol))
        for split in mnist.parts.values():
            np.testing.assert_array_equal(split.x, images)
            assert split.x.dtype == np.float32
            assert split.x.flags.c_contiguous
            assert split.x.flags.writeable
            split.x[...] = 0
            split.y[...] = 0


def test_idx_files_compressed_or_not(idx_folder):
    mnist = MNIST(str(idx_folder), input_shape=(28, 28))
    assert (len(mnist.train), len(mnist.test)) == (20, 10)
    assert mnist.train.x.shape == (20, 28, 28)
    assert mnist.train.x[0, 0, 0] == np.float32(255 / 256)
    assert mnist.train.y[:3].tolist() == [0, 1, 2]


def test_targets_as_one_hot_rows(idx_folder):
    mnist = MNIST(idx_folder, one_hot=True)
    assert mnist.train.y.dtype == np.float32
    np.testing.assert_array_equal(mnist.train.y, mnist.one_hot(np.arange(20) % 10))


def test_a_folder_with_the_pickle_alone(tmp_path, three_pairs):
    save_pickle(tmp_path / "mnist.pkl.gz", three_pairs)
    assert len(MNIST(tmp_path).train) == 12


def test_a_sheet_of_the_images(idx_folder):
    sheet = MNIST(idx_folder).contact_sheet(rows=2, columns=5, split="test")
    assert sheet.shape == (2 * 29 - 1, 5 * 29 - 1)
    np.testing.assert_array_equal(sheet[29:57, :28].reshape(-1), MNIST(idx_folder).test.x[5])
    with pytest.raises(ArgumentError, match=r"there is no split 'validation'; choose from train, test"):
        MNIST(idx_folder).contact_sheet(split="validation")


# Mistakes of a newcomer -------------------------------------------------------------------------------------------


def test_a_path_that_is_missing_is_an_error_and_no_reason_to_download(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDLF_CACHE", str(tmp_path / "cache"))
    for name in ("mnist.pkl.gz", "MNIST"):
        with pytest.raises(FileFormatError, match=rf"MNIST: .*{name}: there is no such file or folder \(looked in"):
            MNIST(tmp_path / name)
    assert not (tmp_path / "cache").exists()


def test_a_path_that_no_system_has():
    for name in ("x" * 300, "~nobody-of-this-name/mnist.pkl.gz"):
        with pytest.raises(FileFormatError, match=rf"MNIST: {name}: there is no such file or folder \(looked in"):
            MNIST(name)


def test_images_of_another_size(tmp_path):
    def saved(*shape):
        pair = (np.zeros((3, *shape), np.float32), np.arange(3))
        return save_pickle(tmp_path / "mnist.pkl.gz", (pair, pair, pair))

    with pytest.raises(ArgumentError, match=r"an image has 783; use \(783,\) for Dense\.$"):
        MNIST(saved(783))
    with pytest.raises(
        ArgumentError, match=r"an image has 729; use \(729,\) for Dense, or \(1, 27, 27\) for Conv2D\.$"
    ):
        MNIST(saved(729))
    for shape in ((0,), (28, 0)):
        with pytest.raises(DataError, match=r"the file holds no images, or images without pixels: \(3, .*0,?\)"):
            MNIST(saved(*shape))


def test_a_folder_that_lacks_a_file(idx_folder):
    (idx_folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileFormatError, match=r"the folder lacks t10k-labels-idx1-ubyte\.gz \(compressed or not\)"):
        MNIST(idx_folder)


def test_a_path_that_is_no_path():
    for value in (784, "", "a\0b"):
        with pytest.raises(ArgumentTypeError, match=r"MNIST: path must be a file or folder name, received"):
            MNIST(value)


@pytest.mark.parametrize("shape", [(28, 28, 3), (785,), 10])
def test_a_shape_that_does_not_hold_an_image(shape):
    with pytest.raises(
        ArgumentError, match=r"MNIST: input_shape=.* an image has 784; use \(784,\) for Dense, or \(1, 28"
    ):
        MNIST("anywhere", input_shape=shape)


def test_a_shape_that_is_none():
    with pytest.raises(ArgumentTypeError, match=r"MNIST: input_shape: expected a tuple|input_shape must be a tuple"):
        MNIST("anywhere", input_shape="784")


def test_too_few_classes(idx_folder):
    with pytest.raises(DataError, match=r"MNIST: labels: expected labels 0 to 4 \(n_classes=5\), received 0 to 9"):
        MNIST(idx_folder, n_classes=5)


def test_labels_in_the_place_of_images(idx_folder):
    (idx_folder / "train-images-idx3-ubyte.gz").write_bytes((idx_folder / "train-labels-idx1-ubyte").read_bytes())
    with pytest.raises(
        FileFormatError, match=r"holds an array of 1 axes \(labels\); 3 were expected \(images\).*mixed up"
    ):
        MNIST(idx_folder)


def test_labels_of_other_images(idx_folder):
    (idx_folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(7)))
    with pytest.raises(FileFormatError, match=r"holds 20 images, but train-labels-idx1-ubyte holds 7 labels"):
        MNIST(idx_folder)


def test_a_pickle_of_other_arrays(tmp_path, three_pairs):
    for value in (three_pairs[:2], three_pairs[0], [three_pairs[0][0]] * 3, [(three_pairs[0][0],) * 2] * 3):
        with pytest.raises(
            FileFormatError, match=r"expected three pairs \(images, labels\): training, validation, test"
        ):
            MNIST(save_pickle(tmp_path / "other.pkl.gz", value))


def test_pixels_of_another_range(tmp_path, three_pairs):
    x, y = three_pairs[0]
    for wrong in (x * 255, x * np.nan):
        with pytest.raises(DataError, match=r"MNIST: expected pixels from 0 to 1, received"):
            MNIST(save_pickle(tmp_path / "wrong.pkl.gz", ((wrong, y), *three_pairs[1:])))


# The IDX format ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [8, 9, 11, 12, 13, 14])
@pytest.mark.parametrize("packed", [True, False])
def test_every_type_of_number_is_read(tmp_path, code, packed):
    array = np.arange(24).reshape(2, 3, 4)
    content = idx_bytes(array, code)
    (tmp_path / "a").write_bytes(gzip.compress(content) if packed else content)
    result = read_idx(tmp_path / "a", axes=3)
    np.testing.assert_array_equal(result, array)
    assert result.dtype.isnative


GOOD = idx_bytes(np.arange(10))
DAMAGED = {
    "empty": (b"", r"is cut short: it has 0 bytes"),
    "magic": (b"PK\3\4" + GOOD[4:], r"is no IDX file: it begins with 50 4b 03 04; images begin with 00 00 08 03"),
    "type": (b"\0\0\7\1" + GOOD[4:], r"is no IDX file"),
    "axes": (b"\0\0\10\0" + GOOD[4:], r"is no IDX file"),
    "header": (GOOD[:6], r"is cut short: it ends within the header"),
    "short": (GOOD[:-3], r"is cut short: 10 bytes of numbers were expected, 7 are there"),
    "long": (GOOD + b"\0", r"is longer than its header says \(10 bytes of numbers\)"),
    "gzip cut": (gzip.compress(GOOD)[:-9], r"is cut short: its compressed data end too early"),
    "gzip damaged": (gzip.compress(GOOD)[:-8] + bytes(8), r"compressed data are damaged"),
    "gzip and rubbish": (gzip.compress(GOOD) + b"rubbish", r"compressed data are damaged \(Not a gzipped file"),
    "second part cut": (gzip.compress(GOOD[:9]) + gzip.compress(GOOD[9:])[:-9], r"its compressed data end too early"),
    "second part damaged": (gzip.compress(GOOD[:9]) + gzip.compress(GOOD[9:])[:-8] + bytes(8), r"data are damaged"),
    "too many": (
        b"\0\0\10\3" + struct.pack(">3I", 60_000, 2**16, 2**16),
        r"bytes; no more than 1,073,741,824 are read",
    ),
    "nothing, many times": (
        b"\0\0\10\3" + struct.pack(">3I", 0, 2**32 - 1, 2**32 - 1),
        r"says it holds \(0, 4294967295, 4294967295\) numbers, .* no more than 1,073,741,824 are read",
    ),
    "hollow": (
        b"\0\0\10\1" + struct.pack(">I", 900_000_000),
        r"says it holds \(900000000,\) numbers, but has only 8 b",
    ),
    "bomb": (
        gzip.compress(b"\0\0\10\1" + struct.pack(">I", 10**6) + bytes(10**7)),
        r"is longer than its header says|says it holds",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_idx_file_gives_one_clear_sentence(tmp_path, damage):
    content, message = DAMAGED[damage]
    path = tmp_path / "labels"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("packed", [True, False])
def test_an_array_of_many_pieces(tmp_path, packed):
    array = np.random.default_rng(0).integers(0, 256, (3, PIECE // 2 + 7, 2))
    content = idx_bytes(array)
    (tmp_path / "a").write_bytes(gzip.compress(content, 1) if packed else content)
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), array)


def test_an_archive_of_several_parts_with_zeros_at_the_end(tmp_path):
    array = np.arange(10)
    content = idx_bytes(array)
    (tmp_path / "a").write_bytes(gzip.compress(content[:7]) + gzip.compress(content[7:]) + bytes(20))
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), array)


def test_no_memory_is_taken_on_the_word_of_a_header(tmp_path):
    import tracemalloc

    (tmp_path / "labels").write_bytes(b"\0\0\10\1" + struct.pack(">I", 900_000_000))
    tracemalloc.start()
    with pytest.raises(FileFormatError):
        read_idx(tmp_path / "labels")
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileFormatError, match=r"there is no such file \(looked in"):
        read_idx(tmp_path / "none")
    with pytest.raises(FileFormatError, match=r"is a folder, a file was expected"):
        read_idx(tmp_path)
