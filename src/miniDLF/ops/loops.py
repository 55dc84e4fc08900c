"""A loop over time as one operation."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ShapeError
from miniDLF.ops.bodies import Body, Several, recorded, sum_of
from miniDLF.tensor.nested import flatten, unflatten
from miniDLF.tensor.tensor import Tensor, apply, as_tensor, placeholder
from miniDLF.tensor.types import common_type

__all__ = ["scan"]


class Scan(Several):
    """``carry, y_t = body(carry, x_t, outside)`` for every t; its derivative is the same, backwards.

    Inputs: `carries` first carries, `sequences` tensors (T, ...), and what else the body uses. Outputs: the last
    carries, the y (T, ...), and where `keeps` says so all carries (T, ...) with which steps began.
    """

    body: Body
    carries: int
    sequences: int
    length: int
    reverse: bool
    keeps: bool

    @property
    def pure(self):
        return self.body.is_pure

    @property
    def outputs(self):
        return len(self.body.outputs) + (self.carries if self.keeps else 0)

    def _shaped(self, kind):
        """Return the shapes or types of the outputs, from those within the body."""
        inner = [kind(one) for one in self.body.outputs]
        began = [kind(one) for one in self.body.inputs[: self.carries]] if self.keeps else []
        return inner[: self.carries], inner[self.carries :] + began

    def shape(self, *shapes):
        last, stacked = self._shaped(lambda one: one.shape)
        return self.alone([*last, *((self.length, *shape) for shape in stacked)])

    def dtype(self, *types):
        last, stacked = self._shaped(lambda one: one.dtype)
        return self.alone([*last, *stacked])

    def steps(self):
        """Return the numbers of the steps in the order in which they are taken."""
        return range(self.length - 1, -1, -1) if self.reverse else range(self.length)

    def evaluate(self, *arrays, out=None):
        carry, rest = list(arrays[: self.carries]), arrays[self.carries :]
        sequences, outside = rest[: self.sequences], rest[self.sequences :]
        last, stacked = self._shaped(lambda one: (one.shape, one.dtype))
        if out is None:
            shapes = [*last, *(((self.length, *shape), kind) for shape, kind in stacked)]
            out = tuple(np.empty(shape, kind) for shape, kind in shapes)
        elif self.outputs == 1:
            out = (out,)
        for t in self.steps():
            found = self.body.evaluate([*carry, *(x[t] for x in sequences), *outside])
            began = carry if self.keeps else []
            for target, value in zip(out[self.carries :], [*found[self.carries :], *began], strict=True):
                target[t] = value
            carry = found[: self.carries]
        for target, value in zip(out, carry, strict=False):
            np.copyto(target, value)
        return self.alone(out)

    def derivative(self, dy, y, *inputs):
        dy, y = (dy, y) if self.outputs > 1 else ((dy,), (y,))
        body, carries, count = self.body, self.carries, len(self.body.outputs)
        if not self.keeps:
            y = apply(Scan(body, carries, self.sequences, self.length, self.reverse, True), *inputs)
        began, d_began = y[count:], dy[count:] or (None,) * carries
        uses = body.uses()
        kinds = [one.dtype.kind == "f" for one in body.inputs]
        outside = range(carries + self.sequences, len(inputs))
        of_carries = [n for n in range(carries) if kinds[n]]
        of_steps = [n for n in range(carries, carries + self.sequences) if kinds[n] and uses[n]]
        of_outside = [n for n in outside if kinds[n] and uses[n]]
        given = [n for n in range(carries, count) if dy[n] is not None]
        began_given = [n for n in of_carries if d_began[n] is not None]

        def step(d_carry, totals, steps, all_outside):
            x, rest = steps[: self.sequences], steps[self.sequences :]
            h, rest = rest[:carries], rest[carries:]
            weights = dict(zip(of_carries, d_carry, strict=True)) | dict(zip(given, rest, strict=False))
            found = body.gradients(
                [*h, *x, *all_outside], [weights.get(n) for n in range(count)], of_carries + of_steps + of_outside
            )
            by_number = dict(zip(of_carries + of_steps + of_outside, found, strict=True))
            later = dict(zip(began_given, rest[len(given) :], strict=True))
            new = [sum_of(by_number[n], later.get(n), h[n]) for n in of_carries]
            added = [sum_of(total, by_number[n], total) for total, n in zip(totals, of_outside, strict=True)]
            return [*new, *added], [sum_of(by_number[n], None, x[n - carries]) for n in of_steps]

        first = [np.zeros_like(inputs[n]) if dy[n] is None else dy[n] for n in of_carries]
        totals = [Tensor(np.zeros(inputs[n].shape, inputs[n].dtype)) for n in of_outside]
        sequences = [*inputs[carries : carries + self.sequences], *began]
        sequences += [*(dy[n] for n in given), *(d_began[n] for n in began_given)]
        ends, dx = _looped(
            lambda carry, steps, others: step(carry[: len(first)], carry[len(first) :], steps, others),
            [*first, *totals],
            sequences,
            [inputs[n] for n in outside],
            self.length,
            not self.reverse,
            keeps=False,
        )
        found = dict(zip(of_carries + of_outside + of_steps, [*ends, *dx], strict=True))
        return tuple(found.get(n) for n in range(len(inputs)))

    def flops(self, *shapes):
        return self.length * self.body.flops


def _looped(
    function: Callable[..., tuple[Sequence[Any], Sequence[Any]]],
    carries: Sequence[Tensor],
    sequences: Sequence[Tensor],
    outside: Sequence[Tensor],
    length: int,
    reverse: bool,
    keeps: bool = True,
) -> tuple[list[Tensor], list[Tensor]]:
    """Record ``function(carries, steps, outside)``, which returns new carries and results, and apply the loop."""
    places = [len(carries), len(carries) + len(sequences)]

    def flat(*tensors: Tensor) -> Sequence[Any]:
        new, results = function(tensors[: places[0]], tensors[places[0] : places[1]], tensors[places[1] :])
        checked = [_like(number, one, old) for number, (one, old) in enumerate(zip(new, carries, strict=True))]
        return [*checked, *results]

    steps = [placeholder(one.shape[1:], one.dtype) for one in sequences]
    body, more = recorded("scan", flat, [*carries, *steps, *outside], hoists=True)
    used = [True] * len(carries) + body.uses()[len(carries) :]
    body = Body(list(compress(body.inputs, used)), body.outputs)
    inputs = list(compress([*carries, *sequences, *outside, *more], used))
    scan = Scan(body, len(carries), builtins.sum(used[places[0] : places[1]]), length, reverse, keeps)
    found = apply(scan, *inputs)
    all_outputs = list(found) if isinstance(found, tuple) else [found]
    return all_outputs[: len(carries)], all_outputs[len(carries) : len(body.outputs)]


def _like(number: int, value: Any, carry: Tensor) -> Tensor:
    tensor = as_tensor(value, carry.dtype)
    if tensor.shape != carry.shape:
        raise ShapeError(
            f"scan: the carry keeps its shape from step to step, but number {number} begins as {carry.shape} and is "
            f"returned as {tensor.shape}. Let it begin in the shape that it will have."
        )
    return tensor if tensor.dtype == carry.dtype else tensor.astype(carry.dtype)


def scan(
    f: Callable[..., Any], init: Any, xs: Any = None, length: int | None = None, reverse: bool = False, unroll: Any = 1
) -> tuple[Any, Any]:
    """Carry a value through a loop: ``carry, y = f(carry, x)`` for each `x` along the first axis of `xs`.

    The loop is one operation: `f` is called once, with tensors that stand for those of any step, and recorded; its
    flow cannot depend on numbers. What it draws at random is the same in every step; pass other numbers in `xs`.
    Gradients go back through the loop, those of variables that `f` uses as well.

    Parameters
    ----------
    f
        Takes the carry and a part of `xs`, and returns the new carry, of the same shapes and types, and a result.
    init
        The first carry: a tensor, or tuples, lists and dicts of them.
    xs
        A tensor (T, ...), or several alike in tuples, lists and dicts; ``None`` for a loop that counts `length` steps.
    length
        T, where `xs` does not tell.
    reverse
        Begin at the end; results stand in the order of `xs`.
    unroll
        Without meaning here; it is taken for Keras' sake.

    Returns
    -------
    The last carry, and the results of all steps along a new first axis.

    Raises
    ------
    ShapeError
        If the lengths differ, or the carry changes its shape.
    """
    flat_init, init_structure = flatten(init)
    flat_xs, xs_structure = flatten(xs)
    kinds = [one.dtype for one in (*flat_init, *flat_xs) if isinstance(one, Tensor) and one.dtype.kind == "f"]
    carries, sequences = ([_beside(kinds, one) for one in flat] for flat in (flat_init, flat_xs))
    lengths = {one.shape[0] if one.ndim else None for one in sequences} | ({length} if length is not None else set())
    if len(lengths) != 1 or None in lengths:
        raise ShapeError(f"scan: xs have one length along their first axis, which is length; received {lengths}.")
    structures: list[Any] = []

    def step(carry: Sequence[Tensor], steps: Sequence[Tensor], outside: Sequence[Tensor]) -> Any:
        returned = f(unflatten(init_structure, carry), unflatten(xs_structure, steps))
        if not isinstance(returned, (tuple, list)) or len(returned) != 2:
            raise ArgumentError("scan: the function returns the new carry and a result: return carry, y.")
        new, _ = flatten(returned[0])
        if len(new) != len(carry):
            raise ArgumentError(f"scan: the carry has {len(carry)} tensors, and the function returned {len(new)}.")
        results, of_results = flatten(returned[1])
        structures[:] = [of_results]
        return new, results

    last, results = _looped(step, carries, sequences, [], next(iter(lengths)), bool(reverse))
    return unflatten(init_structure, last), unflatten(structures[0], results)


def _beside(kinds: list[Any], value: Any) -> Tensor:
    """Return `value` as a tensor; fractions that are none yet follow the tensors of these types."""
    tensor = as_tensor(value)
    follows = kinds and not isinstance(value, Tensor) and tensor.dtype.kind == "f"
    return tensor.astype(common_type(kinds)) if follows and tensor.dtype != common_type(kinds) else tensor
