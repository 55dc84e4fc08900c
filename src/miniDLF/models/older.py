"""What the files of earlier versions mean today: layers some of whose defaults have changed since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from miniDLF.core.layer import Layer
from miniDLF.kernels.workspace import Shape
from miniDLF.layers.convolution import Conv2D
from miniDLF.layers.dense import Dense
from miniDLF.layers.recurrent import Recurrent

__all__ = ["MEANING", "as_meant", "draw_as_then", "project_as_then"]

#: The count of such changes; a description of a model says how many it knows, those of 0.1 nothing.
#: 1: GELU is the exact one, and recurrent layers without sequences have no projection of their own accord.
#: 2: the weights of Dense and Conv2D are Glorot's uniform ones; they were He's normal ones.
MEANING = 2

_GELU_THEN = {"class": "Activation", "activation": "gelu", "approximate": True}


def as_meant(entry: Mapping[str, Any], meaning: int) -> dict[str, Any]:
    """Return the arguments of a described layer, with those that were its defaults when it was described.

    Parameters
    ----------
    entry
        The layer's ``"class"`` and ``"config"``.
    meaning
        What the description says of `MEANING`.
    """
    config = dict(entry["config"])
    if meaning >= 1:
        return config
    name = entry["class"].rpartition(":")[2]
    if name == "GELU":
        config.setdefault("approximate", True)
    if config.get("activation") == "gelu":
        if name == "Activation":
            config.setdefault("approximate", True)
        else:
            config["activation"] = _GELU_THEN
    return config


def draw_as_then(layer: Layer, config: Mapping[str, Any], meaning: int) -> None:
    """Give a layer whose `config` does not say how to draw its weights the default that it had, before it is built.

    A class of one's own that has a default of its own keeps that.
    """
    decides = next((cls for cls in type(layer).__mro__ if "weight_initializer" in vars(cls)), None)
    if meaning < 2 and decides in (Dense, Conv2D) and "weight_initializer" not in config:
        vars(layer)["weight_initializer"] = "he_normal"


def project_as_then(layer: Layer, input_shape: Shape, meaning: int) -> None:
    """Give a recurrent layer that returns the last step the projection that it had, before it is built."""
    if meaning < 1 and isinstance(layer, Recurrent) and not layer.return_sequences and layer.output_units is None:
        layer.output_units = input_shape[-1]
