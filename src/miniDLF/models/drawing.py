"""A model's graph as a picture: SVG with nothing but Python, or PNG and the like by matplotlib.

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
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError, answering
from miniDLF.models.describing import settings

__all__ = ["Layout", "Picture", "Place", "graph_svg", "laid_out", "path_of", "plot_model", "texts"]

#: Pixels: of the first line of a box with its margins, and of each line below it.
FIRST_LINE, LINE = 28, 16
#: Letters of settings that stand in the line of the class; longer ones have a line of their own.
SHORT = 14
_GAP_X, _GAP_Y, _MARGIN = 22, 34, 16
#: Pixels that a letter takes at size 12: a little more than Helvetica needs, since the viewer picks the font.
_BOLD, _PLAIN = 7.6, 6.9
_SWEEPS = 12


@dataclass(eq=False)
class Place:
    """A box, or a bend of a connection that passes a rank."""

    node: Node | None
    width: float
    height: float
    above: list[Place] = field(default_factory=list)
    below: list[Place] = field(default_factory=list)
    x: float = 0.0  # of the middle
    y: float = 0.0  # of the upper edge


@dataclass(frozen=True)
class Layout:
    """Where everything lies, in pixels: boxes, and the connections that end at them."""

    places: list[Place]
    width: int
    height: int

    @property
    def boxes(self) -> list[Place]:
        """The places of nodes."""
        return [place for place in self.places if place.node is not None]


class Picture(str):
    """The text of an SVG picture, which a notebook shows as the picture."""

    def _repr_svg_(self) -> str:
        """Return the picture, for notebooks."""
        return str(self)

    def __repr__(self) -> str:
        return f"<a drawing as SVG, {len(self):,} characters>"


#: What matplotlib writes.
PAINTED = (".png", ".pdf", ".jpg", ".jpeg")


@answering
def plot_model(model: Any, path: Any = "model.svg") -> Picture:
    """Draw the graph of a model to a file, and return the drawing, which a notebook shows.

    Parameters
    ----------
    path
        ``*.svg``, which needs nothing but Python and which browsers show; or ``*.png``, ``*.jpg``, ``*.pdf``, which
        need the extra ``plots``.

    Returns
    -------
    str
        The text of the SVG picture.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".svg", "", *PAINTED):
        raise ArgumentError(
            f"plot_model draws .svg, or with matplotlib {', '.join(PAINTED)}; received {str(path)!r}. Name the file "
            "*.svg, which browsers show."
        )
    text = Picture(graph_svg(model.graph))
    if suffix in PAINTED:
        from miniDLF.models.painting import paint  # matplotlib, where it is asked for

        paint(model.graph, path)
    else:
        Path(path).write_text(text, encoding="utf-8")
    return text


def laid_out(graph: Graph) -> Layout:
    """Give every node its place: inputs above, data flowing down."""
    ranks = _ranks(graph)
    _order(ranks)
    _spread(ranks)
    places = [place for rank in ranks for place in rank]
    left = min(place.x - place.width / 2 for place in places) - _MARGIN
    y: float = _MARGIN
    for rank in ranks:
        height = max(place.height for place in rank)
        for place in rank:
            place.x -= left
            place.y = y
            if place.node is None:
                place.height = height  # a connection passes the whole rank
        y += height + _GAP_Y
    width = round(max(place.x + place.width / 2 for place in places) + _MARGIN)
    return Layout(places, width, round(y - _GAP_Y + _MARGIN))


def graph_svg(graph: Graph) -> str:
    """Return the graph as SVG: a box a node."""
    layout = laid_out(graph)
    width, height = layout.width, layout.height
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="3" orient="auto">'
        '<path d="M0,0 L7,3 L0,6 z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    parts += [_line(box, upper) for box in layout.boxes for upper in box.above]
    parts += [_box(graph, box) for box in layout.boxes]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _ranks(graph: Graph) -> list[list[Place]]:
    """Return the rows of boxes and bends, joined with their neighbours in the rows above and below."""
    nodes: list[Node] = [*graph.inputs, *graph.nodes]
    depth: dict[Node, int] = {}
    for node in nodes:
        depth[node] = 1 + max((depth[source] for source in node.inputs), default=-1)
    ranks: list[list[Place]] = [[] for _ in range(1 + max(depth.values()))]
    boxes: dict[Node, Place] = {}
    for node in nodes:
        box = boxes[node] = Place(node, *_size(graph, node))
        ranks[depth[node]].append(box)
        for source in dict.fromkeys(node.inputs):
            upper = boxes[source]
            for level in range(depth[source] + 1, depth[node]):
                bend = Place(None, 8.0, 0.0, above=[upper])
                ranks[level].append(bend)
                upper.below.append(bend)
                upper = bend
            upper.below.append(box)
            box.above.append(upper)
    return ranks


def _order(ranks: list[list[Place]]) -> None:
    """Sort each rank by the mean place of its neighbours, downwards and upwards in turn: few crossings."""
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        for rank in ranks if downwards else reversed(ranks):
            for number, place in enumerate(rank):
                place.x = float(number)
            rank.sort(key=_mean_of(lambda place, down=downwards: place.above if down else place.below))  # type: ignore[misc]
            for number, place in enumerate(rank):
                place.x = number - (len(rank) - 1) / 2


def _spread(ranks: list[list[Place]]) -> None:
    """Give every place its x: as near to its neighbours' as the places beside it allow."""
    for rank in ranks:
        _pack(rank, [0.0] * len(rank))
    for sweep in range(_SWEEPS):
        for rank in ranks if sweep % 2 == 0 else reversed(ranks):
            wish = _mean_of(lambda place: [*place.above, *place.below])
            _pack(rank, [wish(place) for place in rank])


def _mean_of(neighbours: Callable[[Place], Sequence[Place]]) -> Callable[[Place], float]:
    def mean(place: Place) -> float:
        others = neighbours(place)
        return sum(other.x for other in others) / len(others) if others else place.x

    return mean


def _pack(rank: Sequence[Place], wishes: Sequence[float]) -> None:
    """Put the places of a rank, in order and without overlap, near their wishes: the mean of both one-sided answers."""
    gaps = [(a.width + b.width) / 2 + _GAP_X for a, b in pairwise(rank)]
    from_left, from_right = list(wishes), list(wishes)
    for i in range(1, len(rank)):
        from_left[i] = max(wishes[i], from_left[i - 1] + gaps[i - 1])
    for i in range(len(rank) - 2, -1, -1):
        from_right[i] = min(wishes[i], from_right[i + 1] - gaps[i])
    for place, a, b in zip(rank, from_left, from_right, strict=True):
        place.x = (a + b) / 2


def texts(graph: Graph, node: Node) -> tuple[str, str, list[str], str]:
    """Return title, shape, the lines below and colour of a box."""
    shape = "x".join(map(str, node.shape))
    layer = node.layer
    if layer is None:
        return node.name or "input", shape, ["Input"], "#e8e8e8"
    count = sum(parameter.size for parameter in layer.parameters)
    kind, told = type(layer).__name__, settings(layer, graph)
    if not count:
        return graph.names[layer], shape, [f"{kind} {told}".rstrip()], _COLOURS.get(_family(layer), "#f6f6f6")
    shared = sum(other.layer is layer for other in graph.nodes) > 1
    about = f"{count:,} parameters" + ("" if graph.trains(layer) else ", frozen") + (", shared" if shared else "")
    short = len(told) <= SHORT
    lines = [f"{kind} {told}".rstrip() + f", {about}"] if short else [f"{kind}, {about}", told]
    return graph.names[layer], shape, lines, "#cfe2f3" if graph.trains(layer) else "#dde3e8"


def _family(layer: Layer) -> str:
    if hasattr(layer, "activation") or layer.rises or layer.absorbable:
        return "activation"
    return "joining" if layer.takes_many else ""


_COLOURS = {"activation": "#e3f1df", "joining": "#fdeeda"}


def _size(graph: Graph, node: Node) -> tuple[float, float]:
    title, shape, lines, _ = texts(graph, node)
    below = max(len(line) for line in lines)
    width = max(120.0, 30 + _BOLD * len(title) + _PLAIN * len(shape), 16 + _PLAIN * below)
    return width, FIRST_LINE + LINE * len(lines)


def _box(graph: Graph, place: Place) -> str:
    title, shape, lines, colour = texts(graph, place.node)  # type: ignore[arg-type]
    x, y, width = place.x - place.width / 2, place.y, place.width
    below = "".join(
        f'<text x="{x + 8:.1f}" y="{y + 19 + LINE * number:.0f}" fill="#555">{escape(line, quote=False)}</text>'
        for number, line in enumerate(lines, 1)
    )
    return (
        f'<g><rect x="{x:.1f}" y="{y:.0f}" width="{width:.1f}" height="{place.height:.0f}" rx="6" fill="{colour}" '
        'stroke="#888"/>'
        f'<text x="{x + 8:.1f}" y="{y + 19:.0f}" font-weight="bold">{escape(title, quote=False)}</text>'
        f'<text x="{x + width - 8:.1f}" y="{y + 19:.0f}" text-anchor="end" fill="#333">'
        f"{escape(shape, quote=False)}</text>{below}</g>"
    )


def path_of(box: Place, upper: Place) -> list[tuple[str, list[tuple[float, float]]]]:
    """Return the way of a connection from the box above, through its bends, to `box`: M, C and L with their points."""
    stations = [upper]
    while stations[0].node is None:
        stations.insert(0, stations[0].above[0])
    start, *bends = stations
    x, y = start.x, start.y + start.height
    way: list[tuple[str, list[tuple[float, float]]]] = [("M", [(x, y)])]
    for bend in bends:
        way += [("C", _curve(x, y, bend.x, bend.y)), ("L", [(bend.x, bend.y + bend.height)])]
        x, y = bend.x, bend.y + bend.height
    return [*way, ("C", _curve(x, y, box.x, box.y))]


def _line(box: Place, upper: Place) -> str:
    words = " ".join(kind + " ".join(f"{x:.1f},{y:.1f}" for x, y in points) for kind, points in path_of(box, upper))
    return f'<path d="{words}" fill="none" stroke="#555" marker-end="url(#tip)"/>'


def _curve(x: float, y: float, to_x: float, to_y: float) -> list[tuple[float, float]]:
    half = (to_y - y) / 2
    return [(x, y + half), (to_x, to_y - half), (to_x, to_y)]
