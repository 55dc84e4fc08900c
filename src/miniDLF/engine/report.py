"""What a program became, as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miniDLF.engine.executors.threads import Executable

__all__ = ["PlanReport", "report_of"]


@dataclass
class PlanReport:
    """What a recorded program became.

    Attributes
    ----------
    operations : dict of str to int
        How many operations there were when it was recorded, and after the passes.
    shards : int
        Into how many the batch is cut.
    calls : int
        Calls of NumPy of one shard.
    common_calls : int
        Calls that are made once for all shards.
    meetings : int
        How often shards wait for each other before the end.
    nbytes, asked : int
        Memory of the values within, and what it would be without sharing.
    reasons : list of str
        What runs the slow way, and why.
    kinds : dict of str to int
        How many operations of each kind a shard has.
    """

    operations: dict[str, int]
    shards: int
    calls: int
    common_calls: int
    meetings: int
    nbytes: int
    asked: int
    reasons: list[str] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        rows = [
            ("operations as recorded", self.operations["recorded"]),
            ("operations after the passes", self.operations["improved"]),
            ("shards", self.shards),
            ("calls of a shard", self.calls),
            ("calls for all shards", self.common_calls),
            ("meetings of the shards", self.meetings),
            ("memory of values", f"{self.nbytes / 1e6:.2f} MB (without sharing {self.asked / 1e6:.2f} MB)"),
        ]
        lines = [f"{name:<30}{value}" for name, value in rows]
        lines += [f"  {count:>4} x {name}" for name, count in sorted(self.kinds.items(), key=lambda one: -one[1])]
        lines += [f"in one piece: {reason}" for reason in self.reasons]
        return "\n".join(lines)

    __repr__ = __str__


def report_of(executable: Executable) -> PlanReport:
    """Return the report of a planned program."""
    plans = executable.shards
    first = plans[0] if plans else executable.common
    return PlanReport(
        {"recorded": executable.recorded_operations, "improved": len(executable.program.operations)},
        max(len(plans), 1),
        sum(map(len, first.calls)),
        sum(map(len, executable.common.calls)) if plans else 0,
        len(set(executable.meeting_levels)),
        executable.nbytes,
        executable.common.arena.asked + sum(plan.arena.asked for plan in plans),
        [executable.parts.reason] if executable.parts.reason else [],
        dict(Counter(operation.primitive.name for operation in first.operations)),
    )
