"""MNIST: 28 x 28 images of handwritten digits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miniDLF.datasets.checking import check_labels, one_hot, whole_number
from miniDLF.datasets.dataset import Split
from miniDLF.datasets.download import MNIST_FILES, cache_folder, fetch
from miniDLF.datasets.files import as_path
from miniDLF.datasets.idx import read_idx
from miniDLF.datasets.images import ImageDataset, check_image_shape, scaled
from miniDLF.datasets.pickle_reader import read_pickle
from miniDLF.errors import DataError, FileFormatError
from miniDLF.names import names_of_keras

__all__ = ["MNIST"]

Array = NDArray[Any]
Pair = tuple[Array, Array]

PICKLE = "mnist.pkl.gz"


class MNIST(ImageDataset):
    """Handwritten digits: ``MNIST('./data/MNIST/mnist.pkl.gz', n_classes=10, input_shape=(784,))``.

    The pickle holds 50 000 images to train on, 10 000 for validation and 10 000 for the test; the four IDX files hold
    60 000 and 10 000. Other data in those formats (Fashion-MNIST, EMNIST letters) work as well.

    Parameters
    ----------
    path
        ``mnist.pkl.gz``, or a folder with the four IDX files (compressed or not; where they are missing, with
        ``mnist.pkl.gz``). Without it the files come from the user's cache (``MINIDLF_CACHE``, else a folder ``miniDLF``
        where this system keeps caches); if they are not there, they are downloaded to it.
    n_classes
        Labels run from 0 to ``n_classes - 1``.
    input_shape
        The shape of one image: (784,) for `Dense`, (1, 28, 28) for `Conv2D`.
    one_hot
        Whether the targets are one-hot rows (N, n_classes) instead of labels (N,); losses take both.
    download
        Whether the files may be downloaded where `path` is not given.

    Raises
    ------
    FileFormatError
        If a file is missing, damaged or of another format, or cannot be downloaded.
    MissingExtraError
        If a download is needed and 'pooch' is not installed.

    Notes
    -----
    Pixels are float32, 0 <= x < 1: bytes over 256, as in the pickle.
    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", 1998.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        n_classes: int = 10,
        input_shape: Any = (784,),
        *,
        one_hot: bool = False,
        download: bool = True,
    ) -> None:
        count = whole_number(n_classes, "MNIST: n_classes", 2)
        check_image_shape(input_shape, 28 * 28, "MNIST")  # before a second is spent on reading
        self.path = as_path(path, "MNIST") if path is not None else _cached(download)
        pairs = _read(self.path)
        splits = {name: _finish(pair, count, input_shape, one_hot) for name, pair in pairs.items()}
        self._set(splits["train"], splits["test"], splits.get("validation"), count)


def _cached(download: bool) -> Path:
    folder = cache_folder() / "MNIST"
    if not _idx_files(folder)[1] or (folder / PICKLE).is_file():
        return folder
    if not download:
        raise FileFormatError(
            f"MNIST: there is no copy in {folder}, and download=False. Pass path=... with mnist.pkl.gz or a folder "
            "with the four IDX files, or allow the download."
        )
    fetch(MNIST_FILES, folder)
    return folder


def _read(path: Path) -> dict[str, Pair]:
    if not os.path.exists(path):  # Path.exists raises where a name is too long
        raise FileFormatError(
            f"MNIST: {path}: there is no such file or folder (looked in {Path.cwd()}). Give the path of mnist.pkl.gz "
            "or of a folder with the four IDX files; MNIST() without a path downloads them."
        )
    if not path.is_dir():
        return _from_pickle(path)
    found, missing = _idx_files(path)
    if missing and (path / PICKLE).is_file():
        return _from_pickle(path / PICKLE)
    if missing:
        raise FileFormatError(f"MNIST: {path}: the folder lacks {', '.join(missing)} (compressed or not).")
    x, y, x_test, y_test = (found[file.name] for file in MNIST_FILES)
    return {"train": _idx_pair(x, y), "test": _idx_pair(x_test, y_test)}


def _idx_files(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the IDX files in a folder by name, and the names that are missing."""
    found: dict[str, Path] = {}
    for file in MNIST_FILES:
        for name in (file.name, file.name.removesuffix(".gz")):
            if file.name not in found and (folder / name).is_file():
                found[file.name] = folder / name
    return found, [file.name for file in MNIST_FILES if file.name not in found]


def _idx_pair(images: Path, labels: Path) -> Pair:
    x, y = read_idx(images, axes=3), read_idx(labels, axes=1)
    if len(x) != len(y):
        raise FileFormatError(
            f"{images}: holds {len(x)} images, but {labels.name} holds {len(y)} labels; they must be as many."
        )
    if x.dtype != np.uint8 or y.dtype.kind not in "iu":
        raise FileFormatError(f"{images}: expected bytes and integer labels, received {x.dtype} and {y.dtype}.")
    return x, y


def _from_pickle(path: Path) -> dict[str, Pair]:
    content = read_pickle(path)
    if not isinstance(content, tuple) or len(content) != 3 or not all(_is_pair(part) for part in content):
        raise FileFormatError(
            f"{path}: expected three pairs (images, labels): training, validation, test. The pickle holds other arrays."
        )
    return {"train": content[0], "validation": content[1], "test": content[2]}


def _is_pair(part: Any) -> bool:
    if not isinstance(part, tuple) or len(part) != 2 or not all(isinstance(array, np.ndarray) for array in part):
        return False
    x, y = part
    return bool(x.ndim >= 2 and y.ndim == 1 and len(x) == len(y) and x.dtype.kind in "uf" and y.dtype.kind in "iu")


def _finish(pair: Pair, n_classes: int, input_shape: Any, as_rows: bool) -> Split:
    x, y = pair
    if not x.size:
        raise DataError(f"MNIST: the file holds no images, or images without pixels: {x.shape}.")
    shape = check_image_shape(input_shape, int(np.prod(x.shape[1:])), "MNIST")
    if x.dtype == np.uint8:
        images = scaled(x, shape)
    else:
        if not (x.min() >= 0 and x.max() <= 1):  # also where there is NaN
            raise DataError(f"MNIST: expected pixels from 0 to 1, received {x.min()} to {x.max()}.")
        images = np.ascontiguousarray(x, np.float32).reshape(len(x), *shape)  # the array is ours: no copy of 157 MB
    labels = check_labels(y, n_classes, "MNIST: labels").astype(np.int64)
    return Split(images, one_hot(labels, n_classes) if as_rows else labels)


__getattr__ = names_of_keras(__name__)
