"""Models: the chain, the functional graph, the autoencoder, and loading them from files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniDLF.models.autoencoder import Autoencoder
from miniDLF.models.data_info import DataInfo
from miniDLF.models.inputs import Input
from miniDLF.models.model import Model
from miniDLF.models.sequential import Sequential
from miniDLF.names import loaded_when_used

if TYPE_CHECKING:  # at run time when it is asked for: files, pictures and proofs
    from miniDLF.models.checking import GradientError, GradientReport
    from miniDLF.models.cloning import clone_model, model_from_json
    from miniDLF.models.drawing import plot_model
    from miniDLF.models.persistence import load

__all__ = [
    "Autoencoder",
    "DataInfo",
    "GradientError",
    "GradientReport",
    "Input",
    "Model",
    "Sequential",
    "clone_model",
    "load",
    "model_from_json",
    "plot_model",
]

__getattr__ = loaded_when_used(
    __name__,
    {
        "GradientError": "miniDLF.models.checking",
        "GradientReport": "miniDLF.models.checking",
        "clone_model": "miniDLF.models.cloning",
        "load": "miniDLF.models.persistence",
        "model_from_json": "miniDLF.models.cloning",
        "plot_model": "miniDLF.models.drawing",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
