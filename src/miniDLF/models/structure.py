"""A model's structure as JSON, and back: names resolve in a closed registry and in what the user passes by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from miniDLF.core.graph import Graph, Node, check_size, snake_case
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError, FileFormatError, MiniDLFError
from miniDLF.kernels.workspace import Array
from miniDLF.layers import CHOICES
from miniDLF.losses import CHOICES as LOSSES
from miniDLF.metrics import CHOICES as METRICS
from miniDLF.models.autoencoder import Autoencoder
from miniDLF.models.compiling import LossMetric
from miniDLF.models.model import Model
from miniDLF.models.older import MEANING, as_meant, draw_as_then, project_as_then
from miniDLF.models.sequential import Sequential
from miniDLF.models.values import Classes, class_name, made, stored
from miniDLF.models.weights import check_weight
from miniDLF.optimizers import CHOICES as OPTIMIZERS
from miniDLF.storage import report_mismatch

__all__ = ["describe", "explained", "rebuild", "uncompiled"]

_KINDS: Mapping[str, type[Model]] = {"Model": Model, "Sequential": Sequential, "Autoencoder": Autoencoder}
_METRICS = {**METRICS, "LossMetric": LossMetric}
MAX_SHARDS = 65_536


def _whole(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def _list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _name(value: Any) -> bool:
    return value is None or isinstance(value, str)


#: What may stand in the fields of a description, in a test and in words.
_Fields = Mapping[str, tuple[Callable[[Any], bool], str]]
_MODEL: _Fields = {
    "class": (lambda value: isinstance(value, str) and value in _KINDS, f"one of {', '.join(_KINDS)}"),
    "name": (_name, "a text or null"),
    "dtype": (lambda value: value in ("float32", "float64"), "'float32' or 'float64'"),
    "seed": (lambda value: _whole(value, 0), "a whole number of at least 0"),
    "shards": (
        lambda value: value is None or (_whole(value, 1) and value <= MAX_SHARDS),
        f"null or a whole number from 1 to {MAX_SHARDS}",
    ),
    "inputs": (_list, "a list"),
    "layers": (lambda value: isinstance(value, list), "a list"),
    "nodes": (lambda value: isinstance(value, list), "a list"),
    "outputs": (_list, "a list"),
    "output_names": (lambda value: isinstance(value, list) and all(map(_name, value)), "a list of texts"),
}
_INPUT: _Fields = {
    "name": (_name, "a text or null"),
    "shape": (
        lambda value: isinstance(value, list) and all(_whole(length, 1) for length in value),
        "a list of whole numbers of at least 1",
    ),
}
_LAYER: _Fields = {
    "path": (lambda value: isinstance(value, str), "a text"),
    "trainable": (lambda value: isinstance(value, bool), "true or false"),
    "class": (lambda value: isinstance(value, str), "a text"),
    "config": (lambda value: isinstance(value, dict), "a table"),
}
_NODE: _Fields = {
    "layer": (lambda value: _whole(value, 0), "a whole number of at least 0"),
    "inputs": (_list, "a list"),
}


def _checked(entry: Any, fields: _Fields) -> Any:
    """Return a description whose fields are what they may be; it is asked before writing, and after reading."""
    for field, (fits, expected) in fields.items():
        if not fits(entry[field]):
            raise ArgumentError(f"{field}: expected {expected}, received {str(entry[field])[:80]!r}.")
    return entry


def _short(error: Exception) -> str:
    """Return what an error says without the middle of what a damaged file has in the place of a name."""
    text = str(error)
    return text if len(text) <= 800 else f"{text[:400]} ... {text[-300:]}"


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn whatever a damaged description leads to into the one exception for a bad file."""
    try:
        yield
    except FileFormatError:
        raise
    except MiniDLFError as error:
        raise FileFormatError(f"{where} cannot be rebuilt: {_short(error)}") from error
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{where} is damaged ({type(error).__name__}: {_short(error)}). Save the model anew."
        ) from error


def describe(model: Model, compiled_too: bool = True) -> dict[str, Any]:
    """Return the structure of a model, and what `compile` was given, as values that JSON can hold."""
    graph = model.graph
    places: dict[Node, int] = {node: number for number, node in enumerate([*graph.inputs, *graph.nodes])}
    numbers = {layer: number for number, layer in enumerate(graph.layers)}
    result: dict[str, Any] = {
        "class": _kind(model),
        "meaning": MEANING,
        "name": model.name,
        "dtype": model.dtype.name,
        "seed": model.seed,
        "shards": model.shards,
        "inputs": [_checked({"name": node.name, "shape": list(node.shape)}, _INPUT) for node in graph.inputs],
        "layers": [
            {
                "path": graph.names[layer],
                "trainable": bool(layer.trainable if layer in graph.hosts else graph.trains(layer)),
                "class": class_name(layer),
                "config": _arguments(layer),
            }
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
    if model._compiled is not None and compiled_too:
        compiled = model._compiled
        result["compile"] = {
            "loss": [_named(loss) for loss in compiled["loss"]],
            "metrics": [[_named(metric) for metric in one] for one in compiled["metrics"]],
            "weighted": [[_named(metric) for metric in one] for one in compiled["weighted"]],
            "loss_weights": compiled["loss_weights"],
            "optimizer": _named(model.optimizer),
        }
    return _checked(result, _MODEL)


def _kind(model: Model) -> str:
    for name, kind in reversed(list(_KINDS.items())):
        if isinstance(model, kind):
            return name
    return "Model"


def _arguments(layer: Layer) -> dict[str, Any]:
    return {
        key: stored(value, getattr(layer, key, None), f"{layer.described}: {key}")
        for key, value in layer.config().items()
        if key not in ("name", "trainable", "class")
    }


def _named(thing: Any) -> Any:
    name = type(thing).__name__
    return stored({"class": name, **thing.config()}, thing, name)


def rebuild(structure: Mapping[str, Any], own: Classes, weights: Mapping[str, Array], where: str) -> Model:
    """Make the model that `describe` described, with these weights.

    Raises
    ------
    FileFormatError
        If the structure does not make sense, names a class that nobody knows, or needs other weights.
    """
    with explained(f"{where}: the model's structure"):
        model, nodes = uncompiled(structure, own, where)
    model.graph.connect(model)
    names = model.graph.names
    parameters = {f"{name}/{p.name}": p for layer, name in names.items() for p in layer.parameters}
    report = report_mismatch(
        {name: parameter.shape for name, parameter in parameters.items()},
        {name: value.shape for name, value in weights.items()},
    )
    if not report.ok:  # before anything of the size that the structure asks for is made
        raise FileFormatError(f"{where}: the weights do not fit the model's structure.\n{report}")
    for name, parameter in parameters.items():
        check_weight(parameter, weights[name], f"{where}: {name}", model.dtype)
        parameter.value = weights[name].astype(model.dtype, copy=False)
    with explained(f"{where}: the model"):
        model.ready()
        model._restore_structure(structure, nodes)
    if structure.get("compile") is not None:
        with explained(f"{where}: what the model was compiled with"):
            _compile(model, structure["compile"], own)
    return model


def uncompiled(structure: Mapping[str, Any], own: Classes, where: str) -> tuple[Model, list[Node]]:
    """Return the model of a description without weights, and its nodes by their places there."""
    _checked(structure, _MODEL)
    meaning = structure.get("meaning", 0)
    if not _whole(meaning, 0) or meaning > MEANING:
        raise ArgumentError(f"meaning: expected a whole number up to {MEANING}, received {meaning!r}. Upgrade miniDLF.")
    inputs = [
        Node(None, (), tuple(entry["shape"]), entry["name"])
        for entry in (_checked(entry, _INPUT) for entry in structure["inputs"])
    ]
    for number, node in enumerate(inputs):
        check_size(f"input {node.name or number!r}", "takes", node.shape)
    layers = []
    for number, entry in enumerate(structure["layers"]):
        with explained(f"{where}: layers[{number}] of the model's structure"):
            layers.append(_layer(_checked(entry, _LAYER), own, meaning))
    nodes = list(inputs)
    for entry in structure["nodes"]:
        layer, sources = layers[_checked(entry, _NODE)["layer"]], tuple(_at(place, nodes) for place in entry["inputs"])
        if getattr(layer, "is_derived", False):
            layer.takes_many = len(sources) > 1
        if layer.takes_many != (len(sources) > 1):
            raise ArgumentError(f"node {len(nodes)}: {layer.described} cannot have {len(sources)} inputs.")
        received: Any = tuple(n.shape for n in sources) if layer.takes_many else sources[0].shape
        project_as_then(layer, received, meaning)
        shape = tuple(layer.shape_for(received))
        check_size(layer.described, "makes", shape)
        nodes.append(Node(layer, sources, shape, host=_host(layer, sources[0])))
    outputs = [_at(place, nodes) for place in structure["outputs"]]
    names = structure["output_names"]
    if names and len(names) != len(outputs):
        raise ArgumentError(f"output_names: expected {len(outputs)} names or none, received {len(names)}.")
    kind = _KINDS[structure["class"]]
    model: Model = kind.__new__(kind)
    model._settings(structure["name"], structure["seed"], structure["dtype"], structure["shards"])
    model._graph = Graph(inputs, outputs)
    model._output_names = list(names)
    return model, nodes


def _layer(entry: Mapping[str, Any], own: Classes, meaning: int) -> Layer:
    layer = made({**as_meant(entry, meaning), "class": entry["class"]}, CHOICES, own, "layer")
    if not isinstance(layer, Layer):
        raise ArgumentError(f"{entry['class']!r} is not a layer.")
    draw_as_then(layer, entry["config"], meaning)
    layer.name, layer.trainable = entry["path"], entry["trainable"]
    base, _, number = entry["path"].rpartition("/")[2].rpartition("_")
    if number.isdecimal() and base == snake_case(type(layer).__name__):
        vars(layer)["_numbered"] = layer.name  # by the model, so that another one may number it anew
    return layer


def _host(layer: Layer, source: Node) -> Layer | None:
    """Return the layer that brought this one along as its activation, which a file does not tell.

    Whoever gives a layer an activation, by a name or as an object, has it behind that layer in every graph.
    """
    host = source.layer
    wanted = getattr(host, "activation", None)
    if host is None or wanted is None or source.host is not None:
        return None
    _, *brought = host.parts()
    if len(brought) != 1 or type(brought[0]) is not type(layer) or _own_config(brought[0]) != _own_config(layer):
        return None
    if not isinstance(wanted, str):  # an object: this one has the weights
        host.activation = layer
    return host


def _own_config(layer: Layer) -> dict[str, Any]:
    return {key: value for key, value in layer.config().items() if key not in ("name", "trainable")}


def _at(place: Any, nodes: list[Node]) -> Node:
    if not _whole(place, 0) or place >= len(nodes):
        raise IndexError(f"node {place!r} does not come before its use")
    return nodes[place]


def _compile(model: Model, compiled: Mapping[str, Any], own: Classes) -> None:
    count = len(model.graph.outputs)
    for key in ("loss", "metrics", "weighted", "loss_weights"):
        if not isinstance(compiled[key], list) or len(compiled[key]) != count:
            raise ArgumentError(f"{key}: expected a list with an entry for each of {count} outputs.")
    losses = [made(one, LOSSES, own, "loss") for one in compiled["loss"]]
    metrics, weighted = (
        [[made(metric, _METRICS, own, "metric") for metric in one] for one in compiled[key]]
        for key in ("metrics", "weighted")
    )
    optimizer = made(compiled["optimizer"], OPTIMIZERS, own, "optimizer")
    weights = compiled["loss_weights"]
    if count > 1:
        model.compile(losses, optimizer, metrics, weights, weighted, doctor=False)
    else:
        model.compile(losses[0], optimizer, metrics[0], weights[0], weighted[0], doctor=False)
    model._doctor.enabled = True  # `fit` says what there is to say; whoever only predicts need not hear it
