"""Models: the chain, the functional graph, the autoencoder, and loading them from files."""

from __future__ import annotations

from miniDLF.models.autoencoder import Autoencoder
from miniDLF.models.checking import GradientError, GradientReport
from miniDLF.models.cloning import clone_model, model_from_json
from miniDLF.models.data_info import DataInfo
from miniDLF.models.drawing import plot_model
from miniDLF.models.inputs import Input
from miniDLF.models.model import Model
from miniDLF.models.persistence import load
from miniDLF.models.sequential import Sequential
from miniDLF.names import names_of_keras

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

__getattr__ = names_of_keras(__name__)
