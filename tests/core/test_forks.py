"""Forks of a program that uses processes: memory that they share with their parent is none of theirs."""

from __future__ import annotations

import contextlib
import os
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest

from miniDLF.core import executor
from miniDLF.errors import NotReadyError
from miniDLF.kernels.sharing import use_processes
from tests.core.test_free_threading import same
from tests.core.test_helpers import X, Y, fitted, made, two_threads

__all__ = ["two_threads"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can fork processes safely")


def in_child(work: Any) -> int:
    """Do some work in a fork; return its exit status: 0 where it was true."""
    child = os.fork()
    if child == 0:
        status = 2
        with contextlib.suppress(BaseException):
            status = 0 if work() else 1
        os._exit(status)
    return child


def ended(*children: int) -> bool:
    return all(os.waitpid(child, 0)[1] == 0 for child in children)


@pytest.mark.parametrize(
    ("trained", "afterwards", "rows"), [(True, True, 96), (True, False, 96), (False, True, 96), (False, False, 1)]
)
def test_children_predict_in_memory_of_their_own(trained: bool, afterwards: bool, rows: int) -> None:
    """Each has inputs of its own, and the parent others meanwhile; nobody may get numbers of anybody else."""
    use_processes()
    model = made("normalised images")
    model.build((64,))
    if trained:
        fitted(model, 1)
    inputs = [np.ascontiguousarray(X[:rows] * factor) for factor in (1, -1, 2, 0.5)]
    expected = [model.predict(x) for x in inputs]
    use_processes(afterwards)

    def right(number: int) -> bool:
        return all(np.array_equal(model.predict(inputs[number]), expected[number]) for _ in range(30))

    children = [in_child(partial(right, number)) for number in range(3)]
    assert right(3)
    assert ended(*children)


def test_what_a_child_sets_does_not_reach_its_parent() -> None:
    use_processes()
    model = fitted(made("normalised vectors"))
    weights, expected = model.get_weights(), model.predict(X)

    def sets_and_checks() -> bool:
        mine = [2 * weight for weight in weights]
        model.set_weights(mine)
        model.layers[0].weight.value = mine[0] * 2
        other = not np.array_equal(model.predict(X), expected)
        again = in_child(lambda: model.set_weights(weights) is None and np.array_equal(model.predict(X), expected))
        return other and ended(again) and np.array_equal(model.get_weights()[0], mine[0] * 2)

    assert ended(in_child(sets_and_checks))
    assert same(model.get_weights(), weights)
    assert np.array_equal(model.predict(X), expected)
    fitted(model, 1)


@pytest.mark.parametrize(
    ("train", "small", "afterwards"),
    [("fit", True, False), ("fit", False, True), ("train_on_batch", True, True), ("gradients", False, False)],
)
def test_a_child_is_told_that_its_model_belongs_to_its_parent(
    train: str, small: bool, afterwards: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_processes()
    model = fitted(made("dropout"))
    if small:
        monkeypatch.setattr(executor, "SMALL_STEP", 10**12)
        fitted(model, 1)
    use_processes(afterwards)
    weights = model.get_weights()
    state = [array.copy() for array in model.engine().updater.state.values()]

    def refused() -> bool:
        model.predict(X)  # which is allowed, and does not make the rest so
        options = {"verbose": 0} if train == "fit" else {}
        try:
            getattr(model, train)(X[:25], Y[:25], **options)
        except NotReadyError as error:
            return "forked" in str(error) and "compile" in str(error)
        return False

    assert ended(in_child(refused))
    assert same(model.get_weights(), weights)
    assert same(state, list(model.engine().updater.state.values()))
    fitted(model, 1)


def test_a_child_that_compiles_again_trains_by_itself() -> None:
    use_processes()
    model = fitted(made("dropout"))
    weights = model.get_weights()

    def trains() -> bool:
        use_processes(False)
        model.compile("cce", "adam")
        model.fit(X, Y, epochs=1, batch_size=25, verbose=0)
        return not same(model.get_weights(), weights)

    assert ended(in_child(trains))
    assert same(model.get_weights(), weights)


def test_a_child_of_a_program_without_processes_trains_its_copy() -> None:
    model = fitted(made("dropout"))
    weights = model.get_weights()
    use_processes()  # for models made from now on; the memory between layers may be shared all the same
    model.predict(X)

    def trains() -> bool:
        fitted(model, 1)
        return not same(model.get_weights(), weights)

    assert ended(in_child(trains))
    assert same(model.get_weights(), weights)
    fitted(model, 1)
