"""Compiled programs compute what eager ones do, cut into any number of shards."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniDLF import GradientTape, Tensor, Variable, errors, function, gradient, ops
from miniDLF.engine import passes
from miniDLF.engine.program import trace
from miniDLF.tensor import SymbolicError
from tests.ops.cases import CASES, Case

every_case = pytest.mark.parametrize("case", CASES, ids=str)


def with_gradients(case: Case) -> Any:
    """Return a function of the case's inputs that gives its result, and the gradients of a weighted sum of it."""

    def run(*tensors: Tensor) -> Any:
        for tensor in tensors:
            tensor._watched = tensor.dtype.kind == "f"
        result = case.function(*tensors)
        if result.dtype.kind != "f" or not case.smooth:
            return result
        weights = np.cos(np.arange(result.size, dtype=float)).reshape(result.shape)
        sources = [tensor for tensor in tensors if tensor.dtype.kind == "f"]
        return result, gradient(np.square(result), sources, weights, unconnected="zero")

    return run


def flat(value: Any) -> list[np.ndarray]:
    if isinstance(value, (list, tuple)):
        return [array for one in value for array in flat(one)]
    return [value.numpy()]


@every_case
def test_compiled_is_eager(case: Case) -> None:
    arrays = case.arrays()
    run = with_gradients(case)
    expected = flat(run(*map(Tensor, arrays)))
    for shards in (1, 2):
        compiled = function(run, shards=shards)
        for _ in range(2):  # the second time on buffers that were used
            found = flat(compiled(*arrays))
            assert [array.shape for array in found] == [array.shape for array in expected]
            for a, b in zip(found, expected, strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


PROGRAMS: dict[str, Any] = {
    "mean square": lambda x, w: np.mean((x @ w) ** 2),
    "centred by the batch": lambda x, w: np.mean(np.abs(x @ w - np.mean(x @ w, axis=0))),
    "batch norm": lambda x, w: np.sum(
        np.tanh((x @ w - np.mean(x @ w, 0)) / np.sqrt(np.var(x @ w, axis=0) + 1e-3)) * np.arange(3.0)
    ),
    "largest of the batch": lambda x, w: np.sum(np.exp(x @ w - np.max(x @ w))),
    "softmax over the batch": lambda x, w: np.sum(ops.softmax(x @ w, axis=0) ** 2),
    "contrastive": lambda x, w: -np.sum(ops.log_softmax((x @ w) @ (x @ w).T)[np.arange(6), np.arange(6)]),
    "cross-entropy": lambda x, w: -np.mean(np.log(ops.softmax(x @ w))[:, 1]),
    "rows and columns": lambda x, w: np.sum((x @ w).T[1] * x[:, 0]),
    "penalty": lambda x, w: np.mean((x @ w) ** 2) + 0.1 * np.sum(w * w),
    "reshaped": lambda x, w: np.sum(np.reshape(np.reshape(x @ w, -1) * 2, (6, 3))[:, 1:] ** 3),
    "concatenated": lambda x, w: np.sum(np.concatenate([x @ w, x], axis=1) ** 2),
    "stacked samples": lambda x, w: np.sum(np.concatenate([x, x[::-1]], axis=0) @ w * np.ones((12, 3))),
    "shifted samples": lambda x, w: np.sum((x[1:] - x[:-1]) ** 2 @ w),
    "sorted samples": lambda x, w: np.sum(np.sort(x @ w, axis=0) * np.arange(18.0).reshape(6, 3)),
    "weights of samples": lambda x, w: np.sum(np.mean((x @ w) ** 2, axis=1) * np.linspace(0, 1, 6)),
    "einsum": lambda x, w: np.sum(np.einsum("ni,ij,nj->n", x, w, x @ w) ** 2),
    "argmax": lambda x, w: np.sum((x @ w) * ops.one_hot(np.argmax(x, axis=1), 3, dtype="float64")),
    "embedding": lambda x, w: np.sum(w[np.argmax(x, axis=1)] ** 2),
    "standard deviation": lambda x, w: np.std(x @ w),
    "two meetings": lambda x, w: np.sum((x - np.mean(x)) @ w / np.sqrt(np.mean((x - np.mean(x)) ** 2))),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_are_the_same_on_any_number_of_shards(name: str) -> None:
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(6, 4)), rng.normal(size=(4, 3))

    def run(x: Tensor) -> Any:
        loss = PROGRAMS[name](x, weight)
        return loss, gradient(loss, [weight, x], unconnected="zero")

    weight = Variable(w)
    with GradientTape() as tape:
        watched = Tensor(x)
        tape.watch(watched)
        loss = PROGRAMS[name](watched, weight)
    expected = [loss, *tape.gradient(loss, [weight, watched], unconnected="zero")]
    for shards in (1, 2, 4):
        for found, wanted in zip(flat(function(run, shards=shards)(x)), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_what_mixes_samples_runs_in_one_piece_and_says_so() -> None:
    x = np.ones((6, 4))
    alone = function(lambda x: np.sum(ops.softmax(x @ x.T)), shards=2).plan_report(x)
    assert alone.shards == 1
    assert "mixes samples" in str(alone)
    apart = function(lambda x: np.sum(np.exp(x - np.mean(x, axis=0))), shards=2).plan_report(x)
    assert (apart.shards, apart.meetings, apart.reasons) == (2, 1, [])


# Random programs ------------------------------------------------------------------------------------------------------

UNARY = [
    np.tanh, np.exp, np.negative, np.square, ops.sigmoid, ops.relu, ops.softmax,
    lambda x: x * 2.0, lambda x: x - 1, lambda x: x.T.T, lambda x: np.reshape(np.reshape(x, -1), x.shape),
    lambda x: x + 0, lambda x: x * 1, lambda x: x / 4.0, lambda x: np.negative(-x),
    lambda x: x - np.mean(x, axis=0), lambda x: np.flip(x, 1), lambda x: x[:, ::-1] + x,
]  # fmt: skip
BINARY = [np.add, np.subtract, np.multiply, np.maximum, lambda a, b: a @ b.T @ b, lambda a, b: np.where(a > b, a, b),
          lambda a, b: a - (-b), lambda a, b: a + (-b)]  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=12))
def test_random_programs_are_the_same_with_and_without_passes_and_shards(choices: list[tuple[int, int, int]]) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 3)) * 0.5, rng.normal(size=(4, 3)) * 0.5

    def run(x: Tensor, w: Tensor) -> Any:
        values = [x, w]
        for kind, a, b in choices:
            left, right = values[a % len(values)], values[b % len(values)]
            every = len(UNARY) + len(BINARY)
            index = kind % every
            value = UNARY[index](left) if index < len(UNARY) else BINARY[index - len(UNARY)](left, right)
            values.append(np.clip(value, -3, 3))
        loss = sum(np.mean(value) for value in values)
        return loss, gradient(loss, [x, w])

    tensors = [Tensor(x), Tensor(w)]
    for tensor in tensors:
        tensor._watched = True
    expected = flat(run(*tensors))
    kept = passes.PASSES
    for chosen in (kept, (), *((one,) for one in set(kept))):
        import miniDLF.engine.function as compiling

        compiling.PASSES = chosen
        try:
            for shards in (1, 2):
                for found, wanted in zip(flat(function(run, shards=shards)(x, w)), expected, strict=True):
                    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)
        finally:
            compiling.PASSES = kept


# The function itself --------------------------------------------------------------------------------------------------


def test_arguments_and_results_of_any_structure() -> None:
    calls = []

    @function
    def run(data: Any, scale: float, power: int = 1, *, name: str = "a") -> Any:
        calls.append(name)
        x, y = data["x"], data["y"]
        return {"sum": x + y * scale, name: [x**power, None], "tuple": (x, 3)}

    data = {"x": np.ones(3, np.float32), "y": Tensor([1.0, 2.0, 3.0])}
    found = run(data, 0.5, power=2, name="b")
    assert found["sum"].tolist() == [1.5, 2, 2.5]
    assert found["b"][0].tolist() == [1, 1, 1]
    assert found["b"][1] is None
    assert int(found["tuple"][1]) == 3
    run(data, 0.25, power=2, name="b")
    assert calls == ["b"]
    run(data, 0.25, power=3, name="c")
    assert calls == ["b", "c"]


def test_shapes_get_plans_of_their_own_and_old_ones_make_room() -> None:
    run = function(lambda x: np.sum(x * x))
    for length in range(1, 40):
        assert float(run(np.ones(length))) == length
    assert len(run._plans) <= 16

    def many() -> None:
        for length in range(40, 80):
            run(np.ones(length))

    with pytest.warns(UserWarning, match="was recorded 64 times"):
        many()


def test_variables_are_read_and_set_at_every_call() -> None:
    v, steps = Variable([1.0, 2.0]), Variable(0, trainable=False)

    @function
    def double() -> Any:
        v.assign(v * 2)
        steps.assign_add(1)
        return np.sum(v.value), v.value * 1

    assert float(double()[0]) == 6
    assert v.tolist() == [2, 4]
    v.assign([5.0, 5.0])
    assert float(double()[0]) == 20
    assert (v.tolist(), int(steps)) == ([10, 10], 2)


def test_flow_that_depends_on_numbers_is_refused_with_the_line() -> None:
    @function
    def run(x: Any) -> Any:
        return x if np.sum(x) > 0 else -x

    with pytest.raises(SymbolicError, match=r"test_compiled\.py, line \d+ \(in run\).*ops\.where"):
        run(np.ones(3))
    assert function(run.python, run_eagerly=True)(Tensor(np.ones(3))).tolist() == [1, 1, 1]


def test_symbolic_tensors_kept_from_another_program_are_refused() -> None:
    kept = []

    @function
    def first(x: Any) -> Any:
        kept.append(x * 2)
        return x

    first(np.ones(2))
    with pytest.raises(errors.MiniDLFError, match="another program"):
        function(lambda x: x + kept[0])(np.ones(2))


def test_compiled_functions_nest_and_are_methods() -> None:
    class Net:
        def __init__(self, scale: float) -> None:
            self.weight = Variable(scale)

        @function
        def call(self, x: Any) -> Any:
            return x * self.weight

    a, b = Net(2.0), Net(3.0)
    both = function(lambda x: a.call(x) + b.call(x))
    assert both(np.ones(2)).tolist() == [5, 5]
    assert (a.call(np.ones(1)).tolist(), b.call(np.ones(1)).tolist()) == ([2], [3])


def test_calls_from_many_threads_do_not_meet() -> None:
    run = function(lambda x: np.sum(np.tanh(x) * 2))
    expected = {n: 2 * np.sum(np.tanh(np.full(50, n / 10))) for n in range(8)}
    wrong = []

    def work(n: int) -> None:
        for _ in range(50):
            if abs(float(run(np.full(50, n / 10))) - expected[n]) > 1e-9:
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_results_belong_to_the_caller() -> None:
    run = function(lambda x: (x + 1, x))
    first = run(np.zeros(2))
    run(np.ones(2))
    assert first[0].tolist() == [1, 1]
    assert first[1].tolist() == [0, 0]


def test_memory_is_shared_and_the_report_shows_it() -> None:
    def deep(x: Any) -> Any:
        for _ in range(20):
            x = np.tanh(x @ np.eye(8))
        return np.sum(x)

    report = function(deep).plan_report(np.ones((64, 8)))
    assert report.nbytes < report.asked / 5
    assert "operations as recorded" in str(report)
    assert repr(report) == str(report)
    assert report.kinds["Tanh"] == 20


def test_equal_operations_are_done_once() -> None:
    program, _ = trace(lambda x: np.exp(x) + np.exp(x) * 1.0, [((3,), "float64")])
    for improve in passes.PASSES:
        program = improve(program)
    assert [operation.primitive.name for operation in program.operations] == ["Exp", "Add"]


@pytest.mark.parametrize("shards", [1, 2])
def test_fixed_shards_give_the_same_bits_on_any_number_of_threads(shards: int) -> None:
    from miniDLF import get_threads, set_threads

    x = np.random.default_rng(0).normal(size=(64, 32)).astype("float32")
    weight = Variable(np.random.default_rng(1).normal(size=(32, 8)).astype("float32"))

    def run(x: Any) -> Any:
        loss = np.mean(np.tanh(x @ weight) ** 2)
        return loss, gradient(loss, weight)

    before, found = get_threads(), []
    try:
        for threads in (1, 2, 3):
            set_threads(threads)
            found.append([array.tobytes() for array in flat(function(run, shards=shards)(x))])
    finally:
        set_threads(before)
    assert found[0] == found[1] == found[2]


def test_numbers_of_variables_are_not_read_while_a_program_is_recorded() -> None:
    v = Variable(2.0, name="rate")
    for ask in (lambda: float(v), lambda: v.numpy(), lambda: bool(v), lambda: np.asarray(v), lambda: v.item()):
        with pytest.raises(SymbolicError, match=r"test_compiled\.py, line \d+ .*'rate'.*run_eagerly"):
            function(lambda x, ask=ask: x * ask())(np.ones(2))
