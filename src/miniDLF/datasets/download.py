"""Fetching the MNIST files once, into a folder of the user's, from the first mirror that gives the right bytes."""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from miniDLF.errors import FileFormatError, import_extra

__all__ = ["MIRRORS", "MNIST_FILES", "RemoteFile", "cache_folder", "fetch"]

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
#: Bytes that may come on top of a file's content: headers of the compressed form.
SLACK = 1 << 16

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteFile:
    """A file as the mirrors have it; its content is pinned, how it is compressed is not."""

    name: str
    size: int  # bytes of the content
    sha256: str  # of the content


MNIST_FILES = (
    RemoteFile(
        "train-images-idx3-ubyte.gz", 47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    RemoteFile("train-labels-idx1-ubyte.gz", 60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    RemoteFile(
        "t10k-images-idx3-ubyte.gz", 7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    RemoteFile("t10k-labels-idx1-ubyte.gz", 10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
)


def cache_folder() -> Path:
    """Return the folder of this user in which downloaded data sets are kept; it need not exist.

    ``MINIDLF_CACHE`` if it is set; else ``miniDLF`` in ``XDG_CACHE_HOME``, in ``LOCALAPPDATA`` (Windows), in
    ``~/Library/Caches`` (macOS) or in ``~/.cache``.
    """
    own = os.environ.get("MINIDLF_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    if shared and Path(shared).is_absolute():  # the XDG specification ignores relative paths
        return Path(shared) / "miniDLF"
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "miniDLF"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "miniDLF"
    return Path.home() / ".cache" / "miniDLF"


def fetch(
    files: Sequence[RemoteFile],
    folder: Path,
    mirrors: Sequence[str] = MIRRORS,
    *,
    rounds: int = 3,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> None:
    """Bring `files` into `folder`; those that are there already are left alone.

    Every mirror is asked in turn, `rounds` times, with a pause between rounds that doubles. What comes is written to
    a temporary file, at most as many bytes as the content has, its SHA-256 is compared, and only then it is renamed:
    a file in the folder is a whole one.

    Raises
    ------
    MissingExtraError
        If the package 'pooch' is not installed.
    FileFormatError
        If no mirror gives the right bytes, or the folder cannot be written to.
    """
    missing = [file for file in files if not (folder / file.name).exists()]
    if not missing:
        return
    pooch = import_extra(
        "pooch", "download", f"No copy of the data is in {folder} (pass path=... if you have one), and fetching it"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in missing:
            _fetch_one(pooch, file, folder, mirrors, rounds, pause, timeout)
    except FileFormatError:
        raise
    except OSError as error:
        raise FileFormatError(
            f"{folder}: cannot keep downloaded data there ({error.strerror or error}). Set MINIDLF_CACHE to a folder "
            "that you can write to."
        ) from None


def _fetch_one(
    pooch: Any, file: RemoteFile, folder: Path, mirrors: Sequence[str], rounds: int, pause: float, timeout: float
) -> None:
    reasons: dict[str, str] = {}
    for attempt in range(rounds):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        for mirror in mirrors:
            handle, name = tempfile.mkstemp(prefix=f".{file.name}-", dir=folder)
            part = Path(name)
            try:
                with os.fdopen(handle, "wb") as stream:
                    _load(pooch, mirror.rstrip("/") + "/" + file.name, stream, file.size + SLACK, timeout)
                problem = _problem(part, file)
                if problem is None:
                    os.replace(part, folder / file.name)
                    return
            except _Unavailable as error:
                problem = str(error)
            finally:
                part.unlink(missing_ok=True)
            reasons[mirror] = problem
            logger.warning("%s from %s: %s", file.name, mirror, problem)
    listed = "; ".join(f"{mirror}: {reason}" for mirror, reason in reasons.items())
    raise FileFormatError(
        f"{file.name} could not be downloaded ({listed}). Check the network and try again, copy the four MNIST "
        f"files to {folder}, or pass path=... with mnist.pkl.gz or a folder that holds them."
    )


class _Unavailable(Exception):
    """A mirror that did not answer, or not with the file."""


class _Limited:
    """A file that is being written and refuses to grow beyond a limit."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._left = stream, limit

    def write(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise _Unavailable("sent more bytes than the file has")
        return self._stream.write(data)

    def flush(self) -> None:
        """Hand on what is buffered; pooch calls it after every piece."""
        self._stream.flush()


def _load(pooch: Any, address: str, stream: IO[bytes], limit: int, timeout: float) -> None:
    import requests  # type: ignore[import-untyped,unused-ignore]  # what pooch downloads with

    loader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=timeout)
    try:
        loader(address, _Limited(stream, limit), None)
    except requests.exceptions.RequestException as error:
        response = getattr(error, "response", None)
        answer = type(error).__name__ if response is None else f"answered {response.status_code}"
        raise _Unavailable(answer) from None


def _problem(part: Path, file: RemoteFile) -> str | None:
    """Say what is wrong with a downloaded file, whether it is compressed or not; ``None`` if nothing is."""
    digest, size = hashlib.sha256(), 0
    with part.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = cast(IO[bytes], gzip.GzipFile(fileobj=raw) if packed else raw)
        try:
            while piece := stream.read(1 << 20):
                digest.update(piece)
                size += len(piece)
                if size > file.size:
                    return f"the content is longer than the {file.size:,} bytes it should have"
        except (EOFError, OSError, zlib.error):
            return "the compressed data are cut short or damaged"
    if digest.hexdigest() != file.sha256:
        return f"the content's SHA-256 is {digest.hexdigest()[:12]}..., expected {file.sha256[:12]}..."
    return None
