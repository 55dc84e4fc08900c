"""Weights of a file, before they become those of a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.arrays import refuse_beyond, refuse_not_finite
from miniDLF.core.parameter import Parameter
from miniDLF.errors import DataError, FileFormatError
from miniDLF.kernels.workspace import Array

__all__ = ["check_weight"]


def check_weight(parameter: Parameter, value: Array, where: str, dtype: np.dtype[Any]) -> None:
    """Refuse what a file cannot mean as the values of a parameter.

    State that is not trained may hold NaN or infinity (a largest value so far begins with -inf); trained weights never.

    Raises
    ------
    FileFormatError
        If the numbers are whole ones (quantised weights without their scale), or not finite in the model's type.
    """
    if value.dtype.kind != "f":
        raise FileFormatError(
            f"{where} holds {value.dtype}, expected floating-point numbers. Quantised weights need their scale: "
            "convert them where the file is made."
        )
    refuse = refuse_not_finite if parameter.trainable else refuse_beyond
    try:
        refuse(np.atleast_1d(value), dtype, where, entry="row")
    except DataError as error:
        raise FileFormatError(str(error)) from None
