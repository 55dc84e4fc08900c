"""What a layer holds and where it stands, under Keras' names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np

from miniDLF.core.graph import Node
from miniDLF.core.parameter import Parameter
from miniDLF.errors import ArgumentError, NotConnectedError, NotReadyError
from miniDLF.kernels.workspace import Array
from miniDLF.tensor import recording

__all__ = ["Contents", "shown"]

T = TypeVar("T")


class shown(Generic[T]):
    """A property that gives way to an attribute, or to a field of a subclass, of the same name."""

    def __init__(self, get: Callable[[Any], T]) -> None:
        self._get = get
        self.__doc__ = get.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> shown[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else self._get(instance)


class Contents:
    """The weights of a layer and its place in a graph."""

    if TYPE_CHECKING:  # what `Layer` has
        trainable: bool

        @property
        def described(self) -> str: ...

        @property
        def parameters(self) -> list[Parameter]: ...

    @shown
    def weights(self) -> list[Parameter]:
        """All parameters: the layer's own, then those of the layers that it holds (an activation, parts of a block)."""
        return [parameter for parameter, _ in self._held()]

    @shown
    def trainable_weights(self) -> list[Parameter]:
        """Those that the next `compile` lets train; none in a layer with ``trainable=False``."""
        return [parameter for parameter, trained in self._held() if trained]

    @shown
    def non_trainable_weights(self) -> list[Parameter]:
        """Those that it does not: running statistics, and all that is frozen."""
        return [parameter for parameter, trained in self._held() if not trained]

    variables = weights
    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    def _held(self, trained: bool = True, seen: set[int] | None = None) -> Iterator[tuple[Parameter, bool]]:
        """Yield the parameters, and whether each is trained."""
        seen = set() if seen is None else seen
        if id(self) in seen:
            return
        seen.add(id(self))
        trained = trained and bool(self.trainable)
        for parameter in self.parameters:
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield parameter, trained and parameter.trainable
        for part in _parts(list(vars(self).values())):
            yield from part._held(trained, seen)

    def get_weights(self) -> list[Array]:
        """Return copies of all parameters, in the order of `weights`.

        Raises
        ------
        NotReadyError
            If the layer is not part of a model yet, so that it does not know how many there are.
        """
        return [parameter.value.copy() for parameter in self._ready()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all parameters from a list such as `get_weights` gives: as many arrays, of the same shapes.

        Raises
        ------
        ArgumentError
            If there are more or fewer of them, or one has another shape; then nothing is set.
        DataError
            If one is masked, or holds a number that the model's type cannot hold; then nothing is set either.
        NotReadyError
            As for `get_weights`.
        """
        parameters = self._ready()
        if not isinstance(weights, list | tuple):
            raise ArgumentError(
                f"{self.described}: set_weights takes a list of arrays, received {type(weights).__name__}. Write "
                "set_weights([weight, bias])."
            )
        if len(weights) != len(parameters):
            names = ", ".join(f"{parameter.name} {parameter.shape}" for parameter in parameters) or "none"
            raise ArgumentError(
                f"{self.described}: set_weights: the layer has {len(parameters)} arrays ({names}), received "
                f"{len(weights)}. Give one for each, in this order."
            )
        for parameter, value in zip(parameters, weights, strict=True):
            if np.shape(value) != parameter.shape:
                raise ArgumentError(
                    f"{self.described}: set_weights: {parameter.name} has the shape {parameter.shape}, received "
                    f"{np.shape(value)}."
                )
        checked = [
            parameter.checked(value, f"{self.described}: set_weights: {parameter.name}")
            for parameter, value in zip(parameters, weights, strict=True)
        ]
        for parameter, value in zip(parameters, checked, strict=True):
            parameter.value = value

    @shown
    def dtype(self) -> str:
        """The name of the type in which it computes, the model's; float32 as long as it is in none."""
        within = recording.computes_in()
        if within is not None:
            return within
        for home in vars(self).get("_homes", ()):
            model = home()
            if model is not None:
                return str(np.dtype(model.dtype).name)
        known = [parameter.dtype for parameter in self.parameters if parameter.dtype is not None]
        return str(known[0]) if known else "float32"

    compute_dtype = variable_dtype = dtype

    def count_params(self) -> int:
        """Return the number of values in all parameters, trained or not.

        Raises
        ------
        NotReadyError
            As for `get_weights`.
        """
        self._built()
        return sum(parameter.size for parameter, _ in self._held())

    def _ready(self) -> list[Parameter]:
        """Return the parameters with their values; the model that the layer is in draws them where it must."""
        self._built()
        parameters = [parameter for parameter, _ in self._held()]
        if not all(parameter.is_drawn for parameter in parameters):
            models = [model for home in vars(self).get("_homes", ()) if (model := home()) is not None]
            if not models:
                raise NotReadyError(
                    f"{self.described} has no weights yet: they are drawn by the seed of a model. Make the model first."
                )
            models[0].ready()
        return parameters

    def _built(self) -> None:
        if not vars(self).get("_uses") and not vars(self).get("_homes") and not any(True for _ in self._held()):
            raise NotReadyError(
                f"{self.described} has no weights yet: it does not know the shape of its input. Add it to a model, or "
                "call it on a node: layer(Input(shape))."
            )

    @shown
    def input(self) -> Any:
        """The node (or nodes) that the layer reads, where it was first used; their ``shape`` has no batch axis."""
        nodes = self._use("input")[0]
        return nodes[0] if len(nodes) == 1 else nodes

    @shown
    def output(self) -> Any:
        """The node of what the layer gives, behind its activation, where it was first used.

        ``Model(model.inputs, model.get_layer("dense_1").output)`` gives the features of a trained model.

        Raises
        ------
        NotConnectedError
            If no model, and no node that somebody holds, uses the layer.
        """
        nodes = self._use("output")[1]
        return nodes[0] if len(nodes) == 1 else nodes

    @shown
    def output_shape(self) -> Any:
        """The shape of what it gives for a sample, without the batch axis; of the first use, as `output`."""
        shapes = [node.shape for node in self._use("output_shape")[1]]
        return shapes[0] if len(shapes) == 1 else shapes

    def _use(self, what: str) -> tuple[list[Node], list[Node]]:
        for sources, results in vars(self).get("_uses", {}).values():
            nodes = [held() for held in (*sources, *results)]
            if all(node is not None for node in nodes):
                return nodes[: len(sources)], nodes[len(sources) :]
        raise NotConnectedError(
            f"{self.described}: there is no {what} yet, since no model uses the layer. Add it to a model, or call it "
            "on a node: layer(Input(shape))."
        )

    def __getstate__(self) -> dict[str, Any]:
        """What a copy needs: the models and graphs that the layer is used in are others' affair."""
        return {name: value for name, value in vars(self).items() if name not in ("_uses", "_homes")}


def _parts(values: list[Any]) -> Iterator[Contents]:
    """Yield the layers among values, and in lists and dictionaries of them."""
    for value in values:
        if isinstance(value, Contents):
            yield value
        elif isinstance(value, list | tuple):
            yield from _parts(list(value))
        elif isinstance(value, dict):
            yield from _parts(list(value.values()))
