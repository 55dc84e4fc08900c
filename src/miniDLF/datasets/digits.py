"""Handwritten-looking digits that need no file and no network."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.datasets.batches import seeded
from miniDLF.datasets.checking import whole_number
from miniDLF.datasets.dataset import Split
from miniDLF.datasets.handwriting import SIDE, draw_digits
from miniDLF.datasets.images import ImageDataset, check_image_shape, scaled

__all__ = ["Digits"]

CLASSES = 10


class Digits(ImageDataset):
    """Digits that a generator writes: the embedded stand-in for `MNIST`, in the same form.

    Each image is a few pen strokes, one of three or four ways to write the digit, turned, slanted, stretched, moved
    and bent at random, drawn with a pen of random width, softened, and covered with noise. All ten digits come equally
    often, in random order.

    Parameters
    ----------
    n_train, n_test
        Images to train on and to test on; `n_test=0` leaves the test split out.
    input_shape
        The shape of one image: (1, 28, 28) for `Conv2D`, (784,) for `Dense`.
    seed
        The images are a function of it (and of their number).

    Notes
    -----
    Pixels are float32, 0 <= x < 1, as in `MNIST`; labels are integers (N,).
    """

    def __init__(
        self, n_train: int = 10000, n_test: int = 2000, *, input_shape: Any = (1, 28, 28), seed: int = 0
    ) -> None:
        shape = check_image_shape(input_shape, SIDE * SIDE, "Digits")
        train = _written(whole_number(n_train, "Digits: n_train", 1), shape, seed, 0)
        count = whole_number(n_test, "Digits: n_test", 0)
        self._set(train, _written(count, shape, seed, 1) if count else None, None, CLASSES)
        self.seed = seed


def _written(count: int, shape: tuple[int, ...], seed: int, part: int) -> Split:
    rng = seeded("digits", seed, part)
    labels = rng.permutation(np.arange(count, dtype=np.int64) % CLASSES)
    return Split(scaled(draw_digits(labels, rng), shape), labels)
