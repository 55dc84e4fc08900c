"""Where in a file a section or a key of it stands, so that a mistake is named with its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from miniDLF.errors import ArgumentError, nearest

__all__ = ["Lines"]


class Lines:
    """Finds the line of a section or of a key in it, which the TOML parser does not tell.

    Without `text` the file is one that train wrote, in which nobody looks for lines.
    """

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        self._known = text is not None
        self._sections: dict[tuple[str, int], int] = {}
        self._keys: dict[tuple[str, int, str], int] = {}
        section, counts = "", {"": 1}
        for number, line in enumerate((text or "").splitlines(), 1):
            if header := re.match(r"\s*\[\[?\s*([\w.\-]+)\s*\]\]?", line):
                section = header[1]
                counts[section] = counts.get(section, 0) + 1
                self._sections[section, counts[section] - 1] = number
            elif pair := re.match(r"\s*([\w\-]+)\s*=", line):
                self._keys[section, counts[section] - 1, pair[1]] = number

    def error(
        self, section: str | None, key: str | None, problem: str, choices: Any = (), given: Any = None, number: int = 0
    ) -> ArgumentError:
        """Return the error that names file, line and problem."""
        line = self._keys.get((section or "", number, key or ""), self._sections.get((section or "", number), 1))
        stop = "" if problem.endswith("?") else "."
        where = f"{self.path}, line {line}" if self._known else f"{self.path} is damaged"
        return ArgumentError(f"{where}: {problem}{stop}{nearest(given or key or section or '', choices)}")

    def advice(self, line: str) -> str:
        """Return that a line is to be written, where it is a human who writes the file."""
        return f": write {line}" if self._known else ""

    def table(self) -> dict[str, int]:
        """Return the lines of keys and of the entries of lists, for messages of a later time."""
        result = {f"{section}.{key}": line for (section, number, key), line in self._keys.items() if number == 0}
        result.update({f"{section}.{number}": line for (section, number), line in self._sections.items()})
        return result
