"""Lines for terminals and log files whose encoding may lack characters: a name must not end a training."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["encodable", "write_line"]


def encodable(text: str, stream: Any) -> str:
    """Return `text` with what the encoding of `stream` lacks written as ``\\\\xe9``."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding, getattr(stream, "errors", None) or "strict")
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:  # an encoding, or a way to treat errors, that is not Python's
        pass
    return text


def write_line(line: str, stream: Any = None) -> None:
    """Write a line to `stream`, by default standard output, where there is one."""
    stream = sys.stdout if stream is None else stream
    if stream is not None:  # as under pythonw
        stream.write(encodable(line, stream) + "\n")
