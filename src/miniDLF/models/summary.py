"""The text that `summary` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from miniDLF.core.graph import Graph, Node
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError, ArgumentTypeError, UnknownNameError, nearest
from miniDLF.models.describing import settings, shape_text, sources
from miniDLF.whole import is_whole
from miniDLF.writing import write_line

__all__ = ["lines", "show", "table", "totals"]

#: Letters a line of the table takes at the most, where nothing else is asked for; longer cells are folded.
WIDEST = 160
#: The least a column of words is made narrow to.
NARROWEST = 8
#: Letters below which a table leaves the memory out.
ROOMY = 100
#: Columns of numbers, which stand to the right and are never folded; the one of memory, and that of connections.
NUMBERS, MEMORY, LAST = (3, 4, 5), 5, 6
STYLES = ("lines", "details", "table")


def totals(graph: Graph) -> tuple[int, int, int]:
    """Return the numbers of trained, frozen and never trained (running statistics) parameters."""
    trained = frozen = state = 0
    for layer in graph.layers:
        for parameter in layer.parameters:
            if not parameter.trainable:
                state += parameter.size
            elif graph.trains(layer):
                trained += parameter.size
            else:
                frozen += parameter.size
    return trained, frozen, state


def lines(graph: Graph, sequential: bool, details: bool = False) -> list[str]:
    """Return the specification's lines: class, shapes, trainable parameters, and the total.

    Where the layers are no chain, and with `details`, the name and the settings of each follow.
    """
    result = []
    seen: set[Layer] = set()
    given = _given(graph)
    for node in graph.nodes:
        layer = node.layer
        if layer is None:
            continue
        received = [source.shape for source in node.inputs]
        shown_in = (
            _shape(received[0], node.inputs[0] in given) if len(received) == 1 else " + ".join(map(str, received))
        )
        count = sum(p.size for p in layer.parameters if p.trainable and graph.trains(layer))
        line = (
            f"{layer.label or type(layer).__name__:<11}:   input_shape =  {shown_in}  "
            f"output_shape =  {_shape(node.shape, node in given)}  trainable parameters =  {count}"
        )
        if layer.parameters and not graph.trains(layer):
            line += f"  (frozen: {sum(p.size for p in layer.parameters if p.trainable)})"
        if layer in seen:
            line += "  (shared, counted above)"
        seen.add(layer)
        if details or not sequential:
            line += f"  {graph.names[layer]}" + ("" if sequential else f" <- {sources(graph, node)}")
            told = settings(layer, graph)
            line += f"  ({told})" if told else ""
        result.append(line)
    trained, frozen, _ = totals(graph)
    result.append(f"Total # trainable parameters: {trained}")
    if frozen:
        result.append(f"Total # frozen parameters: {frozen}")
    return result


def _given(graph: Graph) -> set[Node]:
    """Return the nodes that still have the shape that the user gave: the specification prints it as an array."""
    given = set(graph.inputs)
    for node in graph.nodes:
        if len(node.inputs) == 1 and node.inputs[0] in given and node.inputs[0].shape == node.shape:
            given.add(node)
    return given


def _shape(shape: tuple[int, ...], given: bool) -> str:
    return str(np.array(shape)) if given else str(shape)


def table(graph: Graph, title: str, itemsize: int, sequential: bool, width: int = WIDEST) -> list[str]:
    """Return the lines of a table: name, class, settings, shape, parameters, memory of a sample, connections."""
    headings = ["layer", "class, settings", "output shape", "parameters", "trained", "KiB a sample", "connected to"]
    rows = []
    seen: set[Layer] = set()
    for node in graph.nodes:
        layer = node.layer
        if layer is None:
            continue
        has = bool(layer.parameters)
        count = "shared" if layer in seen else f"{sum(p.size for p in layer.parameters):,}"
        seen.add(layer)
        rows.append(
            [
                graph.names[layer],
                " ".join([type(layer).__name__, settings(layer, graph)]).rstrip(),
                shape_text(node.shape),
                count if has else "",
                ("yes" if graph.trains(layer) else "frozen") if has else "",
                f"{np.prod(node.shape) * itemsize / 1024:,.2f}",
                sources(graph, node),
            ]
        )
    shown = [place for place in range(len(headings)) if not (sequential and place == LAST)]
    if width < ROOMY:
        shown.remove(MEMORY)
    trained, frozen, state = totals(graph)
    caption = f"parameters: {trained:,} trained, {frozen:,} frozen, {state:,} running statistics"
    widths = _widths([headings, *rows], shown, width)
    rule = "-" * (sum(widths.values()) + 2 * (len(widths) - 1))
    made = [line for row in rows for line in _folded(row, widths)]
    return [title, rule, *_folded(headings, widths), rule, *made, rule, caption]


def _widths(rows: Sequence[Sequence[str]], shown: Sequence[int], width: int) -> dict[int, int]:
    """Return the widths of the columns: those of the longest cells, or less for the widest columns of words."""
    widths = {place: max(len(row[place]) for row in rows) for place in shown}
    while sum(widths.values()) + 2 * (len(widths) - 1) > width:
        column = max((place for place in shown if place not in NUMBERS), key=lambda place: widths[place])
        if widths[column] <= NARROWEST:
            break
        widths[column] -= 1
    return widths


def _folded(row: Sequence[str], widths: Mapping[int, int]) -> list[str]:
    """Return the lines that a row takes in columns of these widths."""
    cells = {place: textwrap.wrap(row[place], width) or [""] for place, width in widths.items()}
    made = []
    for number in range(max(map(len, cells.values()))):
        parts = {place: cell[number] if number < len(cell) else "" for place, cell in cells.items()}
        placed = [
            parts[place].rjust(width) if place in NUMBERS else parts[place].ljust(width)
            for place, width in widths.items()
        ]
        made.append("  ".join(placed).rstrip())
    return made


def show(
    graph: Graph,
    title: str,
    itemsize: int,
    style: str,
    write: Callable[[str], Any] | None,
    sequential: bool,
    line_length: int | None = None,
) -> None:
    """Print the summary in one of its styles."""
    write = write or write_line
    if style not in STYLES:
        raise UnknownNameError(
            f"summary: style is 'lines', 'details' or 'table', received {style!r}.{nearest(str(style), STYLES)}"
        )
    if line_length is not None:
        if not is_whole(line_length):
            raise ArgumentTypeError(f"summary: line_length is a whole number of letters; received {line_length!r}.")
        if line_length < 60:
            raise ArgumentError(f"summary: line_length is at least 60 letters, received {line_length}.")
        style = "table"  # the lines of the specification are as long as they are
    if style == "table":
        made = table(graph, title, itemsize, sequential, WIDEST if line_length is None else int(line_length))
    else:
        made = lines(graph, sequential, style == "details")
    for line in made:
        write(line)
