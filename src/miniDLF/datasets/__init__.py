"""Data sets: your own arrays, MNIST, texts, and two that need no file."""

from __future__ import annotations

from miniDLF.datasets.batches import batch_bounds, epoch_order
from miniDLF.datasets.checking import one_hot
from miniDLF.datasets.dataset import Dataset, Split
from miniDLF.datasets.digits import Digits
from miniDLF.datasets.images import contact_sheet
from miniDLF.datasets.mnist import MNIST
from miniDLF.datasets.prefetch import prefetch
from miniDLF.datasets.text import Text
from miniDLF.datasets.text2seq import TEXT2SEQ
from miniDLF.names import names_of_keras

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

__getattr__ = names_of_keras(__name__)
