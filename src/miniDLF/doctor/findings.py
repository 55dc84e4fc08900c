"""What the doctor finds, and how it says so: in one sentence where something runs, as a report where one asks."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from sys import _getframe

from miniDLF.errors import DoctorWarning

__all__ = ["CERTAIN", "LIKELY", "POSSIBLE", "Diagnosis", "Finding", "percent", "said"]

#: How sure it is that a finding keeps the model from learning: the order in which findings are told.
CERTAIN, LIKELY, POSSIBLE = 1, 2, 3
_WORDS = {CERTAIN: "certain", LIKELY: "likely", POSSIBLE: "possible"}

#: Characters of a line of a report.
WIDTH = 88


@dataclass(frozen=True)
class Finding:
    """Something that keeps a model from learning, or makes what is shown of it misleading.

    Attributes
    ----------
    name : str
        A fixed word for the kind of finding, as in the table of docs/doctor.md: ``'inputs_not_scaled'``.
    what : str
        What was seen and where, with its numbers.
    why : str
        Why it matters.
    fix : str
        What to write instead.
    severity : int
        1 where it certainly is a mistake, 2 where it likely is one, 3 where it may be one.
    follows : tuple of str
        The names of other findings of which it may be the mere consequence.
    """

    name: str
    what: str
    why: str
    fix: str
    severity: int = LIKELY
    follows: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return what was seen and what to do, in one sentence."""
        return f"{self.what}: {self.fix} ({self.name})"

    def __str__(self) -> str:
        def paragraph(start: str, text: str) -> str:
            return textwrap.fill(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))

        lines = [
            f"{self.name} ({_WORDS[self.severity]})",
            paragraph("   seen   ", _capital(self.what) + "."),
            paragraph("   why    ", _capital(self.why) + "."),
            paragraph("   fix    ", _capital(self.fix) + "."),
        ]
        if self.follows:
            lines.append(paragraph("   first  ", f"Mend {', '.join(self.follows)}: this may follow from it."))
        return "\n".join(lines)


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The findings of ``model.diagnose(x, y)``, the surest first; its text is the report, and it is false without any.

    Attributes
    ----------
    findings : list of Finding
    looked_at : str
        What was examined, in words.
    """

    findings: list[Finding]
    looked_at: str

    @property
    def names(self) -> list[str]:
        """The names of the findings, in their order."""
        return [finding.name for finding in self.findings]

    def __bool__(self) -> bool:
        return bool(self.findings)

    def __str__(self) -> str:
        count = len(self.findings)
        if not count:
            return f"No finding: {self.looked_at}."
        parts = [f"{count} finding{'s' if count > 1 else ''}: {self.looked_at}."]
        parts += [f"{number}. {finding}" for number, finding in enumerate(self.findings, 1)]
        return "\n\n".join(parts)

    __repr__ = __str__


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with the surest first and mere consequences last, else in the order in which they came."""
    return sorted(findings, key=lambda finding: (bool(finding.follows), finding.severity))


def said(findings: Sequence[Finding], where: str) -> None:
    """Warn of findings, at the line outside this package that called it."""
    for finding in findings:
        warnings.warn(f"{where}: {finding.sentence()}", DoctorWarning, stacklevel=_level())


def _level() -> int:
    """Return the level of the first frame outside this package, as `warnings.warn` counts in the caller."""
    level, frame = 1, _getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "miniDLF":
        frame = frame.f_back
        level += 1
    return level


def percent(share: float) -> str:
    """Return a share in words: ``'12 %'``."""
    return f"{100 * share:.3g} %"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
