"""What the tests of data sets share: the real data, and small files in the same formats."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real MNIST and the specification's text."""
    if not (REAL / "MNIST").is_dir():
        pytest.skip(f"the real data sets are not at {REAL}")
    return REAL


def idx_bytes(array: np.ndarray, code: int = 8) -> bytes:
    """Return an array in the IDX format."""
    kind = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}[code]
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(kind).tobytes()


def small_mnist(rng: np.random.Generator, train: int = 20, test: int = 10) -> dict[str, bytes]:
    """Return the content of the four IDX files, with few images."""
    content = {}
    for prefix, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, 28, 28))
        images[0, 0, 0] = 255
        content[f"{prefix}-images-idx3-ubyte"] = idx_bytes(images)
        content[f"{prefix}-labels-idx1-ubyte"] = idx_bytes(np.arange(count) % 10)
    return content


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    """A folder with four small IDX files, two of them compressed."""
    folder = tmp_path / "idx"
    folder.mkdir()
    for name, content in small_mnist(np.random.default_rng(0)).items():
        if "images" in name:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def same(a, b):
    """Compare arrays in tuples or lists."""
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype.newbyteorder("=")
        np.testing.assert_array_equal(a, b)
    else:
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            same(left, right)


def leaves(value):
    """Yield the arrays in tuples."""
    if isinstance(value, tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def no_two_share_memory(result):
    """Return whether every array in `result` can be written to without a change of another one."""
    arrays = list(leaves(result))
    for array in arrays:
        assert array.flags.writeable
        assert array.flags.aligned
    return not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])
