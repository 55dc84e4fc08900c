"""Random numbers: a stream for every operation and shard, which begins anew at every run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from miniDLF.engine.lowering.base import Call, Scratch, lowers
from miniDLF.kernels.elementwise import kept_of_65536
from miniDLF.kernels.streams import Stream
from miniDLF.kernels.workspace import Array
from miniDLF.ops import random

__all__: list[str] = []

PIECE = 32_768


@lowers(random.Draw)
def _draw(primitive: Any, inputs: Sequence[Array], out: Array, scratch: Scratch) -> list[Call]:
    begin, stream = _stream_of(primitive, scratch)

    def draw(target: Array) -> None:
        begin()
        primitive.draw(stream.generator, target)

    return [(draw, (out,))]


@lowers(random.Keep)
def _keep(primitive: Any, inputs: Sequence[Array], out: Array, scratch: Scratch) -> list[Call]:
    """The bits come in pieces of 64 KiB, which stay in the cache until they are compared."""
    begin, stream = _stream_of(primitive, scratch)
    kept = kept_of_65536(primitive.rate)
    stays = scratch(out.shape, np.dtype(bool))
    flat = stays.reshape(-1)
    parts = [flat[start : start + PIECE] for start in range(0, flat.size, PIECE)]

    def draw(_: Array) -> None:
        begin()
        raw = stream.generator.bit_generator.random_raw
        for part in parts:
            np.less(raw(-(-part.size // 4)).view(np.uint16)[: part.size], kept, out=part)

    return [(draw, (stays,)), (np.multiply, (stays, out.dtype.type(65536 / kept if kept else 0), out))]


def _stream_of(primitive: Any, scratch: Any) -> tuple[Any, Stream]:
    """Return what begins the stream of this run, and the stream."""
    stream, clock = Stream(*primitive.stream, scratch.shard), scratch.clock
    fixed = len(primitive.stream) == 1  # a seed was given: the same numbers every time

    def begin() -> None:
        stream.begin(0 if fixed else clock.step)

    return begin, stream
