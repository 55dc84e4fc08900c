"""Models in files: one safetensors file with the structure in its header. Loading executes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentTypeError, FileFormatError, answering
from miniDLF.kernels.workspace import Array
from miniDLF.models.data_info import DataInfo
from miniDLF.models.structure import describe, explained, rebuild
from miniDLF.models.subclassing import writes_call
from miniDLF.models.values import own_classes
from miniDLF.models.weights import check_weight
from miniDLF.storage import MismatchReport, part, read_tensors, report_mismatch, write_tensors

__all__ = ["load", "load_weights", "save", "save_weights"]

_WEIGHTS, _STATE = "weights/", "training/"


def save(model: Any, path: Any, include_optimizer: bool = False) -> None:
    """Write structure and weights, and on request the optimizer's state."""
    if writes_call(model):
        raise ArgumentTypeError(
            f"{model.described}: how it computes stands in the code of its class, which no file holds. Use "
            "save_weights(path); make the model by its class again, call it on an array, and load_weights(path)."
        )
    tensors = {_WEIGHTS + name: value for name, value in model.held_weights().items()}
    if include_optimizer:
        state = model.training_state()
        tensors.update({_STATE + name: np.asarray(value) for name, value in state.items()})
    document = {"kind": "model", "model": describe(model)}
    model.check_data_info()
    data = {"told": model._told.config(), "seen": model._seen.config()}
    if any(data.values()):
        document["data"] = data
    write_tensors(path, tensors, document)


@answering
def load(path: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the model saved in a file; its predictions are the same to the last bit.

    Parameters
    ----------
    path
        What `Model.save` wrote.
    custom_objects
        Your own classes by name, of layers and all that layers, losses, metrics and optimizers are made of; no others
        are ever looked up.

    Raises
    ------
    FileFormatError
        If the file is missing, truncated, altered, holds no model, or one of classes that were not passed.
    """
    own = own_classes(custom_objects)
    tensors, document = read_tensors(path)
    structure = document.get("model")
    if not isinstance(structure, dict):
        raise FileFormatError(f"{path}: the file holds no model structure; load it with model.load_weights(path).")
    model, state = rebuild(structure, own, part(tensors, _WEIGHTS), str(path)), part(tensors, _STATE)
    if "data" in document:
        with explained(f"{path}: the description of the data"):
            model._told, model._seen = (DataInfo(**document["data"][key]) for key in ("told", "seen"))
            model.check_data_info()
    if state:
        with explained(f"{path}: the training state"):
            model.resume_training(state)
    return model


def save_weights(model: Any, path: Any) -> None:
    """Write the weights alone, by path."""
    write_tensors(path, model.held_weights(), {"kind": "weights"})


def load_weights(model: Any, path: Any, strict: bool = True) -> MismatchReport:
    """Fill a model's weights by name from a file of weights, or of a whole model; all of them or none.

    Raises
    ------
    FileFormatError
        If the file is damaged or does not fit, or a weight in it is not a finite floating-point number.
    """
    tensors, document = read_tensors(path)
    weights = part(tensors, _WEIGHTS) if document.get("kind") in ("model", "checkpoint") else tensors
    return _fill(model, weights, str(path), strict)


def _fill(model: Any, weights: Mapping[str, Array], path: str, strict: bool) -> MismatchReport:
    model.ready()
    own = {f"{name}/{p.name}": p for layer, name in model.graph.names.items() for p in layer.parameters}
    report = report_mismatch(
        {name: parameter.shape for name, parameter in own.items()},
        {name: value.shape for name, value in weights.items()},
    )
    if strict and not report.ok:
        raise FileFormatError(
            f"{path} does not fit the model; load_weights(path, strict=False) takes what fits.\n{report}"
        )
    for name in report.matched:  # before anything changes
        check_weight(own[name], weights[name], f"{path}: {name}", model.dtype)
    for name in report.matched:
        own[name].value = weights[name]
    return report
