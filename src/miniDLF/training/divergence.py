"""A step whose numbers are not finite: where it began, and the way back to a step before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from miniDLF.core.program import total_loss
from miniDLF.errors import DivergedError

__all__ = ["diverged"]


def diverged(engine: Any, losses: Sequence[float], parts: Any) -> DivergedError:
    """Find where the trouble began, and go back to a step before it."""
    engine.updater.join(*parts)
    where = _first_not_finite(engine)
    total = total_loss(engine.heads, losses)
    what = "a gradient is not finite" if math.isfinite(total) else f"the loss is {total}"
    good = engine.updater.restore()
    held = "weights that it began with" if good is None else f"weights after step {good}, whose loss was finite"
    engine.buffers.gradients.fill(0)
    step, engine.steps = engine.steps + 1, engine.steps if good is None else good
    return DivergedError(
        f"step {step}: {what}; it began in {where}. Training has stopped and the model holds the {held}. Lower "
        "the learning rate, clip the gradient (ClipGlobalNorm), or look at the data; then fit again."
    )


def _first_not_finite(engine: Any) -> str:
    shards = engine.executor.active()
    program = shards[0].program
    for number in range(len(engine.graph.inputs)):
        if not all(np.isfinite(shard.values[number]).all() for shard in shards):
            return "the input of this batch, which holds NaN or infinity"
    for step in program.steps:
        if not all(np.isfinite(shard.values[step.target]).all() for shard in shards):
            return f"the output of layer {engine.graph.names[step.layer]!r}"
    for slot in reversed(engine.buffers.trained_slots()):
        if not np.isfinite(engine.buffers.gradients[slot.slice]).all():
            return f"the gradient of {slot.path!r}"
    return "the loss itself"
