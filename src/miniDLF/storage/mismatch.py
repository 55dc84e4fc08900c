"""What fits and what does not when weights are loaded by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

__all__ = ["MismatchReport", "report_mismatch"]

Shape = tuple[int, ...]

#: Arrays of each kind that the text of a report names.
MOST_LINES = 50


@dataclass(frozen=True, repr=False)
class MismatchReport:
    """Names that match, that only one side has, and whose shapes differ."""

    matched: list[str]
    missing: dict[str, Shape]
    extra: dict[str, Shape]
    misshaped: dict[str, tuple[Shape, Shape]]

    @property
    def ok(self) -> bool:
        """Whether everything fits."""
        return not (self.missing or self.extra or self.misshaped)

    def __repr__(self) -> str:
        lines = [f"{len(self.matched)} arrays fit"]
        lines += _listed("missing in the file:  ", {name: str(shape) for name, shape in self.missing.items()})
        lines += _listed("only in the file:     ", {name: str(shape) for name, shape in self.extra.items()})
        lines += _listed(
            "another shape:        ", {name: f"expected {a}, received {b}" for name, (a, b) in self.misshaped.items()}
        )
        return "\n".join(lines)


def _listed(what: str, arrays: Mapping[str, str]) -> list[str]:
    """Return a line for each array, up to as many as are read."""
    lines = [f"  {what}{name[:200]} {shape}" for name, shape in islice(arrays.items(), MOST_LINES)]
    more = len(arrays) - MOST_LINES
    return lines if more <= 0 else [*lines, f"  {what}... and {more:,} more"]


def report_mismatch(expected: Mapping[str, Shape], found: Mapping[str, Shape]) -> MismatchReport:
    """Compare the names and shapes that are wanted with those that a file has."""
    both = [name for name in expected if name in found]
    return MismatchReport(
        [name for name in both if tuple(expected[name]) == tuple(found[name])],
        {name: tuple(shape) for name, shape in expected.items() if name not in found},
        {name: tuple(shape) for name, shape in found.items() if name not in expected},
        {
            name: (tuple(expected[name]), tuple(found[name]))
            for name in both
            if tuple(expected[name]) != tuple(found[name])
        },
    )
