"""Checks of a compiled model: outputs, losses and metrics that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator

from miniDLF.doctor.case import Case
from miniDLF.doctor.findings import CERTAIN, LIKELY, Finding, percent
from miniDLF.doctor.outputs import Output, activation, maker, regresses
from miniDLF.losses import BinaryCrossentropy, Hinge, MeanSquaredLogarithmicError, Poisson
from miniDLF.losses.crossentropy import ClassLoss
from miniDLF.metrics import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    F1Score,
    Precision,
    Recall,
    TopKCategoricalAccuracy,
)


def cce_without_softmax(case: Case) -> Iterator[Finding]:
    """A cross-entropy of classes behind an output that is no softmax."""
    for output in case.outputs:
        if not isinstance(output.loss, ClassLoss) or output.from_logits or output.activation in ("", "softmax"):
            continue
        if output.units < 2:
            continue  # one unit is another finding
        if output.activation == "sigmoid":
            why = (
                "sigmoids do not share a sum of 1, so the loss falls to almost 0 by raising all of them, whatever is "
                "right"
            )
            fix = "write Activation('softmax') last for one class of several, or loss='bce' where several may hold"
        else:
            why = "the loss takes logarithms of probabilities that add up to 1, and these numbers are none"
            fix = f"end the model with Activation('softmax'), or use loss={output.loss_name}(from_logits=True)"
            if output.activation not in ("linear", "states"):
                fix = "end the model with Dense(classes) and Activation('softmax')"
        yield Finding(
            "cce_without_softmax",
            f"{output.loss_name} stands behind {output.described}, which gives no probabilities of classes",
            why,
            fix,
            CERTAIN,
        )


def bce_without_sigmoid(case: Case) -> Iterator[Finding]:
    """A binary cross-entropy behind an output that is no sigmoid."""
    for output in case.outputs:
        if not isinstance(output.loss, BinaryCrossentropy) or output.from_logits:
            continue
        low, high = output.range
        if output.activation in ("", "sigmoid") or (output.activation == "softmax" and output.units < 2):
            continue
        if output.activation == "softmax":
            yield Finding(
                "bce_with_softmax",
                f"{output.loss_name} stands behind {output.described} of {output.units} units, which exclude each "
                "other",
                "the binary loss takes every unit as a question of its own, so the accuracy counts units, not samples",
                "write loss='cce' for one class of several, or Activation('sigmoid') where several may hold",
                LIKELY,
            )
        elif low < 0 or high > 1:
            yield Finding(
                "bce_without_sigmoid",
                f"{output.loss_name} stands behind {output.described}, which gives numbers outside 0 to 1",
                "the loss takes logarithms of probabilities; outside 0 to 1 its gradient is 0 and nothing is learned",
                f"end the model with Activation('sigmoid'), or use loss={output.loss_name}(from_logits=True)",
                CERTAIN,
            )


def activation_twice(case: Case) -> Iterator[Finding]:
    """A softmax or sigmoid that is applied twice: by two layers, or by a layer and a loss from logits."""
    for output in case.outputs:
        twice = (isinstance(output.loss, ClassLoss) and output.activation == "softmax") or (
            isinstance(output.loss, BinaryCrossentropy) and output.activation in ("sigmoid", "softmax")
        )
        if output.from_logits and twice:
            yield Finding(
                "activation_twice",
                f"{output.described} is followed by {output.loss_name}(from_logits=True), which applies its own",
                "probabilities taken for logits lie between 0 and 1, so the answer can never be certain and the loss "
                "stays high",
                f"leave out from_logits=True, or the {output.activation}",
                CERTAIN,
            )
        kind, node = output.activation, output.maker
        if kind in ("softmax", "sigmoid") and activation(maker(node.inputs[0]).layer) == kind:
            yield Finding(
                "activation_twice",
                f"{output.described} is a {kind} of a {kind}",
                "the second one sees numbers between 0 and 1 and makes them nearly equal",
                f"keep one {kind}",
                CERTAIN,
            )


def one_class(case: Case) -> Iterator[Finding]:
    """A loss of classes behind a single unit."""
    for output in case.outputs:
        if isinstance(output.loss, ClassLoss) and output.units == 1 and output.activation != "softmax":
            yield Finding(
                "one_class",
                f"{output.loss_name} stands behind {output.described} with 1 unit, and one class is always certain",
                "a cross-entropy of classes needs a probability for each of at least two",
                "use Activation('sigmoid') with loss='bce', or Dense(2) with Activation('softmax')",
                CERTAIN,
            )


def range_without_target(case: Case) -> Iterator[Finding]:
    """A loss whose targets or logarithms the output's range does not fit: hinges, counts, logarithmic errors."""
    for output in case.outputs:
        low, _ = output.range
        if not output.activation:
            continue
        if isinstance(output.loss, Hinge) and low >= 0:
            yield Finding(
                "hinge_cannot_be_met",
                f"{output.loss_name} stands behind {output.described}, which gives no number below 0",
                "the margin asks for -1 or less for a no, so the loss never reaches 0",
                "end the model with Dense(1) alone, or with Activation('tanh')",
                CERTAIN,
            )
        if isinstance(output.loss, Poisson | MeanSquaredLogarithmicError) and low < 0:
            yield Finding(
                "needs_positive_output",
                f"{output.loss_name} stands behind {output.described}, which may give numbers below 0",
                "the logarithm of a negative number does not exist; where the output is negative nothing is learned",
                "end the model with Activation('softplus')",
                LIKELY,
            )


def mse_on_softmax(case: Case) -> Iterator[Finding]:
    """A squared or absolute error behind a softmax."""
    for output in case.outputs:
        if output.activation == "softmax" and regresses(output.loss) and output.units > 1:
            yield Finding(
                "mse_on_softmax",
                f"{output.loss_name} stands behind {output.described}",
                "where a softmax is certain and wrong the gradient of this loss is almost 0, so what is wrong stays",
                "write loss='cce'",
                LIKELY,
            )


def accuracy_of_numbers(case: Case) -> Iterator[Finding]:
    """A metric of answers behind one number without an activation, learned by a loss of numbers."""
    for output in case.outputs:
        if not regresses(output.loss) or output.units != 1 or output.activation not in ("linear", "relu", "softplus"):
            continue
        for metric in output.metrics:
            if _counts_answers(metric):
                yield Finding(
                    "accuracy_of_numbers",
                    f"metric {metric.name!r} counts right answers, and {output.described} with {output.loss_name} "
                    "gives numbers",
                    "a number is hardly ever equal to its target, so an accuracy says nothing about a regression",
                    "use metrics=['mae'] or ['r2'], or for yes and no a sigmoid with loss='bce'",
                    CERTAIN,
                )


def _counts_answers(metric: object) -> bool:
    kinds = Accuracy, BinaryAccuracy, CategoricalAccuracy, F1Score, Precision, Recall, TopKCategoricalAccuracy
    return isinstance(metric, kinds)


def metric_does_not_fit(case: Case) -> Iterator[Finding]:
    """A metric of another kind of answer than the output gives."""
    for output in case.outputs:
        for metric in output.metrics:
            wrong = _misfit(output, metric)
            if wrong is not None:
                seen, fix = wrong
                yield Finding(
                    "metric_does_not_fit",
                    f"metric {metric.name!r} {seen}",
                    "it shows a number that looks good and means nothing",
                    fix,
                    LIKELY,
                )


def _misfit(output: Output, metric: object) -> tuple[str, str] | None:
    classes = isinstance(output.loss, ClassLoss)
    if isinstance(metric, BinaryAccuracy) and classes and output.units > 2:
        return (
            f"takes each of {output.units} classes as a yes or no of its own, so guessing shows "
            f"{percent(1 - 1 / output.units)}",
            "use metrics=['accuracy']",
        )
    if isinstance(metric, TopKCategoricalAccuracy) and metric.k >= output.units > 1:
        return f"asks for the best {metric.k} of {output.units} classes, which is always right", "use a smaller k"
    if isinstance(metric, CategoricalAccuracy) and not classes:
        if output.units == 1:
            return "looks for the largest of 1 unit, which is always the first", "use metrics=['accuracy']"
        if isinstance(output.loss, BinaryCrossentropy) and output.activation == "sigmoid":
            return (
                f"looks for one class of {output.units}, and behind sigmoids several may hold",
                "use metrics=['binary_accuracy'], or a softmax with loss='cce'",
            )
    return None
