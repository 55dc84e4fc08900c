"""A model's structure as JSON, and back: names resolve in a closed registry and in what the user passes by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from miniDLF.core.configurable import from_config
from miniDLF.core.graph import Graph, Node, as_shape
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError, FileFormatError, MiniDLFError
from miniDLF.layers import CHOICES
from miniDLF.losses import CHOICES as LOSSES
from miniDLF.metrics import CHOICES as METRICS
from miniDLF.models.autoencoder import Autoencoder
from miniDLF.models.compiling import LossMetric
from miniDLF.models.model import Model
from miniDLF.models.sequential import Sequential
from miniDLF.optimizers import CHOICES as OPTIMIZERS

__all__ = ["describe", "rebuild"]

_KINDS: Mapping[str, type[Model]] = {"Model": Model, "Sequential": Sequential, "Autoencoder": Autoencoder}


def describe(model: Model) -> dict[str, Any]:
    """Return the structure of a model as values that JSON can hold."""
    graph = model.graph
    places: dict[Node, int] = {node: number for number, node in enumerate([*graph.inputs, *graph.nodes])}
    numbers = {layer: number for number, layer in enumerate(graph.layers)}
    result: dict[str, Any] = {
        "class": _kind(model),
        "name": model.name,
        "dtype": model.dtype.name,
        "seed": model.seed,
        "shards": model.shards,
        "inputs": [{"name": node.name, "shape": list(node.shape)} for node in graph.inputs],
        "layers": [
            {"path": graph.names[layer], "trainable": layer.trainable, "class": type(layer).__name__, **_own(layer)}
            for layer in graph.layers
        ],
        "nodes": [
            {"layer": numbers[node.layer], "inputs": [places[source] for source in node.inputs]}
            for node in graph.nodes
            if node.layer is not None
        ],
        "outputs": [places[node] for node in graph.outputs],
        "output_names": model._output_names,
    }
    result.update(model._extra_structure(places))
    if model._compiled is not None:
        compiled = model._compiled
        result["compile"] = {
            "loss": [_named(loss) for loss in compiled["loss"]],
            "metrics": [[_named(metric) for metric in one] for one in compiled["metrics"]],
            "weighted": [[_named(metric) for metric in one] for one in compiled["weighted"]],
            "loss_weights": compiled["loss_weights"],
            "optimizer": _named(model.optimizer),
        }
    return result


def _kind(model: Model) -> str:
    for name, kind in reversed(list(_KINDS.items())):
        if isinstance(model, kind):
            return name
    return "Model"


def _own(layer: Layer) -> dict[str, Any]:
    config = {key: value for key, value in layer.config().items() if key not in ("name", "trainable", "class")}
    return {"config": config}


def _named(thing: Any) -> dict[str, Any]:
    return {"class": type(thing).__name__, **thing.config()}


def rebuild(structure: Mapping[str, Any], custom_objects: Mapping[str, Any] | None, where: str) -> Model:
    """Make the model that `describe` described, with fresh weights.

    Raises
    ------
    FileFormatError
        If the structure does not make sense, or names a class that nobody knows.
    """
    own = dict(custom_objects or {})
    try:
        return _rebuild(structure, own)
    except MiniDLFError as error:
        hint = (
            "" if "unknown" not in str(error) else " Pass your own classes: load(path, custom_objects={'Name': Name})."
        )
        raise FileFormatError(f"{where}: the model's structure cannot be rebuilt: {error}{hint}") from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(
            f"{where}: the model's structure is damaged ({type(error).__name__}: {error}). Save the model anew."
        ) from error


def _rebuild(structure: Mapping[str, Any], own: Mapping[str, Any]) -> Model:
    layers = []
    for entry in structure["layers"]:
        layer = from_config({"class": entry["class"], **entry["config"]}, {**CHOICES, **own}, "layer")
        if not isinstance(layer, Layer):
            raise ArgumentError(f"{entry['class']!r} is not a layer.")
        layer.name, layer.trainable = str(entry["path"]), bool(entry["trainable"])
        layers.append(layer)
    inputs = [Node(None, (), as_shape(entry["shape"], "input"), entry["name"]) for entry in structure["inputs"]]
    nodes = list(inputs)
    for entry in structure["nodes"]:
        layer, sources = layers[entry["layer"]], tuple(nodes[_place(place, nodes)] for place in entry["inputs"])
        received: Any = tuple(n.shape for n in sources) if layer.takes_many else sources[0].shape
        nodes.append(Node(layer, sources, tuple(layer.build(received))))
    outputs = [nodes[_place(place, nodes)] for place in structure["outputs"]]
    kind = _KINDS[structure["class"]]
    model: Model = kind.__new__(kind)
    model._settings(structure["name"], structure["seed"], structure["dtype"], structure["shards"])
    model._graph = Graph(inputs, outputs)
    model._output_names = list(structure["output_names"])
    model._restore_structure(structure, nodes)
    compiled = structure.get("compile")
    if compiled:
        many = len(outputs) > 1
        losses = [from_config(c, {**LOSSES, **own}, "loss") for c in compiled["loss"]]
        metrics, weighted = (
            [
                [from_config(c, {**METRICS, "LossMetric": LossMetric, **own}, "metric") for c in one]
                for one in compiled[key]
            ]
            for key in ("metrics", "weighted")
        )
        model.compile(
            losses if many else losses[0],
            from_config(compiled["optimizer"], {**OPTIMIZERS, **own}, "optimizer"),
            metrics if many else metrics[0],
            compiled["loss_weights"] if many else compiled["loss_weights"][0],
            weighted if many else weighted[0],
        )
    return model


def _place(place: Any, nodes: list[Node]) -> int:
    if not isinstance(place, int) or not 0 <= place < len(nodes):
        raise IndexError(f"node {place!r} does not come before its use")
    return place
