"""Checks of the layers between input and output, and of the optimizer's arguments."""

from __future__ import annotations

from collections.abc import Iterator

from miniDLF.core.graph import Node
from miniDLF.doctor.case import Case
from miniDLF.doctor.findings import CERTAIN, LIKELY, POSSIBLE, Finding, percent
from miniDLF.doctor.outputs import activation, followers, maker
from miniDLF.layers import Conv2D, Dense, Dropout

#: Shares of dropped values from which hardly anything is left.
MUCH_DROPPED = 0.9
#: The share of every weight that a decay may take off in a step.
MUCH_DECAY = 0.05


def softmax_of_one(case: Case) -> Iterator[Finding]:
    """A softmax over one unit."""
    for node in case.graph.nodes:
        if node.layer is not None and activation(node.layer) == "softmax" and node.shape and node.shape[-1] == 1:
            yield Finding(
                "softmax_of_one",
                f"layer {case.graph.names[node.layer]!r} is a softmax over 1 unit, which is 1 whatever comes in",
                "a constant has no gradient, so nothing before it learns",
                "use Activation('sigmoid') with loss='bce' for yes or no, or a unit for each class",
                CERTAIN,
            )


def softmax_over_width(case: Case) -> Iterator[Finding]:
    """A softmax right behind a convolution, whose channels come first."""
    for node in case.graph.nodes:
        if (
            activation(node.layer) == "softmax"
            and node.layer is not None
            and len(node.shape) == 3
            and type(node.inputs[0].layer) is Conv2D
        ):
            yield Finding(
                "softmax_over_width",
                f"layer {case.graph.names[node.layer]!r} is a softmax over the last axis of images {node.shape}, "
                "their width",
                "images are (channels, height, width), and classes are their channels",
                "bring the classes to the last axis first, in a layer of your own, or use sigmoids with loss='bce'",
                LIKELY,
            )


def dropped_too_much(case: Case) -> Iterator[Finding]:
    """A dropout that leaves hardly anything, or that stands behind the last layer."""
    after = followers(case.graph)
    for node in case.graph.nodes:
        layer = node.layer
        if not isinstance(layer, Dropout) or not layer.p_dropout:
            continue
        if layer.p_dropout >= MUCH_DROPPED:
            yield Finding(
                "dropped_too_much",
                f"layer {case.graph.names[layer]!r} drops {percent(layer.p_dropout)} of its values",
                "p_dropout is the share that is dropped, not the one that is kept, and too little is left to learn by",
                f"write Dropout({round(1 - layer.p_dropout, 4):g}) if that share was to be dropped, or 0.2 to 0.5",
                LIKELY,
            )
        if node in case.graph.outputs and not after[node]:
            yield Finding(
                "dropout_of_answers",
                f"layer {case.graph.names[layer]!r} drops {percent(layer.p_dropout)} of the answers themselves",
                "a dropped answer is 0 and wrong in training, whatever the weights are",
                "put the Dropout before the last layer with weights",
                CERTAIN,
            )


def bottleneck(case: Case) -> Iterator[Finding]:
    """A hidden layer of one unit through which everything passes."""
    ends = {output.maker for output in case.outputs}
    shapes = [node.shape for node in case.graph.inputs]
    if any(output.node.shape in shapes for output in case.outputs):
        return  # an autoencoder may have a code of one number
    single = [n for n in case.graph.nodes if type(n.layer) is Dense and n.shape == (1,) and n not in ends]
    wide = max((output.units for output in case.outputs), default=1)
    for node in single:
        if wide < 2 or node.layer is None or not _all_pass(case, node):
            continue
        if any(maker(output.node.inputs[0]) is node for output in case.outputs if output.node.inputs):
            continue  # the last layer itself, behind an activation that is not known
        yield Finding(
            "bottleneck",
            f"everything passes through the 1 unit of layer {case.graph.names[node.layer]!r}, and {wide} outputs come "
            "after it",
            "one number cannot carry what several answers need",
            "give the layer more units",
            LIKELY,
        )


def _all_pass(case: Case, node: Node) -> bool:
    """Say whether every way from the inputs to the outputs leads through `node`."""
    pending, seen = list(case.graph.outputs), set()
    while pending:
        here = pending.pop()
        if here is node or here in seen:
            continue
        if here.layer is None:
            return False
        seen.add(here)
        pending.extend(here.inputs)
    return True


def nothing_between(case: Case) -> Iterator[Finding]:
    """Two dense layers in a row without an activation between them."""
    for node in case.graph.nodes:
        if type(node.layer) is not Dense:
            continue
        before = maker(node.inputs[0])
        if type(before.layer) is Dense and before.shape[-1] >= min(before.inputs[0].shape[-1], node.shape[-1]):
            yield Finding(
                "nothing_between",
                f"nothing stands between {case.graph.names[before.layer]!r} and {case.graph.names[node.layer]!r}",
                "two linear layers in a row can do no more than one",
                "put an activation between them: Dense(units, activation='relu')",
                POSSIBLE,
            )


def decays_too_much(case: Case) -> Iterator[Finding]:
    """A weight decay that takes much of every weight in each step."""
    optimizer, step = case.optimizer, 0
    while optimizer is not None:
        decay = getattr(optimizer, "weight_decay", None)
        if isinstance(decay, int | float) and not isinstance(decay, bool):
            share = float(optimizer.rate(step)) * decay
            if share >= MUCH_DECAY:
                yield Finding(
                    "decays_too_much",
                    f"weight_decay={decay:g} takes {percent(share)} off every weight in each step",
                    "a weight is pulled back to 0 faster than the loss can raise it",
                    "use weight_decay=0.004, or less",
                    LIKELY,
                )
        optimizer = getattr(optimizer, "optimizer", None)
