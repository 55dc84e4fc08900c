"""One of two branches, chosen when the program runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from miniDLF.errors import ShapeError
from miniDLF.ops.bodies import Body, Several, recorded, sum_of
from miniDLF.tensor.nested import flatten, unflatten
from miniDLF.tensor.tensor import Tensor, apply, as_tensor, placeholder

__all__ = ["cond"]


class Cond(Several):
    """What `on_true` gives where the first input is true, else what `on_false` does; only one of them is computed."""

    on_true: Body
    on_false: Body

    @property
    def pure(self):
        return self.on_true.is_pure and self.on_false.is_pure

    @property
    def outputs(self):
        return len(self.on_true.outputs)

    def shape(self, *shapes):
        return self.alone([one.shape for one in self.on_true.outputs])

    def dtype(self, *types):
        return self.alone([one.dtype for one in self.on_true.outputs])

    def evaluate(self, condition, *arrays, out=None):
        found = (self.on_true if condition.reshape(()) else self.on_false).evaluate(arrays)
        if out is None:
            return self.alone(np.array(one) for one in found)
        for target, value in zip(out if self.outputs > 1 else (out,), found, strict=True):
            np.copyto(target, value)
        return out

    def derivative(self, dy, y, condition, *inputs):
        dy = dy if self.outputs > 1 else (dy,)
        given = [n for n, one in enumerate(dy) if one is not None]
        wanted = [n for n, one in enumerate(inputs) if one.dtype.kind == "f"]

        def of(body):
            def branch(*tensors):
                weights = dict(zip(given, tensors, strict=False))
                own = tensors[len(given) :]
                found = body.gradients(own, [weights.get(n) for n in range(self.outputs)], wanted)
                return [sum_of(one, None, own[n]) for one, n in zip(found, wanted, strict=True)]

            return branch

        found = _chosen(condition, of(self.on_true), of(self.on_false), [*(dy[n] for n in given), *inputs])
        by_number = dict(zip(wanted, found, strict=True))
        return None, *(by_number.get(n) for n in range(len(inputs)))

    def flops(self, *shapes):
        return max(self.on_true.flops, self.on_false.flops)


def _chosen(
    condition: Tensor, on_true: Callable[..., Any], on_false: Callable[..., Any], inputs: Sequence[Tensor]
) -> list[Tensor]:
    """Record both branches, which take tensors like `inputs` and return several, and apply the choice."""
    first, of_first = recorded("cond", on_true, inputs, hoists=False)
    second, of_second = recorded("cond", on_false, inputs, hoists=False)
    kinds = [[(one.shape, one.dtype) for one in body.outputs] for body in (first, second)]
    if kinds[0] != kinds[1]:
        raise ShapeError(f"cond: the branches return other shapes or types: {kinds[0]} and {kinds[1]}.")
    count = len(inputs)
    blank = [placeholder(one.shape, one.dtype) for one in (*of_second, *of_first)]
    on_first = Body([*first.inputs, *blank[: len(of_second)]], first.outputs)
    own = second.inputs[:count], second.inputs[count:]
    on_second = Body([*own[0], *blank[len(of_second) :], *own[1]], second.outputs)
    found = apply(Cond(on_first, on_second), condition, *inputs, *of_first, *of_second)
    return list(found) if isinstance(found, tuple) else [found]


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """Return what `true_fn` returns where `pred` is true, else what `false_fn` does; only that one is computed.

    In a recorded program both are recorded, and the number decides when it runs.

    Parameters
    ----------
    pred
        One boolean.
    true_fn, false_fn
        Without arguments; they return tensors of the same shapes and types, in tuples, lists or dicts.

    Raises
    ------
    ShapeError
        If what they return differs in shape or type, or `pred` has several elements.
    """
    condition = as_tensor(pred)
    if condition.size != 1:
        raise ShapeError(
            f"cond: pred is one boolean, received the shape {condition.shape}. For each number: ops.where."
        )
    structures: list[Any] = []

    def flat(function: Callable[[], Any]) -> Callable[[], Any]:
        def branch() -> Any:
            values, structure = flatten(function())
            structures.append(structure)
            return values

        return branch

    if not condition.is_symbolic and getattr(condition, "version", None) is None:
        return (true_fn if condition.numpy().reshape(()) else false_fn)()
    found = _chosen(condition, flat(true_fn), flat(false_fn), [])
    return unflatten(structures[0], found)
