"""Pictures: right in size, channels and values, or one clear error before anything large is unpacked."""

from __future__ import annotations

import io
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from miniDLF.datasets.pictures import picture_shape, read_picture
from miniDLF.errors import ArgumentError, FileFormatError, MissingExtraError

PATH = Path("x.png")
GREY = np.random.default_rng(0).integers(0, 256, (4, 6), np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (4, 6, 3), np.uint8)


def packed(picture: Any, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(file, kind, **options)
    return file.getvalue()


def read(content: bytes, *shape: int, resize: bool = False) -> np.ndarray:
    return read_picture(content, PATH, shape, resize)


def test_the_channels_stand_where_the_model_has_them() -> None:
    np.testing.assert_array_equal(read(packed(GREY), 1, 4, 6)[0, 0], GREY)
    np.testing.assert_array_equal(read(packed(GREY), 4, 6)[0], GREY)
    np.testing.assert_array_equal(read(packed(GREY), 3, 4, 6)[0], np.stack([GREY] * 3))
    np.testing.assert_array_equal(read(packed(GREY[:, :4]), 16)[0], GREY[:, :4].ravel())
    np.testing.assert_array_equal(read(packed(COLOURS), 3, 4, 6)[0], COLOURS.transpose(2, 0, 1))
    np.testing.assert_array_equal(read(packed(COLOURS[:2]), 2, 6, 3)[0], COLOURS[:2])
    grey = read(packed(COLOURS), 1, 4, 6)[0, 0]
    np.testing.assert_allclose(grey, COLOURS @ [0.299, 0.587, 0.114], atol=1)


def test_other_kinds_of_pixels() -> None:
    np.testing.assert_array_equal(read(packed(Image.fromarray(GREY).convert("P")), 1, 4, 6)[0, 0], GREY)
    np.testing.assert_array_equal(read(packed(GREY > 100), 1, 4, 6)[0, 0], 255 * (GREY > 100))
    deep = GREY.astype(np.uint16) * 257
    for shape in ((1, 4, 6), (3, 4, 6)):
        np.testing.assert_allclose(read(packed(deep), *shape)[0], np.stack([GREY] * shape[0]))
    np.testing.assert_allclose(read(packed(np.full((64, 64), 100, np.uint8), "JPEG"), 1, 64, 64), 100, atol=1)
    opaque = np.dstack([COLOURS, np.full((4, 6), 255, np.uint8)])
    np.testing.assert_array_equal(read(packed(opaque), 3, 4, 6)[0], COLOURS.transpose(2, 0, 1))
    opaque[1, 2, 3] = 0
    np.testing.assert_array_equal(read(packed(opaque), 4, 4, 6)[0], opaque.transpose(2, 0, 1))
    with pytest.raises(
        ArgumentError, match="x.png: one can see through parts of the picture.* Save it on a background"
    ):
        read(packed(opaque), 3, 4, 6)
    with pytest.raises(ArgumentError, match="one can see through"):
        read(packed(GREY, transparency=int(GREY[0, 0])), 1, 4, 6)


def test_a_camera_that_was_turned() -> None:
    upright = np.zeros((16, 32), np.uint8)
    upright[:, 16:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise brings it up
    turned = read(packed(upright, "JPEG", exif=exif, quality=95), 1, 32, 16)[0, 0]
    np.testing.assert_allclose(turned, np.rot90(upright, -1), atol=30)


def test_another_size_only_where_it_is_asked_for() -> None:
    with pytest.raises(
        ArgumentError, match="x.png: the picture is 4 x 6 pixels .height x width.*takes 8 x 12. .*resize"
    ):
        read(packed(GREY), 1, 8, 12)
    flat = np.full((40, 30), 77, np.uint8)
    for content in (packed(flat), packed(flat.astype(np.uint16) * 257)):
        np.testing.assert_allclose(read(content, 1, 8, 12, resize=True), 77)
    ramp = np.repeat(np.arange(0, 256, 2, dtype=np.uint8)[None], 64, 0)
    small = read(packed(ramp), 1, 8, 16, resize=True)[0, 0].astype(float)
    np.testing.assert_allclose(small[:, 1:-1], np.broadcast_to(16 * np.arange(16) + 7, (8, 16))[:, 1:-1], atol=1.5)


def test_shapes_that_are_no_pictures() -> None:
    assert picture_shape((4, 7, 9)) == (4, 7, 9, False)
    for shape in ((2, 28, 28), (10,), (3, 4, 5, 6), ()):
        with pytest.raises(ArgumentError, match="a picture is no sample of a model that takes"):
            picture_shape(shape)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def drawn(width: int, height: int, rows: bytes, depth: int = 8, colours: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


BAD: dict[str, tuple[bytes, str]] = {
    "no picture": (b"hello", "not a readable .png file"),
    "nothing": (b"", "not a readable .png file"),
    "a cut one": (packed(COLOURS)[:60], "not a readable .png file"),
    "no rows": (drawn(6, 4, b""), "not a readable .png file"),
    "another format": (packed(GREY, "BMP"), "not a readable .png file"),
    "a program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 4\n", "not a readable .png file"),
    "a bomb": (drawn(20_000, 5_000, bytes(5_001 * 2_000)), r"the picture has 20,000 x 5,000 pixels; 67,108,864 are"),
    "a bomb that says so": (
        drawn(30_000, 30_000, bytes(100)),
        "not a readable .png file .Image size .900000000 pixels",
    ),
    "more than it can hold": (drawn(8_000, 8_000, bytes(100), 8, 2), "says it has 8,000 x 8,000 pixels, but has only"),
    "a huge text": (
        drawn(6, 4, bytes(28))[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 23))),
        "not a read",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("resize", [True, False])
def test_damaged_and_hostile_pictures(case: str, resize: bool) -> None:
    content, message = BAD[case]
    tracemalloc.start()
    try:
        with pytest.raises((FileFormatError, ArgumentError), match=f"x.png: .*({message}|takes 4 x 6)") as caught:
            read(content, 1, 4, 6, resize=resize)
        assert tracemalloc.get_traced_memory()[1] < 3e6
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 300


def test_any_damage_gives_a_picture_or_one_kind_of_error() -> None:
    rng = np.random.default_rng(0)
    for whole in (packed(COLOURS), packed(COLOURS, "JPEG"), packed(GREY.astype(np.uint16) * 257)):
        for _ in range(60):
            content = bytearray(whole)
            for _ in range(int(rng.integers(1, 4))):
                content[rng.integers(0, len(whole))] ^= int(rng.integers(1, 256))
            try:
                assert read(bytes(content), 3, 4, 6, resize=True).shape == (1, 3, 4, 6)
            except (FileFormatError, ArgumentError) as error:
                assert str(error).startswith("x.png: ")


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    content = packed(GREY)
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingExtraError, match=r"reading a picture needs the package 'Pillow'.*'miniDLF\[images\]'"):
        read(content, 1, 4, 6)
