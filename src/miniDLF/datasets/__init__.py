"""Data sets: your own arrays, MNIST, texts, and two that need no file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniDLF.datasets.batches import batch_bounds, epoch_order
from miniDLF.datasets.checking import one_hot
from miniDLF.datasets.dataset import Dataset, Split
from miniDLF.names import loaded_when_used

if TYPE_CHECKING:  # at run time when it is asked for: they read files of many kinds
    from miniDLF.datasets.digits import Digits
    from miniDLF.datasets.images import contact_sheet
    from miniDLF.datasets.mnist import MNIST
    from miniDLF.datasets.prefetching import prefetch
    from miniDLF.datasets.text import Text
    from miniDLF.datasets.text2seq import TEXT2SEQ

__all__ = [
    "MNIST",
    "TEXT2SEQ",
    "Dataset",
    "Digits",
    "Split",
    "Text",
    "batch_bounds",
    "contact_sheet",
    "epoch_order",
    "one_hot",
    "prefetch",
]

__getattr__ = loaded_when_used(
    __name__,
    {
        "Digits": "miniDLF.datasets.digits",
        "MNIST": "miniDLF.datasets.mnist",
        "TEXT2SEQ": "miniDLF.datasets.text2seq",
        "Text": "miniDLF.datasets.text",
        "contact_sheet": "miniDLF.datasets.images",
        "prefetch": "miniDLF.datasets.prefetching",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
