"""The cases on which the contract suite runs the image layers."""

from __future__ import annotations

import numpy as np

from miniDLF.layers.convolution import Conv2D
from miniDLF.layers.pooling import GlobalAveragePooling2D, Pooling2D, UpSampling2D
from tests.standalone import Case


def distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return values at least 0.01 apart, so that no small step changes which one is the largest of a window."""
    size = int(np.prod(shape))
    return 0.01 * rng.permutation(size).reshape(shape) - 0.005 * size


CASES: list[Case] = [
    Case(lambda: Conv2D(3, (3, 3), use_bias=False), (2, 5, 6)),
    Case(lambda: Conv2D(16, 3, padding=1, use_bias=False), (16, 8, 8), note="Winograd"),
    Case(lambda: Conv2D(3, 3), (2, 6, 5)),
    Case(lambda: Conv2D(4, (6, 6), 2), (1, 12, 13), note="one channel, as the specification's"),
    Case(lambda: Conv2D(3, (2, 3), (2, 1), (1, 2)), (5, 7, 6), note="rectangular"),
    Case(lambda: Conv2D(2, 3, 3, 1), (5, 9, 8), note="columns left over"),
    Case(lambda: Conv2D(3, 3, padding="same"), (3, 5, 5)),
    Case(lambda: Conv2D(3, 4, 2, "same"), (2, 7, 8), note="one more row below"),
    Case(lambda: Conv2D(3, 1), (5, 4, 4), note="pointwise"),
    Case(lambda: Conv2D(16, 3, 1, 1), (16, 6, 9), note="Winograd"),
    Case(lambda: Conv2D(17, 3), (18, 5, 4), note="Winograd, no padding"),
    Case(lambda: Conv2D(16, 3, padding=1), (16, 2, 2), note="smaller than a tile"),
    Case(lambda: Conv2D(2, (5, 1), padding=(2, 0)), (6, 5, 3)),
    Case(lambda: Pooling2D(), (3, 6, 8), make_input=distinct),
    Case(lambda: Pooling2D(2, 2, "avg"), (3, 6, 8)),
    Case(lambda: Pooling2D(3, 2), (2, 7, 8), make_input=distinct, note="overlapping"),
    Case(lambda: Pooling2D(3, 2, "avg"), (2, 8, 7), note="overlapping"),
    Case(lambda: Pooling2D(2, 2), (1, 5, 7), make_input=distinct, note="rows left over"),
    Case(lambda: Pooling2D((3, 1), (1, 2), "avg"), (2, 5, 4)),
    Case(lambda: Pooling2D((1, 2), (3, 2)), (2, 7, 5), make_input=distinct),
    Case(lambda: UpSampling2D((2, 3)), (3, 2, 4)),
    Case(lambda: UpSampling2D(2), (1, 3, 3)),
    Case(lambda: GlobalAveragePooling2D(), (4, 3, 5)),
]
