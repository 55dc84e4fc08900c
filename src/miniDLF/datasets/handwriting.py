"""Images of handwritten-looking digits: strokes, distorted, drawn with a pen, photographed with noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miniDLF.datasets.glyphs import POINTS, Glyph, glyphs

__all__ = ["SIDE", "Style", "draw_digits"]

Array = NDArray[Any]

#: Pixels along each side of an image.
SIDE = 28
#: Cells a pixel is divided into, along each side, while a pen draws.
FINE = 2
#: Images that are drawn at a time: their fine grid takes 3 MB, which fits the cache.
AT_ONCE = 256
#: Pens of different width.
PENS = 8
#: Waves that make up an elastic distortion.
WAVES = 3


@dataclass(frozen=True)
class Style:
    """How much the writing varies. Lengths are in pixels, angles in radians."""

    height: tuple[float, float] = (17.0, 20.5)
    #: Width as a share of the height.
    slimness: tuple[float, float] = (0.75, 1.02)
    rotation: float = 0.12  # standard deviation
    shear: tuple[float, float] = (-0.30, 0.15)  # to the right at the top is negative
    shift: float = 3.1  # at most, along each axis
    hand: float = 0.015  # standard deviation of each control point, in heights of a digit
    elastic: float = 0.50  # standard deviation of each wave
    pen: tuple[float, float] = (0.8, 1.3)  # half the width of a line
    contrast: tuple[float, float] = (0.75, 1.0)
    blur: tuple[float, float] = (0.35, 0.9)  # width of a line's soft edge
    noise: tuple[float, float] = (0.0, 0.08)  # standard deviation


def draw_digits(labels: Array, rng: np.random.Generator, style: Style | None = None) -> NDArray[np.uint8]:
    """Draw one image for each label.

    Parameters
    ----------
    labels : (N,)
        Digits, 0 to 9.
    rng
        Where every choice comes from: the same state gives the same images.

    Returns
    -------
    images : (N, 28, 28)
        0 is paper, 255 is ink.
    """
    style = style or Style()
    points, ink = _write(np.asarray(labels), rng, style)
    return _photograph(points, ink, rng, style)


def _write(labels: Array, rng: np.random.Generator, style: Style) -> tuple[Array, Array]:
    """Return the middles of short pieces of line, (N, pieces, 2) in pixels, and the length of each, (N, pieces)."""
    ways = glyphs()
    choice = rng.random(len(labels))
    middles = np.empty((len(labels), POINTS - 1, 2), np.float32)
    lengths = np.empty(middles.shape[:2], np.float32)
    for digit, variants in enumerate(ways):
        for number, glyph in enumerate(variants):
            which = np.flatnonzero((labels == digit) & ((choice * len(variants)).astype(int) == number))
            points = _distort(glyph, len(which), rng, style)  # (n, P, 2)
            steps = np.diff(points, axis=1)
            middles[which] = points[:, :-1] + 0.5 * steps
            lengths[which] = np.hypot(steps[..., 0], steps[..., 1]) * glyph.drawn
    return middles, lengths


def _distort(glyph: Glyph, count: int, rng: np.random.Generator, style: Style) -> Array:
    """Return the points of `count` copies of a glyph, each written a little differently: (count, P, 2) in pixels."""
    controls = glyph.controls - 0.5 + style.hand * rng.standard_normal((count, *glyph.controls.shape))
    points = np.matmul(glyph.curve.astype(np.float32), controls.astype(np.float32))  # (P, C) @ (n, C, 2) -> (n, P, 2)
    height = rng.uniform(*style.height, count)
    width = height * rng.uniform(*style.slimness, count)
    angle = style.rotation * rng.standard_normal(count)
    shear = rng.uniform(*style.shear, count)
    cosine, sine = np.cos(angle), np.sin(angle)
    affine = np.empty((count, 2, 2), np.float32)  # rows: from right, from down
    affine[:, 0, 0], affine[:, 0, 1] = width * cosine, width * sine
    affine[:, 1, 0] = height * (shear * cosine - sine)
    affine[:, 1, 1] = height * (shear * sine + cosine)
    points = points @ affine  # (n, P, 2) @ (n, 2, 2)
    points += _elastic(points, rng, style)
    shift = rng.uniform(-style.shift, style.shift, (count, 1, 2)) + 0.5 * SIDE
    return np.add(points, shift, dtype=np.float32, casting="same_kind")


def _elastic(points: Array, rng: np.random.Generator, style: Style) -> Array:
    """Return how far a smooth random field moves each point: a sum of sine waves of random direction and phase."""
    count = len(points)
    moved = np.zeros_like(points)
    for _ in range(WAVES):
        direction = rng.uniform(0, 2 * np.pi, count)
        turns = 2 * np.pi / rng.uniform(14, 30, count)  # radians a pixel
        wave = np.stack([turns * np.cos(direction), turns * np.sin(direction)], axis=1).astype(np.float32)
        phase = rng.uniform(0, 2 * np.pi, (count, 1)).astype(np.float32)
        push = (style.elastic * rng.standard_normal((count, 1, 2))).astype(np.float32)
        moved += np.sin(np.matmul(points, wave[:, :, np.newaxis])[..., 0] + phase)[..., np.newaxis] * push
    return moved


def _photograph(middles: Array, lengths: Array, rng: np.random.Generator, style: Style) -> NDArray[np.uint8]:
    """Draw the pieces of line with a pen each and return the images, (N, 28, 28).

    A line that is blurred by a Gaussian of width s has the profile exp(-r^2 / (2 s^2)) across it, so where that
    falls to exp(-1/2) is s away from its middle: a soft threshold there leaves a line of half-width s.
    """
    count = len(middles)
    pens = np.linspace(*style.pen, PENS)
    pen = rng.integers(PENS, size=count)
    edge = rng.uniform(*style.blur, count).astype(np.float32)
    contrast = rng.uniform(*style.contrast, count).astype(np.float32)
    noise = rng.uniform(*style.noise, count).astype(np.float32)
    result = np.empty((count, SIDE, SIDE), np.uint8)
    for number, width in enumerate(pens):
        lens = _lens(width)
        mine = np.flatnonzero(pen == number)
        for start in range(0, len(mine), AT_ONCE):
            rows = mine[start : start + AT_ONCE]
            profile = lens @ _drop_ink(middles[rows], lengths[rows]) @ lens.T * np.float32(width * np.sqrt(2 * np.pi))
            slope = (width * np.exp(0.5) / edge[rows])[:, np.newaxis, np.newaxis]  # 1 / the profile's slope there
            image = (profile - np.float32(np.exp(-0.5))) * slope.astype(np.float32) + np.float32(0.5)
            np.clip(image, 0, 1, out=image)
            image *= contrast[rows, np.newaxis, np.newaxis]
            grain = rng.standard_normal(image.shape, dtype=np.float32)
            image += grain * noise[rows, np.newaxis, np.newaxis]
            np.clip(image, 0, 1, out=image)
            result[rows] = np.rint(image * 255)
    return result


def _lens(width: float) -> Array:
    """Return the matrix (28, 56) that blurs a column of fine cells by a Gaussian and reads it off at the pixels."""
    pixels = (np.arange(SIDE) + 0.5)[:, np.newaxis]
    cells = (np.arange(SIDE * FINE) + 0.5) / FINE
    # the sharing of ink between neighbouring cells (see _drop_ink) has blurred by 1/6 of a cell squared already
    variance = width**2 - 1 / (6 * FINE**2)
    return (np.exp(-((pixels - cells) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)).astype(np.float32)


def _drop_ink(middles: Array, lengths: Array) -> Array:
    """Share the ink of each piece among the four cells around it (bilinear): (n, 56, 56)."""
    count, side = len(middles), SIDE * FINE
    place = np.clip(middles * FINE - 0.5, 0, side - 1.001)
    corner = place.astype(np.intp)
    right, down = np.moveaxis(place - corner, -1, 0)
    first = (np.arange(count)[:, np.newaxis] * side + corner[..., 1]) * side + corner[..., 0]
    where = np.stack([first, first + 1, first + side, first + side + 1])
    share = np.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]) * lengths
    grid = np.bincount(where.ravel(), share.ravel(), minlength=count * side * side)
    return grid.astype(np.float32).reshape(count, side, side)
