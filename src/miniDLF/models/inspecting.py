"""What a model is made of: its layers, weights, inputs and outputs, and its description, under Keras' names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from miniDLF.core.layer import Layer
from miniDLF.core.parameter import Parameter
from miniDLF.errors import ArgumentError, ArgumentTypeError, UnknownNameError, nearest
from miniDLF.kernels.workspace import Array
from miniDLF.names import Explained

__all__ = ["Inspecting"]


class Inspecting(Explained):
    """What `Model` and `Sequential` share: looking inside."""

    _graph: Any
    _engine: Any
    _compiled: Any
    _waiting: Sequence[Any] = ()
    _output_names: list[str | None]

    # Layers ---------------------------------------------------------------------------------------------------------

    @property
    def layers(self: Any) -> list[Layer]:
        """The layers, in the order in which they run.

        An activation that was given as an argument (``Dense(8, activation="relu")``) belongs to its layer and is not
        listed, so ``Sequential([*model.layers[:-1], Dense(5)])`` is the model with another head; the summary and
        `get_layer` know it by its own name. The layers of a model within the model, and those of a block, are listed
        one by one.
        """
        return list(self.graph.given)

    def get_layer(self: Any, name: str | None = None, index: int | None = None) -> Any:
        """Return a layer, or a model within, by its name ('conv2d_1'), or a layer by its place among `layers`."""
        if (name is None) == (index is None):
            raise ArgumentError("get_layer: give the layer's name, or index=... for its place among model.layers.")
        if index is not None:
            layers = self.graph.given
            if not isinstance(index, int | np.integer) or not -len(layers) <= index < len(layers):
                raise ArgumentError(f"get_layer: index is a whole number below {len(layers)}, received {index!r}.")
            return layers[index]
        for layer, known in self.graph.names.items():
            if known == name:
                return layer
        if name in self.graph.blocks:
            return self.graph.blocks[name]
        names = self.graph.names.values()
        raise UnknownNameError(
            f"the model has no layer {name!r}; it has {', '.join(names)}.{nearest(name, names) if name else ''}"
        )

    @property
    def trainable(self: Any) -> bool:
        """Whether any layer is trained; setting it sets all of them, in force at the next `compile`."""
        return any(self.graph.trains(layer) for layer in self.graph.layers)

    @trainable.setter
    def trainable(self: Any, value: bool) -> None:
        for layer in self.graph.layers:
            layer.trainable = value

    # Inputs and outputs ---------------------------------------------------------------------------------------------

    @property
    def inputs(self: Any) -> list[Any]:
        """The nodes that the model begins with: ``Model(model.inputs, ...)`` is a part of it."""
        return list(self.graph.inputs)

    @property
    def outputs(self: Any) -> list[Any]:
        """The nodes that it ends with."""
        return list(self.graph.outputs)

    @property
    def input(self) -> Any:
        """The node that the model begins with; a list where there are several."""
        return _single(self.inputs)

    @property
    def output(self) -> Any:
        """The node that it ends with; a list where there are several."""
        return _single(self.outputs)

    @property
    def input_shape(self) -> Any:
        """Shape of a sample; a list of shapes where there are several inputs."""
        return _single([node.shape for node in self.inputs])

    @property
    def output_shape(self) -> Any:
        """Shape of a prediction; a list of shapes where there are several outputs."""
        return _single([node.shape for node in self.outputs])

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs: as given, or of the layers (or models within the model) that make them."""
        if self._graph is None:
            last = self._waiting[-1].name if self._waiting else None
            return [last or "output"]
        graph, given = self._graph, self._output_names
        paths = [
            graph.names[graph.hosts.get(n.layer, n.layer)] if n.layer else (n.name or "input") for n in graph.outputs
        ]
        whole = [path.partition("/")[0] for path in paths]  # of a model, if it makes no other output
        outputs = Counter(whole)
        made = [short if outputs[short] == 1 else path for short, path in zip(whole, paths, strict=True)]
        names: dict[str, None] = {}
        times: Counter[str] = Counter()
        for name in [own or name for own, name in zip(given or [None] * len(made), made, strict=True)]:
            unique = name
            while unique in names:
                times[name] += 1
                unique = f"{name}_{times[name]}"
            names[unique] = None
        return list(names)

    # Weights --------------------------------------------------------------------------------------------------------

    @property
    def weights(self: Any) -> list[Parameter]:
        """All parameters, layer by layer in the order of `get_weights`."""
        self.ready()
        return [parameter for layer in self.graph.layers for parameter in layer.parameters]

    @property
    def trainable_weights(self: Any) -> list[Parameter]:
        """The parameters that the next `compile` lets train."""
        return [parameter for parameter, trained in self._with_flags() if trained]

    @property
    def non_trainable_weights(self: Any) -> list[Parameter]:
        """The parameters that it does not: running statistics, and those of frozen layers."""
        return [parameter for parameter, trained in self._with_flags() if not trained]

    variables = weights
    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    def _with_flags(self: Any) -> list[tuple[Parameter, bool]]:
        self.ready()
        graph = self.graph
        return [(p, p.trainable and graph.trains(layer)) for layer in graph.layers for p in layer.parameters]

    def get_weights(self) -> list[Array]:
        """Return copies of all parameters, layer by layer in the documented order."""
        return [parameter.value.copy() for parameter in self.weights]

    def set_weights(self: Any, weights: Sequence[Any]) -> None:
        """Set all parameters from a list such as `get_weights` gives, or none of them.

        Raises
        ------
        ArgumentError
            If the list is of another length, or an array of another shape.
        DataError
            If an array is masked, or holds a number that the model's type cannot hold.
        """
        paths, parameters = self.named_weights(), self.weights
        if len(weights) != len(parameters):
            raise ArgumentError(f"set_weights: the model has {len(parameters)} arrays, received {len(weights)}.")
        for path, parameter, value in zip(paths, parameters, weights, strict=True):
            if np.shape(value) != parameter.shape:
                raise ArgumentError(f"set_weights: {path} has shape {parameter.shape}, received {np.shape(value)}.")
        checked = [
            parameter.checked(value, f"set_weights: {path}")
            for path, parameter, value in zip(paths, parameters, weights, strict=True)
        ]
        for parameter, value in zip(parameters, checked, strict=True):
            parameter.value = value

    def named_weights(self: Any) -> dict[str, Array]:
        """Return all parameters by path ('conv2d_1/weight'): the arrays themselves, not copies."""
        self.ready()
        names = self.graph.names
        return {f"{names[layer]}/{p.name}": p.value for layer in self.graph.layers for p in layer.parameters}

    def count_params(self: Any) -> int:
        """Return the number of parameters, trained or not."""
        return sum(p.size for layer in self.graph.layers for p in layer.parameters)

    # What is measured -----------------------------------------------------------------------------------------------

    @property
    def metrics(self: Any) -> list[Any]:
        """The metrics that `compile` was given, as objects."""
        return [metric for head in self.engine().heads for metric in head.metrics] if self._compiled else []

    @property
    def metrics_names(self: Any) -> list[str]:
        """The names of the numbers that `evaluate` returns, in their order; none before `compile`."""
        return list(self.engine().logs()) if self._compiled else []

    # Descriptions ---------------------------------------------------------------------------------------------------

    def get_config(self: Any) -> dict[str, Any]:
        """Return the structure as values that JSON can hold: without weights, and without what `compile` was given.

        Raises
        ------
        ArgumentTypeError
            If a layer holds what no file can, for example a function.
        """
        from miniDLF.models.structure import describe  # it knows all models, and they know this module

        return describe(self, compiled_too=False)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """Make the model that `get_config` described, with new initial weights (by its seed), not compiled.

        Parameters
        ----------
        config
            What `get_config` returned.
        custom_objects
            Your own classes by name, as for `miniDLF.models.load`.
        """
        from miniDLF.models.cloning import model_from_config  # it knows all models, and they know this module

        return model_from_config(config, custom_objects)

    def to_json(self, **options: Any) -> str:
        """Return `get_config` as JSON, for `miniDLF.models.model_from_json`; `options` go to `json.dumps`."""
        import json  # few programs need it

        try:
            return json.dumps(self.get_config(), **options)
        except TypeError as error:
            if isinstance(error, ArgumentTypeError):
                raise
            raise ArgumentTypeError(
                f"to_json: {error}. The options are those of json.dumps, such as indent=2."
            ) from None


def _single(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values
