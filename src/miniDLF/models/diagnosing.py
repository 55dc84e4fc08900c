"""The arguments of `diagnose`, translated for the doctor."""

from __future__ import annotations

from typing import Any

from miniDLF import doctor
from miniDLF.core.executor import Batch
from miniDLF.datasets import Dataset
from miniDLF.doctor import Diagnosis
from miniDLF.errors import ArgumentError

__all__ = ["diagnose"]


def diagnose(
    model: Any,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    validation_data: Any = None,
    validation_split: float = 0.0,
    shuffle: bool = True,
    batch_size: int | None = None,
) -> Diagnosis:
    """Look for what keeps a compiled model from learning from `x`, `y`; nothing of the model changes.

    Every check of `compile` and `fit` is made, on up to 4096 samples. Besides, a copy of the model learns 64 samples
    for 40 steps, two models that need no training say whether the inputs tell anything about the targets, and the
    validation data are searched for training samples.

    Parameters
    ----------
    x, y
        Arrays as for `fit`, or `x` alone a `Dataset` (its test split stands for the validation data).
    sample_weight, validation_data, validation_split, shuffle, batch_size
        What `fit` is given; `validation_data` as ``(x, y)`` or a `Dataset`.

    Returns
    -------
    Diagnosis
        ``findings``, the surest first; its text is the report.

    Raises
    ------
    NotReadyError
        If the model is not compiled.
    ArgumentError
        If the data are an iterable of batches, of which nothing can be looked at twice.
    """
    if isinstance(x, Dataset):
        if y is not None:
            raise ArgumentError("diagnose: a data set brings its own targets; leave y.")
        if validation_data is None and x.test is not None:
            validation_data = (x.test.x, x.test.y)
        x, y = x.train.x, x.train.y
    elif y is None:
        raise ArgumentError("diagnose: needs arrays and their targets: diagnose(x, y), or one batch of your iterable.")
    model._prepare(x, None)
    model.engine()
    convert = model.converter()
    if validation_split and validation_data is None:
        batch, held = model._split(x, y, sample_weight, None, validation_split, None)
        return doctor.diagnose(model, batch, held, split=True, shuffle=shuffle, batch_size=batch_size)
    batch = convert.batch(x, y, sample_weight)
    return doctor.diagnose(model, batch, _held(convert, validation_data), shuffle=shuffle, batch_size=batch_size)


def _held(convert: Any, data: Any) -> Batch | None:
    if isinstance(data, Dataset):
        data = (data.test or data.train).x, (data.test or data.train).y
    if data is None:
        return None
    if not isinstance(data, tuple) or len(data) not in (2, 3):
        raise ArgumentError("diagnose: validation_data is (x, y), (x, y, sample_weight) or a Dataset.")
    batch: Batch = convert.batch(*data)
    return batch
