"""Downloads, against a server on this machine: mirrors that fail in every way, and one that does not."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from miniDLF.datasets import MNIST, download
from miniDLF.datasets.download import RemoteFile, cache_folder, fetch
from miniDLF.errors import FileFormatError, MissingExtraError
from tests.datasets.conftest import small_mnist

CONTENT = {f"{name}.gz": content for name, content in small_mnist(np.random.default_rng(1)).items()}
FILES = tuple(RemoteFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items())


class Mirror(BaseHTTPRequestHandler):
    """Answers /KIND/NAME in the way that KIND says."""

    asked: list[str] = []
    fail_first: set[str] = set()

    def do_GET(self) -> None:
        _, kind, name = self.path.split("/")
        self.asked.append(kind)
        data = CONTENT[name]
        packed = gzip.compress(data)
        body = {
            "good": packed,
            "plain": data,
            "corrupt": gzip.compress(data[:-1] + b"!"),
            "cut": packed[: len(packed) // 2],
            "long": packed + bytes(1 << 18),
            "page": b"<html>not here</html>",
            "late": packed,
        }.get(kind)
        if body is None or (kind == "late" and self.asked.count("late") == 1):
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror() -> Iterator[str]:
    Mirror.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_first_mirror_that_works_is_taken(tmp_path: Path, mirror: str) -> None:
    for number, kind in enumerate(("good", "plain")):
        folder = tmp_path / str(number)
        fetch(FILES, folder, [f"{mirror}/down/", f"{mirror}/{kind}/"], pause=0.0)
        assert sorted(path.name for path in folder.iterdir()) == sorted(CONTENT)
        data = MNIST(folder, input_shape=(1, 28, 28))
        assert (len(data.train), len(data.test)) == (20, 10)
    asked = len(Mirror.asked)
    fetch(FILES, tmp_path / "0", [f"{mirror}/good/"])
    assert len(Mirror.asked) == asked  # what is there is not fetched again


@pytest.mark.parametrize("kind", ["corrupt", "cut", "long", "page", "down"])
def test_wrong_bytes_never_reach_the_folder(tmp_path: Path, mirror: str, kind: str) -> None:
    with pytest.raises(FileFormatError, match=r"could not be downloaded.*Check the network.*or pass path="):
        fetch(FILES[:1], tmp_path, [f"{mirror}/{kind}/"], rounds=2, pause=0.0)
    assert Mirror.asked == [kind, kind]
    assert not list(tmp_path.iterdir())


def test_a_mirror_gets_another_chance(tmp_path: Path, mirror: str) -> None:
    fetch(FILES[:1], tmp_path, [f"{mirror}/late/"], rounds=3, pause=0.0)
    assert Mirror.asked == ["late", "late"]
    assert (tmp_path / FILES[0].name).exists()


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="could not be downloaded"):
        fetch(FILES[:1], tmp_path, ["http://127.0.0.1:9/"], rounds=1, timeout=2.0)


def test_mnist_without_a_path_uses_the_cache_and_fills_it(
    tmp_path: Path, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIDLF_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setattr(download, "MNIST_FILES", FILES)
    monkeypatch.setattr("miniDLF.datasets.mnist.MNIST_FILES", FILES, raising=False)
    original = download.fetch
    monkeypatch.setattr(
        "miniDLF.datasets.mnist.fetch",
        lambda files, folder, *rest, **more: original(files, folder, [f"{mirror}/good/"]),
    )
    assert len(MNIST().train) == 20
    asked = len(Mirror.asked)
    assert asked == 4
    assert len(MNIST().train) == 20
    assert len(Mirror.asked) == asked


def test_without_pooch_one_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'miniDLF\[download\]'"):
        fetch(FILES, tmp_path)
