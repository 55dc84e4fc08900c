"""Loops keep the carries of all steps only where somebody reads them."""

from __future__ import annotations

from typing import Any

from miniDLF.engine.program import Program, rewrite
from miniDLF.ops.loops import Scan
from miniDLF.tensor.gradients import place
from miniDLF.tensor.primitive import Operation
from miniDLF.tensor.tensor import Tensor, apply

__all__ = ["forget_unread"]


def forget_unread(program: Program) -> Program:
    """Let loops whose derivative is not taken forget with which carries their steps began.

    A prediction by an LSTM then takes two copies less in every step, and less memory. No bit changes.
    """
    read = {place(tensor) for operation in program.operations for tensor in operation.inputs}
    read |= {place(tensor) for tensor in program.outputs}

    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> Any:
        scan = operation.primitive
        if not isinstance(scan, Scan) or not scan.keeps:
            return None
        if any((id(operation), number) in read for number in range(len(scan.body.outputs), scan.outputs)):
            return None
        return apply(Scan(scan.body, scan.carries, scan.sequences, scan.length, scan.reverse, False), *inputs)

    return rewrite(program, rule)
