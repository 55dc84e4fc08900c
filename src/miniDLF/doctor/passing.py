"""Checks of one pass through the model: dead and saturated units, gradients, the first loss, penalties, symmetry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from miniDLF.core.graph import Node
from miniDLF.doctor.case import Case
from miniDLF.doctor.findings import CERTAIN, LIKELY, Finding, percent
from miniDLF.doctor.outputs import activation, regresses
from miniDLF.kernels.workspace import Array

#: Shares of the units of a layer from which it is told, by how many rows were looked at.
MUCH_DEAD, MOSTLY_DEAD, FEW_ROWS = 0.6, 0.95, 32
#: A tanh beyond this is saturated, and a sigmoid as near to its ends.
SATURATED = 0.99
#: How many times the loss of guessing a first loss may be; of squares, the numbers may be as many times as far away.
FAR_ABOVE, FAR_ABOVE_SQUARED = 10.0, 100.0
#: The norm of a layer's gradients, over the loss, from which they explode; and the ratio from which they vanish.
EXPLODES, VANISHES = 1e3, 1e-5
#: How many times the loss of guessing penalties may be.
MUCH_PENALTY = 10.0


def units_dead(case: Case) -> Iterator[Finding]:
    """Rectified units that answer no sample."""
    found = []
    for node, values in _hidden(case, "relu"):
        alive = values > 0
        dead = float(np.mean(~alive.any(axis=_but_units(node))))
        if dead >= (MUCH_DEAD if len(values) >= FEW_ROWS else MOSTLY_DEAD):
            found.append(f"{percent(dead)} of {_units(node)} in {_name(case, node)!r}")
    if found and case.passed is not None and not case.learned(case.passed.loss):
        yield Finding(
            "units_dead",
            f"rectified units give 0 for every one of {case.passed.rows} samples: {', '.join(found)}",
            "a unit that is 0 for all samples has no gradient, so it stays so",
            "lower the learning rate, scale the inputs, look for large negative biases, or use 'elu' or "
            "ReLU(alpha=0.1)",
            LIKELY,
        )


def units_saturated(case: Case) -> Iterator[Finding]:
    """Sigmoids and tanh units that stand at their ends for nearly all samples."""
    found = []
    for kind in ("tanh", "sigmoid"):
        for node, values in _hidden(case, kind):
            away = np.abs(values) if kind == "tanh" else np.abs(2 * values - 1)
            share = float(np.mean((away > SATURATED).mean(axis=_but_units(node)) >= 0.9))
            if share >= (0.5 if len(values) >= FEW_ROWS else MOSTLY_DEAD):
                found.append(f"{percent(share)} of {_units(node)} in {_name(case, node)!r}")
    if found and case.passed is not None and not case.learned(case.passed.loss):
        yield Finding(
            "units_saturated",
            f"units stand at the end of their range for nearly all of {case.passed.rows} samples: {', '.join(found)}",
            "there the derivative is almost 0, so hardly any gradient passes",
            "scale the inputs to about 1, draw smaller weights ('glorot_uniform'), lower the learning rate, or put "
            "BatchNormalization() before the activation",
            LIKELY,
        )


def _hidden(case: Case, kind: str) -> Iterator[tuple[Node, Array]]:
    if case.data is not None and all((values == values[:1]).all() for values in case.data.inputs):
        return  # of one input nothing can be told
    ends = {output.maker for output in case.outputs}
    for node, values in case.passed.values.items() if case.passed is not None else ():
        if activation(node.layer) == kind and node not in ends and node.shape and len(values) >= 16:
            yield node, values


def _but_units(node: Node) -> tuple[int, ...]:
    """Return the axes of values (N, ...) that are not that of units: the first of images, the last of all else."""
    axes = range(len(node.shape) + 1)
    unit = 1 if len(node.shape) == 3 else len(node.shape)
    return tuple(axis for axis in axes if axis != unit)


def _units(node: Node) -> int:
    return int(node.shape[0] if len(node.shape) == 3 else node.shape[-1])


def _name(case: Case, node: Node) -> str:
    return "" if node.layer is None else case.graph.names[node.layer]


def loss_far_above_guessing(case: Case) -> Iterator[Finding]:
    """A loss that is far above that of answering the same to everything."""
    if case.passed is None or case.guessed is None or case.passed.rows < 8:
        return
    (output,) = case.outputs
    floor = case.guessed
    if output.loss.classifies == "categorical":
        steps = max(1, int(np.prod(output.node.shape[:-1])))
        floor = max(floor, np.log(output.units) * (steps if getattr(output.loss, "over_time", "") == "sum" else 1))
    elif output.loss.classifies == "binary":
        floor = max(floor, np.log(2))
    factor = FAR_ABOVE_SQUARED if regresses(output.loss) else FAR_ABOVE
    if floor > 0 and case.passed.loss > factor * floor:
        yield Finding(
            "loss_far_above_guessing",
            f"the loss is {case.passed.loss:.4g}, and who guesses the same for every sample has {floor:.4g}",
            "the model is certain of wrong answers before it has learned any, and the first steps go into undoing that",
            "scale inputs and targets to about 1, draw smaller weights, or lower the learning rate",
            LIKELY,
        )


def _by_layer(gradients: Mapping[str, Array]) -> dict[str, list[tuple[str, Array]]]:
    result: dict[str, list[tuple[str, Array]]] = {}
    for path, gradient in gradients.items():
        result.setdefault(path.rpartition("/")[0], []).append((path, gradient))
    return result


def units_alike(case: Case) -> Iterator[Finding]:
    """Units of a hidden layer with the same weights and the same gradients: they stay one unit."""
    found = []
    for path, gradient in case.passed.gradients.items() if case.passed is not None else ():
        weight = case.weights.get(path)
        if weight is None or not path.endswith("weight") or gradient.ndim not in (2, 4):
            continue
        axis = 1 if gradient.ndim == 2 else 0
        if gradient.shape[axis] < 2 or _feeds_output(case, path):
            continue
        if _alike(weight, axis) and _alike(gradient, axis, 1e-4):
            found.append(path)
    if found:
        yield Finding(
            "units_alike",
            f"all units of {_paths(found)} have the same weights and the same gradients",
            "each step changes them alike, so a layer of many units does what one would",
            "draw the weights: weight_initializer='he_normal' (biases may be 0)",
            CERTAIN,
        )


def _feeds_output(case: Case, path: str) -> bool:
    """Say whether the parameter is one of a layer that makes an output: there equal weights do no harm."""
    owner = path.rpartition("/")[0]
    for output in case.outputs:
        node = output.maker
        while node.layer is not None and not node.layer.parameters and len(node.inputs) == 1:
            node = node.inputs[0]
        if node.layer is not None and case.graph.names[node.layer] == owner:
            return True
    return False


def _alike(array: Array, axis: int, tolerance: float = 0.0) -> bool:
    first = array.take([0], axis=axis)
    if not np.allclose(array.take([1], axis=axis), first, rtol=1e-3, atol=0):
        return False  # as a rule
    return bool(np.abs(array - first).max() <= tolerance * np.abs(array).max())


def _paths(names: list[str], most: int = 6) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def gradients_zero(case: Case) -> Iterator[Finding]:
    """Layers that get no gradient at all, where the loss is not 0."""
    passed = case.passed
    if passed is None or passed.loss <= 1e-6 or not all(output.weight for output in case.outputs):
        return
    layers = _by_layer(passed.gradients)
    still = [name for name, parts in layers.items() if not any(gradient.any() for _, gradient in parts)]
    # A branch that begins as 0 lets a gradient through as soon as its last weights have moved.
    opens = any(
        gradient.any() and not case.weights[path].any()
        for path, gradient in passed.gradients.items()
        if path in case.weights and not path.endswith(("bias", "beta"))
    )
    if still and not opens:
        whole = len(still) == len(layers)
        yield Finding(
            "gradients_zero",
            f"the gradients of {'all layers' if whole else _paths(still)} are exactly 0, at a loss of "
            f"{passed.loss:.4g}",
            "what has no gradient does not change",
            "look for dead or saturated units and zero weights behind these layers, and for a loss that does not fit "
            "the output",
            CERTAIN,
        )


def gradients_explode(case: Case) -> Iterator[Finding]:
    """Layers whose gradients are far larger than the loss."""
    passed = case.passed
    if passed is None:
        return
    sizes = _norms(passed.gradients)
    large = {name: size for name, size in sizes.items() if size > EXPLODES * max(passed.loss, 1.0)}
    if large:
        worst = sorted(large, key=lambda name: -large[name])[:3]
        yield Finding(
            "gradients_explode",
            "the gradients of "
            + ", ".join(f"{name!r} have the norm {large[name]:.3g}" for name in worst)
            + f", at a loss of {passed.loss:.4g}",
            "one step throws the weights far away from where the gradient was true",
            "clip them: optimizer=ClipGlobalNorm('adam', 1.0); scale the inputs; in recurrent layers use an "
            "orthogonal recurrent_initializer, LSTM or GRU",
            LIKELY,
        )


def gradients_vanish(case: Case) -> Iterator[Finding]:
    """Early layers whose gradients are next to nothing beside those of the last."""
    if case.passed is None:
        return
    # Of matrices alone: in front of a normalisation the gradients of vectors are 0 but for rounding.
    sizes = {
        path: max(float(gradient.max()), -float(gradient.min()))
        for path, gradient in case.passed.gradients.items()
        if gradient.ndim > 1
    }
    large = max(sizes.values(), default=0.0)
    small = [name for name, size in sizes.items() if 0 < size < VANISHES * large]
    if small and case.passed.loss > 1e-3:
        yield Finding(
            "gradients_vanish",
            f"no gradient of {_paths(small)} is larger than {max(sizes[name] for name in small):.3g}, and the largest "
            f"of all is {large:.3g}",
            "these layers stay as they were drawn",
            "use 'relu' or 'elu' in place of sigmoid and tanh, BatchNormalization() between the layers, or short cuts "
            "(Add)",
            LIKELY,
        )


def _norms(gradients: Mapping[str, Array]) -> dict[str, float]:
    return {
        name: float(np.sqrt(sum(float(gradient.reshape(-1).dot(gradient.reshape(-1))) for _, gradient in parts)))
        for name, parts in _by_layer(gradients).items()
    }


def penalties_rule(case: Case) -> Iterator[Finding]:
    """Penalties on weights that are far larger than the loss."""
    passed, guessed = case.passed, case.guessed
    if passed is None or guessed is None or passed.penalty <= MUCH_PENALTY * max(guessed, passed.loss, 1e-12):
        return
    yield Finding(
        "penalties_rule",
        f"the penalties on weights are {passed.penalty:.4g}, and the loss itself is {passed.loss:.4g}",
        "the optimizer shrinks the weights to 0 first, and what the loss asks for is lost in that",
        "use a smaller regularizer, for example L2(1e-4)",
        LIKELY,
    )
