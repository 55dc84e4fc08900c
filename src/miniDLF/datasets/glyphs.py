"""The ten digits as pen strokes: several ways to write each, as curves through a few control points.

Coordinates are (right, down) in a box of width and height 1 around the digit. A curve is a linear function of its
control points, so one product of matrices bends the curves of many images at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["POINTS", "Glyph", "glyphs"]

Array = NDArray[Any]
Stroke = Sequence[tuple[float, float]]

#: Points along every glyph: at most 0.6 pixels apart on an image of 28 x 28.
POINTS = 128
DENSE = 40  # points a segment while arc lengths are measured


@dataclass(frozen=True)
class Glyph:
    """One way to write a digit.

    Attributes
    ----------
    digit : int
        What it means.
    controls : (C, 2)
        The control points of all its strokes.
    curve : (POINTS, C)
        ``curve @ controls`` gives points that lie evenly along the strokes.
    drawn : (POINTS - 1,)
        1 where the pen touches the paper between two points, 0 where it jumps to the next stroke.
    """

    digit: int
    controls: Array
    curve: Array
    drawn: Array


def _arc(
    x: float, y: float, width: float, height: float, start: float, stop: float, count: int
) -> list[tuple[float, float]]:
    """Return points on an ellipse; angles in degrees, clockwise on paper, 0 is to the right and 90 is down."""
    angles = [math.radians(start + (stop - start) * i / (count - 1)) for i in range(count)]
    return [(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles]


def _drawings() -> dict[int, list[list[Stroke]]]:
    """Return, for each digit, its ways of writing, each a list of strokes."""
    return {
        0: [
            [_arc(0.5, 0.5, 0.33, 0.48, -90, 270, 11)],
            [_arc(0.5, 0.5, 0.28, 0.48, -60, -430, 11)],
            [_arc(0.5, 0.5, 0.40, 0.46, -110, 260, 11)],
        ],
        1: [
            [[(0.5, 0.0), (0.5, 0.5), (0.5, 1.0)]],
            [[(0.32, 0.22), (0.52, 0.0)], [(0.52, 0.0), (0.52, 0.5), (0.52, 1.0)]],
            [[(0.56, 0.0), (0.50, 0.5), (0.44, 1.0)]],
            [[(0.30, 0.24), (0.50, 0.0)], [(0.5, 0.0), (0.5, 0.5), (0.5, 1.0)], [(0.28, 1.0), (0.5, 1.0), (0.74, 1.0)]],
        ],
        2: [
            [
                [*_arc(0.47, 0.27, 0.30, 0.27, -165, 35, 6), (0.44, 0.74), (0.16, 1.0)],
                [(0.16, 1.0), (0.5, 1.0), (0.86, 0.98)],
            ],
            [
                [*_arc(0.47, 0.26, 0.29, 0.26, -175, 35, 6), (0.45, 0.76), (0.24, 0.97), (0.13, 0.86), (0.26, 0.77)],
                [(0.26, 0.77), (0.48, 0.9), (0.70, 1.0), (0.90, 0.90)],
            ],
            [
                [(0.17, 0.16), (0.42, 0.0), (0.72, 0.10), (0.76, 0.34), (0.50, 0.68), (0.14, 0.97)],
                [(0.14, 0.97), (0.42, 0.93), (0.66, 1.0), (0.88, 0.96)],
            ],
        ],
        3: [
            [
                [*_arc(0.46, 0.25, 0.28, 0.25, -160, 80, 6), (0.40, 0.50)],
                [(0.40, 0.50), *_arc(0.45, 0.745, 0.32, 0.255, -75, 155, 6)],
            ],
            [[(0.18, 0.02), (0.46, 0.02), (0.78, 0.02)], [(0.78, 0.02), (0.60, 0.22), (0.44, 0.42)],
             [(0.44, 0.42), (0.70, 0.48), (0.80, 0.70), (0.64, 0.95), (0.38, 0.99), (0.15, 0.86)]],
            [
                [(0.20, 0.10), (0.48, 0.0), (0.72, 0.14), (0.68, 0.35), (0.46, 0.46)],
                [(0.46, 0.46), (0.72, 0.56), (0.78, 0.78), (0.54, 0.99), (0.16, 0.92)],
            ],
        ],
        4: [
            [
                [(0.30, 0.02), (0.24, 0.30), (0.16, 0.60)],
                [(0.16, 0.60), (0.50, 0.61), (0.90, 0.57)],
                [(0.70, 0.10), (0.67, 0.55), (0.64, 1.0)],
            ],
            [
                [(0.64, 0.0), (0.40, 0.32), (0.12, 0.66)],
                [(0.12, 0.66), (0.50, 0.67), (0.92, 0.66)],
                [(0.64, 0.0), (0.64, 0.50), (0.64, 1.0)],
            ],
            [
                [(0.22, 0.05), (0.16, 0.34), (0.28, 0.54), (0.54, 0.54), (0.74, 0.42)],
                [(0.78, 0.02), (0.74, 0.50), (0.66, 1.0)],
            ],
        ],
        5: [
            [
                [(0.28, 0.02), (0.25, 0.24), (0.22, 0.46)],
                [(0.22, 0.46), (0.48, 0.38), (0.76, 0.52), (0.78, 0.78), (0.52, 0.99), (0.16, 0.90)],
                [(0.28, 0.02), (0.54, 0.03), (0.82, 0.0)],
            ],
            [[(0.84, 0.03), (0.56, 0.02), (0.32, 0.06), (0.24, 0.28), (0.36, 0.43), (0.62, 0.52), (0.74, 0.72),
              (0.58, 0.95), (0.34, 1.0), (0.13, 0.92)]],
            [
                [(0.84, 0.02), (0.58, 0.02), (0.32, 0.02)],
                [(0.32, 0.02), (0.30, 0.22), (0.28, 0.42)],
                [(0.28, 0.42), *_arc(0.44, 0.70, 0.32, 0.29, -80, 145, 7)],
            ],
        ],
        6: [
            [[(0.70, 0.02), (0.44, 0.16), (0.25, 0.44), (0.20, 0.74), (0.38, 0.98), (0.66, 0.94), (0.78, 0.74),
              (0.64, 0.55), (0.40, 0.56), (0.22, 0.72)]],
            [[(0.56, 0.0), (0.34, 0.30), (0.22, 0.66), (0.32, 0.95), (0.58, 0.99), (0.74, 0.80), (0.64, 0.60),
              (0.44, 0.58), (0.25, 0.74)]],
            [[(0.80, 0.10), (0.60, 0.0), (0.36, 0.14), (0.22, 0.48), (0.22, 0.80), (0.44, 1.0), (0.70, 0.92),
              (0.78, 0.70), (0.58, 0.54), (0.36, 0.60), (0.22, 0.78)]],
        ],
        7: [
            [[(0.14, 0.04), (0.50, 0.04), (0.84, 0.02)], [(0.84, 0.02), (0.60, 0.48), (0.42, 1.0)]],
            [
                [(0.14, 0.04), (0.50, 0.05), (0.84, 0.02)],
                [(0.84, 0.02), (0.60, 0.46), (0.40, 1.0)],
                [(0.34, 0.52), (0.56, 0.51), (0.80, 0.50)],
            ],
            [[(0.15, 0.22), (0.18, 0.06)], [(0.18, 0.06), (0.46, 0.08), (0.82, 0.03)],
             [(0.82, 0.03), (0.68, 0.30), (0.54, 0.60), (0.50, 1.0)]],
        ],
        8: [
            [[(0.74, 0.14), (0.52, 0.0), (0.26, 0.12), (0.28, 0.34), (0.52, 0.50), (0.76, 0.70), (0.68, 0.94),
              (0.46, 1.0), (0.24, 0.90), (0.24, 0.70), (0.48, 0.50), (0.72, 0.34), (0.74, 0.14)]],
            [_arc(0.5, 0.24, 0.24, 0.24, 90, 450, 9), _arc(0.5, 0.74, 0.31, 0.26, -90, 270, 9)],
            [[(0.70, 0.08), (0.44, 0.0), (0.24, 0.18), (0.40, 0.42), (0.66, 0.62), (0.70, 0.86), (0.48, 1.0),
              (0.28, 0.86), (0.36, 0.64), (0.58, 0.40), (0.76, 0.06)]],
        ],
        9: [
            [
                [*_arc(0.47, 0.28, 0.29, 0.28, -20, -350, 9), (0.76, 0.22)],
                [(0.76, 0.22), (0.73, 0.60), (0.68, 1.0)],
            ],
            [[(0.74, 0.20), (0.54, 0.0), (0.26, 0.12), (0.22, 0.38), (0.46, 0.52), (0.70, 0.36), (0.76, 0.14)],
             [(0.76, 0.14), (0.76, 0.60), (0.62, 0.94), (0.36, 1.0), (0.20, 0.88)]],
            [[(0.76, 0.16), (0.52, 0.02), (0.26, 0.16), (0.26, 0.42), (0.52, 0.50), (0.76, 0.24), (0.68, 0.58),
              (0.48, 1.0)]],
        ],
    }  # fmt: skip


def _spline(count: int, positions: Array) -> Array:
    """Return the matrix that takes `count` control points to a Catmull-Rom curve through them.

    `positions` runs from 0 to count - 1. The curve ends where the first and last points lie: each end is continued in
    a straight line (Catmull and Rom, 1974, "A class of local interpolating splines").
    """
    result = np.zeros((len(positions), count))
    rows = np.arange(len(positions))
    left = np.minimum(positions.astype(int), count - 2)
    t = positions - left
    weights = (
        -0.5 * t + t**2 - 0.5 * t**3,
        1 - 2.5 * t**2 + 1.5 * t**3,
        0.5 * t + 2 * t**2 - 1.5 * t**3,
        -0.5 * t**2 + 0.5 * t**3,
    )
    for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
        index = left + offset
        inside = (index >= 0) & (index < count)
        np.add.at(result, (rows[inside], index[inside]), weight[inside])
        for beyond, end, inner in ((index < 0, 0, 1), (index >= count, count - 1, count - 2)):
            np.add.at(result, (rows[beyond], end), 2 * weight[beyond])  # the point beyond the end: 2 p_end - p_inner
            np.add.at(result, (rows[beyond], inner), -weight[beyond])
    return result


def _glyph(digit: int, strokes: Sequence[Stroke]) -> Glyph:
    controls = [np.array(stroke, dtype=float) for stroke in strokes]
    dense = [np.linspace(0, len(stroke) - 1, (len(stroke) - 1) * DENSE + 1) for stroke in strokes]
    travelled = []  # arc length at each dense position
    for points, positions in zip(controls, dense, strict=True):
        steps = np.linalg.norm(np.diff(_spline(len(points), positions) @ points, axis=0), axis=1)
        travelled.append(np.concatenate([[0], np.cumsum(steps)]))
    lengths = np.array([length[-1] for length in travelled])
    counts = np.maximum(2, np.floor(POINTS * lengths / lengths.sum()).astype(int))
    counts[np.argmax(counts)] += POINTS - counts.sum()
    curve = np.zeros((POINTS, sum(map(len, controls))))
    drawn = np.ones(POINTS - 1)
    row = column = 0
    for points, positions, length, count in zip(controls, dense, travelled, counts, strict=True):
        even = np.interp(np.linspace(0, length[-1], count), length, positions)
        curve[row : row + count, column : column + len(points)] = _spline(len(points), even)
        row, column = row + count, column + len(points)
        if row < POINTS:
            drawn[row - 1] = 0
    return Glyph(digit, np.concatenate(controls), curve, drawn)


def glyphs() -> list[list[Glyph]]:
    """Return, for each of the ten digits, the ways to write it."""
    return [[_glyph(digit, strokes) for strokes in ways] for digit, ways in sorted(_drawings().items())]
