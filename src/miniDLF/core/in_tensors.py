"""Layers that are written in tensors: how they are built, what shape they give, how they are called."""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from miniDLF import ops
from miniDLF.core.first_kind import apply_first_kind
from miniDLF.core.own import is_own
from miniDLF.core.parameter import Parameter
from miniDLF.core.recorded import Recorded, crosses_samples
from miniDLF.engine.program import leaves
from miniDLF.errors import ArgumentTypeError, MiniDLFError, ShapeError
from miniDLF.kernels.workspace import Shape
from miniDLF.ops.random import stream_of
from miniDLF.tensor import recording
from miniDLF.tensor.recording import Recording, calling, layer_scope, trains
from miniDLF.tensor.tensor import Tensor, as_tensor, placeholder
from miniDLF.tensor.variable import Variable

if TYPE_CHECKING:
    from miniDLF.core.layer import Layer

__all__ = ["backward", "call_layer", "draw_weights", "forward", "on_tensors", "output_shape", "update_state"]

#: Two numbers of samples with which a layer is tried to see which axis of its result is the batch.
PROBES = (2, 3)
#: Plans that a layer keeps in a shard, for batches of different sizes.
MOST_PLANS = 8


@functools.lru_cache(maxsize=512)
def _keywords(function: Any) -> frozenset[str]:
    """Return which of the keywords that a layer may ask for it does take."""
    parameters = inspect.signature(function).parameters
    for one in list(parameters.values())[2:]:
        needed = one.default is one.empty and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        if needed and one.name not in ("training", "mask"):
            raise ArgumentTypeError(
                f"nobody passes {one.name!r} to call{inspect.signature(function)}. Besides the input it may ask for "
                "training and mask; everything else is a setting of the layer, or has a default."
            )
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return frozenset({"training", "mask"})
    return frozenset({"training", "mask"} & parameters.keys())


def call_layer(layer: Layer, inputs: Sequence[Any], training: bool, mask: Any = None) -> Tensor:
    """Call a layer on tensors, with the keywords that it takes; check what it returns.

    Raises
    ------
    ArgumentTypeError
        If it returns no tensor.
    """
    try:
        known = _keywords(type(layer).call)  # type: ignore[attr-defined]
    except ArgumentTypeError as error:
        raise ArgumentTypeError(f"{layer.described}: {error}") from None
    keywords: dict[str, Any] = {"training": training} if "training" in known else {}
    if "mask" in known:
        keywords["mask"] = mask
    if "mask" in known and mask is None:
        keywords["mask"] = inputs[0].mask if len(inputs) == 1 else [one.mask for one in inputs]
    given = inputs[0] if len(inputs) == 1 else list(inputs)
    kind = next((one.dtype.name for one in inputs if one.dtype.kind == "f"), None)
    with layer_scope(layer.name or type(layer).__name__), calling(training, kind):
        result = layer.call(given, **keywords)  # type: ignore[attr-defined]
    if isinstance(result, (np.ndarray, np.generic, float, int)) or hasattr(result, "__tensor__"):
        result = as_tensor(result)
    if not isinstance(result, Tensor):
        what = f"{len(result)} values" if isinstance(result, (list, tuple)) else type(result).__name__
        raise ArgumentTypeError(
            f"{layer.described}: call() returned {what}; return one tensor. (Did it forget its return statement?)"
        )
    if result.mask is None and len(inputs) == 1:
        result.mask = inputs[0].mask
    return result


def output_shape(layer: Layer, received: Sequence[Shape]) -> Shape:
    """Build a layer for inputs of these shapes (no batch axis) and return the shape of what it gives.

    The layer's `build` receives shapes with the batch axis in front, ``(None, ...)``, as in Keras.

    Raises
    ------
    ShapeError
        If the first axis of the result is not the batch.
    """
    _build(layer, received)
    shapes = []
    for samples in PROBES:
        inputs = [placeholder((samples, *shape), np.float32) for shape in received]
        with recording.recording(Recording()) as record:
            try:
                before = {
                    name: value for name, value in vars(layer).items() if isinstance(value, (Parameter, Variable))
                }
                result = call_layer(layer, inputs, training=False)
                shapes.append(result.shape)
                _refuse_replaced(layer, before)
                _refuse_strays(layer, [result, *record.losses])  # type: ignore[union-attr]
            except MiniDLFError as error:
                if layer.described in str(error):
                    raise
                raise type(error)(f"{layer.described}: {error} (call() was tried with {samples} samples.)") from None
        adds = bool(record and record.losses)
    specifications = [((PROBES[0], *shape), np.dtype(np.float32)) for shape in received]
    vars(layer)["mixes_samples"] = crosses_samples(
        lambda *tensors: call_layer(layer, tensors, training=True), specifications
    )
    vars(layer)["adds_loss"] = adds
    first, second = shapes
    if not first or (first[0], second[0]) != PROBES or first[1:] != second[1:]:
        raise ShapeError(
            f"{layer.described}: for {PROBES[0]} samples call() gives the shape {first}, for {PROBES[1]} {second}. The "
            "first axis must be the samples, and the others the same for any number of them."
        )
    return first[1:]


def _refuse_replaced(layer: Layer, before: dict[str, Any]) -> None:
    """Refuse a `call` that puts a tensor where a weight or a state was, instead of assigning to it."""
    for name, held in before.items():
        if vars(layer).get(name) is not held:
            setattr(layer, name, held)
            raise ArgumentTypeError(
                f"{layer.described}: call() replaces self.{name}, so what it computes is lost. Write "
                f"self.{name}.assign(value): it takes effect when the step is over."
            )


def _refuse_strays(layer: Layer, results: Sequence[Tensor]) -> None:
    """Refuse a layer that uses weights which it does not hold: nobody would train or save them."""
    if getattr(getattr(layer, "model", None), "has_own_steps", False):  # whoever writes steps steps what they like
        return
    known = {id(parameter.__tensor__()) for parameter in layer.parameters}
    for leaf in leaves(results):
        if isinstance(leaf, Variable) and leaf.trainable and id(leaf) not in known:
            raise ArgumentTypeError(
                f"{layer.described}: call() uses {leaf.name!r} {leaf.shape}, which is no weight of the layer, so it "
                "would not be trained or saved. Declare weights by self.add_weight in build, make layers in __init__ "
                "and keep them on self; what is not to be trained is Variable(value, trainable=False)."
            )


def _build(layer: Layer, received: Sequence[Shape]) -> None:
    batched = [(None, *shape) for shape in received]
    if vars(layer).get("_built_for") is not None or (layer.built and is_own(layer.build)):
        return
    given: Any = batched if is_own(type(layer).build) else list(received)  # the package's own take no batch axis
    layer.build(given[0] if len(given) == 1 else given)
    vars(layer).update(_built_for=batched, built=True)


def on_tensors(
    layer: Layer, inputs: Any, training: bool | None = None, *, mask: Any = None, alone: bool = False
) -> Tensor:
    """Use a layer, or a model as one, on tensors or arrays (N, ...): eagerly, or in a program that is recorded.

    A layer that belongs to no model yet is built for these inputs, and draws its weights. With `alone` the activation
    that a layer brings along is left to the caller. `training` is that of the call around, if nothing is said.
    """
    training = trains() if training is None else bool(training)
    tensors = [as_tensor(one) for one in (inputs if isinstance(inputs, (list, tuple)) else [inputs])]
    for tensor in tensors:
        if not tensor.ndim:
            raise ShapeError(f"{layer.described}: expected samples (N, ...), received a single number.")
    if layer.is_derived:
        layer.takes_many = len(tensors) > 1
    elif layer.takes_many != (len(tensors) > 1):
        expected = "joins at least two inputs" if layer.takes_many else "takes one input"
        raise ShapeError(f"{layer.described} {expected}, received {len(tensors)}.")
    shapes = [tensor.shape[1:] for tensor in tensors]
    if layer.is_derived:
        _build(layer, shapes)
    else:
        layer.shape_for(tuple(shapes) if layer.takes_many else shapes[0])
    program = recording.current()
    runs = not any(tensor.is_symbolic for tensor in tensors) if program is None else program.will_run
    if runs and not all(parameter.is_drawn for parameter in layer.parameters):
        draw_weights(layer, random.getrandbits(63), tensors[0].dtype if tensors[0].dtype.kind == "f" else np.float32)
    result = (
        call_layer(layer, tensors, training, mask)
        if _has_call(type(layer))
        else apply_first_kind(layer, tensors, training, stream_of(None))
    )
    for part in () if alone else layer.parts()[1:]:  # an activation that the layer brings along
        result = on_tensors(part, result, training)
    return result


def _has_call(kind: type) -> bool:
    """Say whether a class of layers has a `call` that does what its forward does: none that is overridden by one."""
    for owner in kind.__mro__:
        if callable(vars(owner).get("call")):
            return True
        if "forward" in vars(owner) or "backward" in vars(owner):
            return False
    return False


def draw_weights(layer: Layer, seed: int, dtype: Any = np.float32) -> None:
    """Draw the weights of a layer that belongs to no model yet."""
    rng = np.random.default_rng(seed)
    for parameter in layer.parameters:
        if not parameter.is_drawn:
            parameter.value = np.asarray(parameter.initializer(parameter.shape, rng, parameter.fans), dtype)


def forward(layer: Layer, x: Any, call: Any) -> Any:
    """Run a layer that is written in tensors on the arrays of a shard."""
    inputs = x if isinstance(x, tuple) else (x,)
    runs: dict[Any, Recorded] = vars(call).setdefault("runs", {})
    key = (call.training, call.keeps, call.needs_dx, tuple((array.shape, array.dtype) for array in inputs))
    run = runs.get(key)
    if run is None or run.is_stale:
        while len(runs) >= MOST_PLANS:
            runs.pop(next(iter(runs)))
        run = runs[key] = _recorded(layer, inputs, call)
    vars(call)["run"] = run
    return run.forward(*inputs)


def _recorded(layer: Layer, inputs: Sequence[Any], call: Any) -> Recorded:
    wanted = [parameter for parameter in layer.parameters if call.keeps and call.wants(parameter)]
    node, shard = call._place
    training, keeps, dtype = call.training, call.keeps, call.dtype

    def function(*tensors: Tensor) -> Tensor:
        result = call_layer(layer, tensors, training)
        if result.dtype.kind != "f" and keeps:
            raise ArgumentTypeError(
                f"{layer.described}: call() returned {result.dtype} numbers, through which no gradient goes, so "
                "nothing before the layer can learn. Return floating-point numbers."
            )
        return result if result.dtype.kind != "f" or result.dtype == dtype else ops.cast(result, dtype)

    run = Recorded(
        function,
        [(array.shape, array.dtype) for array in inputs],
        [parameter.__tensor__() for parameter in wanted],
        [bool(call.keeps and call.needs_dx and array.dtype.kind == "f") for array in inputs],
        seed=(call._clock.seed << 20) ^ node,
        shard=shard,
        clock=call._clock,
        backward=call.keeps,
    )
    run.wanted = wanted
    return run


def backward(layer: Layer, dy: Any, call: Any) -> Any:
    """Return the gradients of the inputs, and fill those of the parameters."""
    run = call.run
    found = run.backward(dy)
    for parameter, gradient in zip(run.wanted, run.gradients, strict=True):
        np.copyto(call.grad(parameter), gradient)
    return tuple(found) if len(found) > 1 else found[0]


def update_state(layer: Layer, call: Any) -> None:
    """Carry out what the layer assigned in the step."""
    for variable, value in call.run.assigned:
        variable.assign(value)
