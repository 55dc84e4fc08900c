"""Gradients against finite differences, layer by layer and for the whole model, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from miniDLF.core.buffers import Buffers
from miniDLF.core.executor import Batch, Executor, added_loss
from miniDLF.core.keeping import kept
from miniDLF.core.own import is_own
from miniDLF.core.program import Step, total_loss
from miniDLF.core.returns import first_backward, first_forward
from miniDLF.errors import ArgumentError, DivergedError, MiniDLFError
from miniDLF.kernels.workspace import Array

__all__ = ["GradientCheck", "GradientError", "GradientReport", "check_gradients"]


#: How far weights and inputs are moved off a kink, times normal numbers.
MOVED = 1e-3


class GradientError(MiniDLFError, ArithmeticError):
    """A backward pass that does not fit its forward pass."""


@dataclass(frozen=True, repr=False)
class GradientCheck:
    """One comparison: the derivative along a random direction, by backward and by finite differences."""

    where: str
    analytic: float
    numeric: float
    ok: bool

    def __repr__(self) -> str:
        verdict = "ok   " if self.ok else "WRONG"
        return f"{verdict} {self.where:<44} backward {self.analytic: .6e}   differences {self.numeric: .6e}"


@dataclass(frozen=True, repr=False)
class GradientReport:
    """All comparisons; `ok` if every one holds."""

    checks: list[GradientCheck]

    @property
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return all(check.ok for check in self.checks)

    def __repr__(self) -> str:
        return "\n".join(map(str, self.checks))


def check_gradients(
    model: Any,
    x: Any,
    y: Any,
    *,
    training: bool = True,
    eps: float = 1e-6,
    rtol: float = 1e-3,
    atol: float = 1e-5,
    directions: int = 2,
    raise_error: bool = True,
) -> GradientReport:
    """Prove the gradients of a compiled model on the samples `x`, `y` (a few are enough).

    Every layer is checked on its own, with the inputs it gets in the model: the gradient of its input and of each of
    its parameters. Then the loss is checked with respect to every parameter. All in float64; the weights are as before
    afterwards. Random masks are functions of (seed, step), so dropout may stay on. What seems wrong is checked again
    with weights and inputs moved by a thousandth: at a kink or a tie (a value that dropout put to 0 before a rectifier)
    there is no gradient.

    Parameters
    ----------
    training
        Whether layers run in training mode.
    eps, rtol, atol
        Step of the central difference, and the tolerances of the comparison (those of PyTorch's gradcheck).
    directions
        Random directions tried for each array.

    Raises
    ------
    GradientError
        If a gradient is wrong; the message names the first guilty layer and parameter. Not with ``raise_error=False``.
    """
    if directions < 1:
        raise ArgumentError(f"check_gradients: directions is at least 1, received {directions}.")
    engine = model.engine()
    batch = model.converter().batch(x, y)
    batch = Batch([np.array(a, np.float64) for a in batch.inputs], [_double(a) for a in batch.targets], batch.weights)
    buffers = Buffers(model._entries(), np.float64)
    values, state = buffers.values.copy(), buffers.state.copy()

    def checks(moved: float) -> list[GradientCheck]:
        buffers.values += moved * rng.normal(size=values.shape)
        found = _check_layers(apart, batch, training, settings, engine.steps, moved)
        np.copyto(buffers.state, state)
        return found + _check_loss(whole, buffers, batch, training, settings, engine.steps)

    try:
        apart, whole = (
            Executor(engine.graph, buffers, heads=engine.heads, seed=model.seed, shards=1, in_place=in_place)
            for in_place in (False, True)  # the input of every layer is needed for the check of each
        )
        rng = np.random.default_rng(model.seed)
        settings = _Settings(eps, rtol, atol, directions, rng)
        found = checks(0.0)
        if not all(check.ok for check in found):  # at a kink or a tie there is no gradient, but close by there is
            found = [old if old.ok else new for old, new in zip(found, checks(MOVED), strict=True)]
    finally:
        np.copyto(buffers.values, values)
        np.copyto(buffers.state, state)
        engine.buffers.take()
    report = GradientReport(found)
    if raise_error and not report.ok:
        wrong = next(check for check in found if not check.ok)
        guilty = "the gradient that the loss gives with its value"
        if not wrong.where.startswith("loss:"):
            guilty = "the layer's backward with its forward"
        raise GradientError(
            f"{wrong.where} is wrong: backward gives {wrong.analytic:.6e} along a random direction, finite differences "
            f"{wrong.numeric:.6e}. Compare {guilty}.\n{report}"
        )
    return report


def _double(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


@dataclass(frozen=True)
class _Settings:
    eps: float
    rtol: float
    atol: float
    directions: int
    rng: np.random.Generator

    def compare(self, where: str, function: Any, array: Array, gradient: Array) -> GradientCheck:
        """Compare along the direction on which the two differ most."""
        worst = GradientCheck(where, 0.0, 0.0, True)
        original = array.copy()
        for number in range(self.directions):
            direction = self.rng.normal(size=array.shape)
            direction /= max(float(np.linalg.norm(direction)), 1e-300)
            np.copyto(array, original + self.eps * direction)
            above = function()
            np.copyto(array, original - self.eps * direction)
            below = function()
            np.copyto(array, original)
            numeric = (above - below) / (2 * self.eps)
            analytic = float(np.sum(gradient * direction))
            if not np.isfinite(numeric):
                raise DivergedError(f"check_gradients: {where}: the loss is not finite; check on ordinary data.")
            ok = abs(analytic - numeric) <= self.atol + self.rtol * abs(numeric)
            check = GradientCheck(where, analytic, numeric, ok)
            if number == 0 or (worst.ok and not ok):
                worst = check
        return worst


def _check_layers(
    executor: Executor, batch: Batch, training: bool, settings: _Settings, number: int, moved: float
) -> list[GradientCheck]:
    """Check each layer on its own: the scalar is the sum of its output times random weights.

    By so much, times normal numbers, inputs are `moved`.
    """
    executor.step(batch, number, training=training, backward=False)
    shard = executor.active()[0]
    given: list[Any] = [None if value is None else np.array(value) for value in shard.values]
    checks = []
    for position, step in enumerate(shard.program.steps):
        call = shard.calls[position]
        inputs = [given[source] + moved * settings.rng.normal(size=given[source].shape) for source in step.sources]
        call.needs_dx = True
        name = executor.graph.names[step.layer]
        dy = settings.rng.normal(size=_run(step, call, inputs).shape)

        def scalar(step: Step = step, call: Any = call, inputs: Any = inputs, dy: Any = dy) -> float:
            call.draw_again()
            return float(np.sum(_run(step, call, inputs) * dy)) + added_loss([call])

        scalar()
        sent = dy.copy()
        if step.layer.synchronises and call.training:
            call.backward_total = step.layer.backward_partial(sent, call)
        dx = first_backward(step, _nothing)(sent, call)
        dx = [np.array(part) for part in (dx if step.layer.takes_many else (dx,))]
        gradients = {p: np.array(call.grad(p)) for p in step.layer.parameters if call.wants(p)}
        if is_own(type(step.layer)):
            _refuse_kept(step, call, inputs, dy, [*dx, *gradients.values()])
        call.needs_dx = any(step.needs_dx)
        for place, (array, gradient) in enumerate(zip(inputs, dx, strict=True)):
            which = f"the gradient of input {place + 1}" if len(inputs) > 1 else "the input gradient"
            checks.append(settings.compare(f"{name!r}: {which}", scalar, array, gradient))
        for parameter, gradient in gradients.items():
            where = f"{name!r}: the gradient of {parameter.name!r}"
            checks.append(settings.compare(where, scalar, parameter.value, gradient))
    return checks


def _refuse_kept(step: Step, call: Any, inputs: list[Array], dy: Array, wanted: list[Array]) -> None:
    """Refuse a layer whose backward reads on the layer what the forward of another part of the batch may have left."""
    layer, before = step.layer, dict(vars(step.layer))
    call.draw_again()
    _run(step, call, inputs)
    other = call.beside()
    _run(step, other, [0.75 * array[::-1][: len(array) // 2 + 1] for array in inputs])
    sent = dy.copy()
    if layer.synchronises and call.training:
        call.backward_total = layer.backward_partial(sent, call)
    try:
        dx = first_backward(step, _nothing)(sent, call)
        found = [*(dx if layer.takes_many else (dx,)), *(call.grad(p) for p in layer.parameters if call.wants(p))]
        same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(wanted, found, strict=True))
    except (MiniDLFError, ValueError):  # shapes of the other part
        same = False
    names = [name for name, value in vars(layer).items() if before.get(name, before) is not value]
    if same:
        return
    if names:
        raise ArgumentError(
            f"{layer.described}: backward reads what forward keeps on the layer itself, as self.{names[0]}. "
            + kept(names[0])
        )
    raise ArgumentError(
        f"{layer.described}: backward gives another gradient after forward has seen another part of the batch. It "
        "reads what calls share: a variable outside the layer, or something that is drawn or counted. Parts of a batch "
        "run through a layer on several threads at once; put what backward needs on the call: call.name = ... in "
        "forward, call.name in backward."
    )


def _run(step: Step, call: Any, inputs: list[Array]) -> Array:
    x: Any = tuple(inputs) if step.layer.takes_many else inputs[0]
    if hasattr(call, "shared"):
        step.layer.prepare(call.shared)
    if step.layer.synchronises and call.training:
        call.total = step.layer.partial(x, call)
    y: Array = first_forward(step, _nothing)(x, call)
    return y


def _nothing() -> None:
    """What follows a check that is made every time."""


def _check_loss(
    executor: Executor, buffers: Buffers, batch: Batch, training: bool, settings: _Settings, number: int
) -> list[GradientCheck]:
    def loss() -> float:
        penalties = sum(
            slot.parameter.regularizer.value_and_grad(slot.parameter.value, np.zeros_like(slot.parameter.value))
            for slot in buffers.slots
            if slot.trained and slot.parameter.regularizer is not None
        )
        losses = executor.step(batch, number, training=training, backward=False)
        return total_loss(executor.heads, losses) + executor.added_loss() + float(penalties)

    executor.step(batch, number, training=training)
    for slot in buffers.slots:
        if slot.trained and slot.parameter.regularizer is not None and slot.parameter.grad is not None:
            slot.parameter.regularizer.value_and_grad(slot.parameter.value, slot.parameter.grad)
    gradients = buffers.views(buffers.gradients.copy())
    return [
        settings.compare(f"loss: the gradient of {slot.path!r}", loss, slot.parameter.value, gradients[slot.parameter])
        for slot in buffers.trained_slots()
    ]
