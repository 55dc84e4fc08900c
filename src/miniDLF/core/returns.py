"""What layers of one's own take and return, checked the first time: so a mistake is named where it was made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from miniDLF.core.keeping import refuse_written
from miniDLF.core.own import check_call, is_own
from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.kernels.workspace import Shape

if TYPE_CHECKING:
    from miniDLF.core.program import Step

__all__ = ["first_backward", "first_forward"]

Method = Callable[[Any, Any], Any]
#: What lies in gradients before the first backward: so large that whatever is added to it leaves no trace.
UNFILLED = 1e30


def first_forward(step: Step, checked: Callable[[], None]) -> Method:
    """Return the forward of a step, or one that checks what it returns and calls `checked` if that is right."""
    method: Method = step.layer.forward
    if _is_ours(method):
        return method
    check_call(step.layer.described, "forward", method, ("x", "call"))

    def forward(x: Any, call: Any) -> Any:
        given = x if step.layer.takes_many else (x,)
        inputs = [] if call.overwrites else [np.array(part) for part in given]
        before = step.watch.before(step.layer) if call.keeps else {}
        y = method(x, call)
        made = given if not isinstance(y, np.ndarray) else (*given, y)
        changed = call.keeps and step.watch.after(step.layer, before, "forward", made)
        if inputs:
            refuse_written(step.layer.described, x, inputs)
        rows = len(x[0] if step.layer.takes_many else x)
        _check(step, "forward", y, (rows, *step.node.shape), call.dtype, "what build() promised")
        if not changed:
            checked()
        return y

    return forward


def first_backward(step: Step, checked: Callable[[], None]) -> Method:
    """Return the backward of a step, or one that checks what it returns and calls `checked` if that is right."""
    method: Method = step.layer.backward
    if _is_ours(method):
        return method
    check_call(step.layer.described, "backward", method, ("dy", "call"))
    shapes, many = [source.shape for source in step.node.inputs], step.layer.takes_many

    def backward(dy: Any, call: Any) -> Any:
        before, rows = step.watch.before(step.layer), len(dy)
        gradients = {} if call.joint is not None else {p: call.grad(p) for p in step.layer.parameters if call.wants(p)}
        for gradient in gradients.values():
            gradient.fill(UNFILLED)
        result = method(dy, call)
        for parameter, gradient in gradients.items():
            if (gradient == gradient.dtype.type(UNFILLED)).any():
                raise ArgumentError(
                    f"{step.layer.described}: backward did not fill all of the gradient of {parameter.name!r}, where "
                    "something else lay before. Assign it, do not add: call.grad(parameter)[...] = ..."
                )
        given = result if many and isinstance(result, tuple | list) else (result,)
        made = tuple(part for part in (dy, *given) if isinstance(part, np.ndarray))
        changed = step.watch.after(step.layer, before, "backward", made)
        if many and any(step.needs_dx) and (not isinstance(result, tuple | list) or len(result) != len(shapes)):
            raise ArgumentTypeError(
                f"{step.layer.described}: backward returned {_shown(result)}; expected a tuple of {len(shapes)} "
                "arrays, the gradient of each input."
            )
        for dx, shape, needed in zip(result if many else (result,), shapes, step.needs_dx, strict=False):
            if needed:
                _check(step, "backward", dx, (rows, *shape), call.dtype, "the gradient of its input")
        if not changed:
            checked()
        return result

    return backward


def _check(step: Step, method: str, result: Any, shape: Shape, dtype: np.dtype[Any], what: str) -> None:
    layer = step.layer.described
    if not isinstance(result, np.ndarray):
        raise ArgumentTypeError(
            f"{layer}: {method} returned {_shown(result)}; return an array of shape {shape}, {what}."
        )
    if result.shape != shape:
        raise ShapeError(f"{layer}: {method} returned an array of shape {result.shape}; expected {shape}, {what}.")
    if result.dtype != dtype:
        raise ArgumentTypeError(
            f"{layer}: {method} returned an array of {result.dtype}, the model computes in {dtype}. Write the result "
            f"to call.empty(name, shape), or convert it: .astype({'x' if method == 'forward' else 'dy'}.dtype)."
        )


def _is_ours(method: Method) -> bool:
    return not is_own(method)


def _shown(result: Any) -> str:
    return "None, as it does without a return" if result is None else type(result).__name__
