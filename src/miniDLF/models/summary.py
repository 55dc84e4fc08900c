"""The text that `summary` prints."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from miniDLF.core.graph import Graph, Node
from miniDLF.core.layer import Layer
from miniDLF.errors import UnknownNameError, import_extra

__all__ = ["lines", "show", "table", "totals"]

#: Letters a line of the table takes at the most where the terminal is narrower; longer names are folded.
WIDEST = 160


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


def lines(graph: Graph, sequential: bool) -> list[str]:
    """Return the specification's lines: name, shapes, trainable parameters, and the total."""
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
        if not sequential:
            sources = (s.name or "input" if s.layer is None else graph.names[s.layer] for s in node.inputs)
            line += f"  {graph.names[layer]} <- {', '.join(sources)}"
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


def table(graph: Graph, title: str, itemsize: int) -> Any:
    """Return a rich table: name, class, shape, parameters, memory of a sample's values, connections."""
    rich = import_extra("rich.table", "rich", "summary(style='table')")
    result = rich.Table(title=title)
    for heading, side in (
        ("layer", "left"),
        ("class", "left"),
        ("output shape", "left"),
        ("parameters", "right"),
        ("trainable", "center"),
        ("KiB a sample", "right"),
        ("connected to", "left"),
    ):
        result.add_column(heading, justify=side, overflow="fold")
    for node in graph.nodes:
        layer = node.layer
        if layer is None:
            continue
        sources = (s.name or "input" if s.layer is None else graph.names[s.layer] for s in node.inputs)
        has = bool(layer.parameters)
        result.add_row(
            graph.names[layer],
            type(layer).__name__,
            f"(N, {', '.join(map(str, node.shape))})",
            f"{sum(p.size for p in layer.parameters):,}" if has else "",
            ("yes" if graph.trains(layer) else "frozen") if has else "",
            f"{np.prod(node.shape) * itemsize / 1024:,.2f}",
            ", ".join(sources),
        )
    trained, frozen, state = totals(graph)
    result.caption = f"parameters: {trained:,} trained, {frozen:,} frozen, {state:,} running statistics"
    return result


def show(graph: Graph, title: str, itemsize: int, style: str, write: Any, sequential: bool) -> None:
    """Print the summary in one of its styles."""
    write = write or (lambda line: sys.stdout.write(line + "\n"))
    if style == "lines":
        for line in lines(graph, sequential):
            write(line)
    elif style == "table":
        console = import_extra("rich.console", "rich", "summary(style='table')").Console()
        made = table(graph, title, itemsize)
        terminal, console.width = console.width, WIDEST
        console.width = max(terminal, console.measure(made).maximum)
        with console.capture() as captured:
            console.print(made)
        write(captured.get().rstrip("\n"))
    else:
        raise UnknownNameError(f"summary: style is 'lines' or 'table', received {style!r}.")
