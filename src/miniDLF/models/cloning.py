"""Models made again without their weights: from another model, or from its description."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from miniDLF.errors import ArgumentTypeError, FileFormatError, answering
from miniDLF.kernels.streams import fresh_seed
from miniDLF.models.arguments import whole
from miniDLF.models.model import Model
from miniDLF.models.structure import explained, uncompiled
from miniDLF.models.values import own_classes

__all__ = ["clone_model", "model_from_config", "model_from_json"]


def model_from_config(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """Make the model of a `Model.get_config`: with initial weights, not compiled.

    Raises
    ------
    ArgumentTypeError
        If `config` is no dictionary.
    FileFormatError
        If it does not make sense, or names a class that nobody knows.
    """
    if not isinstance(config, Mapping):
        raise ArgumentTypeError(
            f"from_config takes what get_config() returned, a dictionary; received {type(config).__name__}. For JSON "
            "write model_from_json(text)."
        )
    with explained("the configuration"):
        structure = deepcopy(dict(config))
        model, nodes = uncompiled(structure, own_classes(custom_objects), "the configuration")
        model.graph.connect(model)
        model._restore_structure(structure, nodes)
    return model


def model_from_json(json_string: Any, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """Return the model that `Model.to_json` described, with new initial weights (by its seed), not compiled.

    Parameters
    ----------
    json_string
        The text.
    custom_objects
        Your own classes by name, as for `load`.

    Raises
    ------
    FileFormatError
        If the text is no JSON, describes no model, or names a class that was not passed.
    """
    try:
        config = json.loads(json_string)
    except (TypeError, ValueError, RecursionError) as error:
        raise FileFormatError(
            f"model_from_json: this is no JSON ({error}). Give what model.to_json() returned."
        ) from None
    return model_from_config(config, custom_objects)


@answering
def clone_model(model: Model, *, seed: int | None = None) -> Model:
    """Return a model of the same layers with initial weights of its own, not compiled.

    For a copy with the same weights: ``copy.deepcopy(model)``, or ``clone.set_weights(model.get_weights())``.

    Parameters
    ----------
    model
        Any model. What its layers hold is copied, functions are shared.
    seed
        Of the initial weights; drawn anew if ``None``, so that clones differ.
    """
    if not isinstance(model, Model):
        raise ArgumentTypeError(f"clone_model takes a model, received {type(model).__name__}.")
    whole("clone_model", 0, seed=seed)
    clone = type(model).__new__(type(model))
    clone._untrained()
    clone.__dict__.update(deepcopy({name: value for name, value in vars(model).items() if name not in vars(clone)}))
    clone.seed = fresh_seed() if seed is None else int(seed)
    if clone._graph is not None:
        for layer in clone._graph.layers:
            for parameter in layer.parameters:
                parameter.value = None
        clone._graph.connect(clone)
    return clone
