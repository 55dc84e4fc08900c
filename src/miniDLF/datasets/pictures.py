"""Pictures in files, by Pillow: checked for their size before they are unpacked."""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miniDLF.datasets.files import HIGHEST_RATIO
from miniDLF.errors import ArgumentError, FileFormatError, import_extra

__all__ = ["picture_shape", "read_picture"]

#: Pixels of a picture that is brought to another size; a photograph has 10 to 50 million.
MOST_PIXELS = 1 << 26
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
#: How pictures are called whose grey values have more than eight bits.
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def picture_shape(shape: tuple[int, ...]) -> tuple[int, int, int, bool]:
    """Return channels, height and width of the pictures that a model takes, and whether channels come last.

    Parameters
    ----------
    shape
        Of a sample: (C, H, W), (H, W, C) where that is the only way to read it, (H, W), or (D,) for square grey ones.

    Raises
    ------
    ArgumentError
        If samples of this shape are no pictures.
    """
    if len(shape) == 3 and shape[0] in _MODES:
        return shape[0], shape[1], shape[2], False
    if len(shape) == 3 and shape[2] in _MODES:
        return shape[2], shape[0], shape[1], True
    if len(shape) == 2:
        return 1, shape[0], shape[1], False
    side = math.isqrt(shape[0]) if len(shape) == 1 else 0
    if not side or side * side != shape[0]:
        raise ArgumentError(f"a picture is no sample of a model that takes {shape}. Give a .npy or .csv file.")
    return 1, side, side, False


def read_picture(content: bytes, path: Path, shape: tuple[int, ...], resize: bool = False) -> NDArray[Any]:
    """Return a picture as one sample (1, *shape): bytes from 0 to 255, or floats in the same range where it is deeper.

    Parameters
    ----------
    content
        A PNG or JPEG file.
    shape
        Of the sample (see `picture_shape`). Colours become grey where it has one channel, and grey three equal ones.
    resize
        Whether a picture of another size is brought to the one that is wanted.

    Raises
    ------
    MissingExtraError
        If Pillow is not installed.
    FileFormatError
        If the file is no such picture, damaged, or unpacks to more than so few bytes can hold.
    ArgumentError
        If it has another size, or parts that one can see through.
    """
    image = import_extra("PIL.Image", "images", "reading a picture", package="Pillow")
    channels, height, width, last = picture_shape(shape)
    damaged = (
        *(OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, AttributeError, OverflowError),
        *(MemoryError, ArithmeticError, struct.error, zlib.error, image.DecompressionBombError),
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes, which are checked here, and damaged descriptions
            picture = image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
            _check_size(picture, path, (width, height), resize, len(content))
            picture.load()
            if picture.format != "PNG":  # a camera says which side is up; viewers follow it
                picture = import_extra("PIL.ImageOps", "images", "reading a picture").exif_transpose(picture)
            pixels = _converted(image, picture, path, (width, height), channels)
    except damaged as error:
        if isinstance(error, ArgumentError | FileFormatError):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:80]
        raise FileFormatError(f"{path}: not a readable {_kind(path)} file ({reason}).") from None
    pixels = pixels.reshape(height, width, channels)
    return (pixels if last else np.moveaxis(pixels, -1, 0)).reshape(1, *shape)


def _kind(path: Path) -> str:
    return path.suffix or ".png or .jpg"


def _check_size(picture: Any, path: Path, wanted: tuple[int, int], resize: bool, stored: int) -> None:
    """Refuse a picture of another size, or of more pixels than are ever wanted, before it is unpacked."""
    width, height = picture.size
    if picture.format != "PNG" and picture.getexif().get(0x0112, 1) in (5, 6, 7, 8):  # lying on a side
        width, height = height, width
    if (width, height) != wanted and not resize:
        raise ArgumentError(
            f"{path}: the picture is {height} x {width} pixels (height x width), the model takes "
            f"{wanted[1]} x {wanted[0]}. Bring it to this size: --resize."
        )
    if width * height > MOST_PIXELS:
        raise FileFormatError(
            f"{path}: the picture has {width:,} x {height:,} pixels; {MOST_PIXELS:,} are read at most."
        )
    bits = {"RGB": 24, "RGBA": 32, "LA": 16}.get(picture.mode, 1)  # others may have one a pixel
    if picture.format == "PNG" and width * height * bits // 8 > stored * HIGHEST_RATIO:
        raise FileFormatError(f"{path}: says it has {width:,} x {height:,} pixels, but has only {stored:,} bytes.")


def _converted(image: Any, picture: Any, path: Path, size: tuple[int, int], channels: int) -> NDArray[Any]:
    """Return the pixels (height, width[, channels]) in the size and with the channels that are wanted."""
    if channels != 4 and (picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info):
        picture = picture.convert("RGBA")
        if picture.getchannel("A").getextrema()[0] < 255:
            raise ArgumentError(
                f"{path}: one can see through parts of the picture, and what is behind them the model does not know. "
                "Save it on a background."
            )
    deep = picture.mode in _DEEP
    if deep:
        grey = np.asarray(picture).astype(np.float32)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError("its values have more than 16 bits")
        picture = image.fromarray(grey / np.float32(257))
    else:
        picture = picture.convert(_MODES[channels])
    pixels = np.asarray(picture if picture.size == size else picture.resize(size, image.Resampling.BILINEAR))
    return np.repeat(pixels[..., np.newaxis], channels, axis=-1) if deep else pixels
