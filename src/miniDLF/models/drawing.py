"""A model's graph as SVG, with nothing but Python.

Layers lie in ranks (Sugiyama, Tagawa, Toda 1981): a node stands below everything it needs; a connection that skips
ranks gets a bend in each of them, so that it runs beside the boxes; the order in a rank, and then the places, follow
the neighbours above and below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from miniDLF.core.graph import Graph, Node
from miniDLF.errors import ArgumentError, answering

__all__ = ["graph_svg", "plot_model"]

_HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 44, 22, 34, 16
#: Pixels that a letter takes at size 12: a little more than Helvetica needs, since the viewer picks the font.
_BOLD, _PLAIN = 7.6, 6.9
_SWEEPS = 12


@dataclass(eq=False)
class _Place:
    """A box, or a bend of a connection that passes a rank."""

    node: Node | None
    width: float
    above: list[_Place] = field(default_factory=list)
    below: list[_Place] = field(default_factory=list)
    x: float = 0.0  # of the middle
    y: float = 0.0  # of the upper edge


@answering
def plot_model(model: Any, path: Any = "model.svg") -> str:
    """Draw the graph of a model to an SVG file, with nothing but Python; return the SVG text."""
    if Path(path).suffix.lower() not in (".svg", ""):
        raise ArgumentError(f"plot_model draws SVG, which browsers show: name the file *.svg; received {str(path)!r}.")
    text = graph_svg(model.graph)
    Path(path).write_text(text, encoding="utf-8")
    return text


def graph_svg(graph: Graph) -> str:
    """Return the graph as SVG: a box a node, inputs above, data flowing down."""
    ranks = _ranks(graph)
    _order(ranks)
    _spread(ranks)
    places = [place for rank in ranks for place in rank]
    left = min(place.x - place.width / 2 for place in places) - _MARGIN
    for place in places:
        place.x -= left
    width = round(max(place.x + place.width / 2 for place in places) + _MARGIN)
    height = len(ranks) * (_HEIGHT + _GAP_Y) - _GAP_Y + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="3" orient="auto">'
        '<path d="M0,0 L7,3 L0,6 z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    boxes = [(place.node, place) for place in places if place.node is not None]
    parts += [_line(box, upper) for _, box in boxes for upper in box.above]
    parts += [_box(graph, node, box) for node, box in boxes]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _ranks(graph: Graph) -> list[list[_Place]]:
    """Return the rows of boxes and bends, joined with their neighbours in the rows above and below."""
    nodes: list[Node] = [*graph.inputs, *graph.nodes]
    depth: dict[Node, int] = {}
    for node in nodes:
        depth[node] = 1 + max((depth[source] for source in node.inputs), default=-1)
    ranks: list[list[_Place]] = [[] for _ in range(1 + max(depth.values()))]
    boxes: dict[Node, _Place] = {}
    for node in nodes:
        box = boxes[node] = _Place(node, _width(graph, node))
        ranks[depth[node]].append(box)
        for source in dict.fromkeys(node.inputs):
            upper = boxes[source]
            for level in range(depth[source] + 1, depth[node]):
                bend = _Place(None, 8.0, above=[upper])
                ranks[level].append(bend)
                upper.below.append(bend)
                upper = bend
            upper.below.append(box)
            box.above.append(upper)
    for level, rank in enumerate(ranks):
        for place in rank:
            place.y = _MARGIN + level * (_HEIGHT + _GAP_Y)
    return ranks


def _order(ranks: list[list[_Place]]) -> None:
    """Sort each rank by the mean place of its neighbours, downwards and upwards in turn: few crossings."""
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        for rank in ranks if downwards else reversed(ranks):
            for number, place in enumerate(rank):
                place.x = float(number)
            rank.sort(key=_mean_of(lambda place, down=downwards: place.above if down else place.below))  # type: ignore[misc]
            for number, place in enumerate(rank):
                place.x = number - (len(rank) - 1) / 2


def _spread(ranks: list[list[_Place]]) -> None:
    """Give every place its x: as near to its neighbours' as the places beside it allow."""
    for rank in ranks:
        _pack(rank, [0.0] * len(rank))
    for sweep in range(_SWEEPS):
        for rank in ranks if sweep % 2 == 0 else reversed(ranks):
            wish = _mean_of(lambda place: [*place.above, *place.below])
            _pack(rank, [wish(place) for place in rank])


def _mean_of(neighbours: Callable[[_Place], Sequence[_Place]]) -> Callable[[_Place], float]:
    def mean(place: _Place) -> float:
        others = neighbours(place)
        return sum(other.x for other in others) / len(others) if others else place.x

    return mean


def _pack(rank: Sequence[_Place], wishes: Sequence[float]) -> None:
    """Put the places of a rank, in order and without overlap, near their wishes: the mean of both one-sided answers."""
    gaps = [(a.width + b.width) / 2 + _GAP_X for a, b in pairwise(rank)]
    from_left, from_right = list(wishes), list(wishes)
    for i in range(1, len(rank)):
        from_left[i] = max(wishes[i], from_left[i - 1] + gaps[i - 1])
    for i in range(len(rank) - 2, -1, -1):
        from_right[i] = min(wishes[i], from_right[i + 1] - gaps[i])
    for place, a, b in zip(rank, from_left, from_right, strict=True):
        place.x = (a + b) / 2


def _texts(graph: Graph, node: Node) -> tuple[str, str, str, str]:
    """Return title, shape, second line and colour of a box."""
    shape = "x".join(map(str, node.shape))
    layer = node.layer
    if layer is None:
        return node.name or "input", shape, "Input", "#e8e8e8"
    count = sum(parameter.size for parameter in layer.parameters)
    detail = type(layer).__name__
    if count:
        detail += f", {count:,} parameters" + ("" if graph.trains(layer) else ", frozen")
    return graph.names[layer], shape, detail, "#cfe2f3" if count else "#f6f6f6"


def _width(graph: Graph, node: Node) -> float:
    title, shape, detail, _ = _texts(graph, node)
    return max(120.0, 30 + _BOLD * len(title) + _PLAIN * len(shape), 16 + _PLAIN * len(detail))


def _box(graph: Graph, node: Node, place: _Place) -> str:
    title, shape, detail, colour = _texts(graph, node)
    x, y, width = place.x - place.width / 2, place.y, place.width
    return (
        f'<g><rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_HEIGHT}" rx="6" fill="{colour}" stroke="#888"/>'
        f'<text x="{x + 8:.1f}" y="{y + 18}" font-weight="bold">{escape(title, quote=False)}</text>'
        f'<text x="{x + width - 8:.1f}" y="{y + 18}" text-anchor="end" fill="#333">{escape(shape, quote=False)}</text>'
        f'<text x="{x + 8:.1f}" y="{y + 35}" fill="#555">{escape(detail, quote=False)}</text></g>'
    )


def _line(box: _Place, upper: _Place) -> str:
    """Draw a connection from the box above, through its bends, to `box`."""
    stations = [upper]
    while stations[0].node is None:
        stations.insert(0, stations[0].above[0])
    start, *bends = stations
    words = [f"M{start.x:.1f},{start.y + _HEIGHT}"]
    x, y = start.x, start.y + _HEIGHT
    for bend in bends:
        words += [_curve(x, y, bend.x, bend.y), f"L{bend.x:.1f},{bend.y + _HEIGHT}"]
        x, y = bend.x, bend.y + _HEIGHT
    words.append(_curve(x, y, box.x, box.y))
    return f'<path d="{" ".join(words)}" fill="none" stroke="#555" marker-end="url(#tip)"/>'


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    half = (to_y - y) / 2
    return f"C{x:.1f},{y + half} {to_x:.1f},{to_y - half} {to_x:.1f},{to_y}"
