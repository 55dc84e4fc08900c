"""Small seeded data that can be learned, and what the doctor tells of a run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from miniDLF.errors import DoctorWarning

RNG = np.random.default_rng(7)
N = 240

#: A table: three classes by which of three sums is the largest, yes or no, and a number.
X = RNG.normal(size=(N, 8)).astype(np.float32)
SCORES = X[:, :6].reshape(N, 3, 2).sum(2)
LABELS = SCORES.argmax(1)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
YES = (X[:, :1] + X[:, 1:2] > 0).astype(np.float32)
NUMBER = (X[:, :1] - 0.5 * X[:, 1:2] ** 2).astype(np.float32)
MANY = (X[:, :4] > 0).astype(np.float32)
ORDER = np.argsort(LABELS, kind="stable")

#: Images with a bright left or right half, and sequences whose sum is positive or not.
SIDES = np.arange(N) % 2
IMAGES = RNG.random((N, 1, 8, 8)).astype(np.float32) * 0.5
IMAGES[SIDES == 0, :, :, :4] += 0.5
IMAGES[SIDES == 1, :, :, 4:] += 0.5
SEQUENCES = RNG.normal(size=(N, 6, 3)).astype(np.float32)
SUMS = (SEQUENCES[:, :, 0].sum(1) > 0).astype(np.int64)


def told(run: Callable[[], Any]) -> list[str]:
    """Return the names of the findings of which `run` warns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    texts = [str(entry.message) for entry in caught if entry.category is DoctorWarning]
    assert len(texts) == len([entry for entry in caught if not issubclass(entry.category, ResourceWarning)])
    assert all(text.count("\n") == 0 for text in texts)
    return [re.findall(r"\((\w+)\)$", text)[0] for text in texts]


def silent(text: str) -> None:
    """Take the place of `print`."""
