"""One pass through a model on a few rows. This alone knows how the engine runs a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.core.executor import Batch, Executor
from miniDLF.doctor.case import Pass
from miniDLF.errors import MiniDLFError
from miniDLF.kernels.threads import quiet_arithmetic, single_threaded_blas
from miniDLF.kernels.workspace import Array

__all__ = ["TROUBLE", "examined", "sampled_weights", "trained"]

#: What a layer, loss or metric of one's own may raise on rows that it did not expect: then nothing is said of them.
TROUBLE = (MiniDLFError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
#: Numbers of each parameter by which its change is measured.
SAMPLED = 1024


@single_threaded_blas
@quiet_arithmetic
def examined(engine: Any, batch: Batch, seed: int = 0) -> Pass:
    """Go through the model of an engine once, forward and back in training mode, on a few rows.

    Nothing that training reads changes: the executor is one of its own, and the gradients, which lie where those of the
    next step will, are read before that.
    """
    buffers = engine.buffers
    executor = Executor(engine.graph, buffers, heads=engine.heads, seed=seed, shards=1, in_place=False)
    losses = executor.step(batch, engine.steps)
    (shard,) = executor.active()
    values = {step.node: shard.values[step.target] for step in shard.program.steps}
    values.update(zip(engine.graph.outputs, shard.predictions, strict=True))
    penalty = sum(
        float(slot.parameter.regularizer.value_and_grad(slot.parameter.value, np.zeros_like(slot.parameter.value)))
        for slot in buffers.slots
        if slot.trained and slot.parameter.regularizer is not None
    )
    return Pass(sum(losses), penalty, buffers.named(buffers.gradients), values, len(batch))


def trained(engine: Any) -> dict[str, Array]:
    """Return the trained parameters by path: the arrays themselves."""
    return {slot.path: slot.parameter.value for slot in engine.buffers.trained_slots()}


def sampled_weights(engine: Any) -> Array:
    """Return a copy of some numbers of every trained parameter, end to end."""
    parts = []
    for value in trained(engine).values():
        flat = value.reshape(-1)
        parts.append(flat[:: max(1, flat.size // SAMPLED)].astype(np.float64))
    return np.concatenate(parts) if parts else np.zeros(0)
