"""The contract of every operation: its shape rule, its formula, its derivative, and the derivative of that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from miniDLF import ops
from miniDLF.tensor import Primitive, Tensor, gradient, placeholder
from miniDLF.tensor.gradients import history
from miniDLF.tensor.rules import known
from tests.ops.cases import CASES, Case

every_case = pytest.mark.parametrize("case", CASES, ids=str)


def watched(arrays: list[np.ndarray]) -> list[Tensor]:
    tensors = [Tensor(array) for array in arrays]
    for tensor in tensors:
        tensor._watched = tensor.dtype.kind == "f"
    return tensors


@every_case
def test_result_is_that_of_plain_numpy(case: Case) -> None:
    arrays = case.arrays()
    assert case.reference is not None
    with np.errstate(all="ignore"):
        expected = case.reference(*arrays)
    found = case.function(*map(Tensor, arrays))
    assert isinstance(found, Tensor)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


@every_case
def test_float32_stays_float32(case: Case) -> None:
    arrays = case.arrays("float32")
    found = case.function(*map(Tensor, arrays))
    if case.name in ("cast", "one_hot", "one_hot in front", "multi_hot"):
        assert found.dtype == np.float64
    else:
        assert found.dtype in (np.float32, np.bool_, np.intp)


@every_case
def test_symbolic_tensor_has_the_shape_and_type_of_the_result(case: Case) -> None:
    for dtype in ("float32", "float64"):
        arrays = case.arrays(dtype)
        real = case.function(*map(Tensor, arrays))
        symbolic = case.function(*(placeholder(array.shape, array.dtype) for array in arrays))
        assert symbolic.is_symbolic or case.name.endswith("_like")
        assert (symbolic.shape, symbolic.dtype) == (real.shape, real.dtype)


@every_case
def test_inputs_are_left_alone_in_any_memory_order(case: Case) -> None:
    arrays = case.arrays()
    before = [array.copy() for array in arrays]
    expected = case.function(*map(Tensor, arrays)).numpy()
    other = [Tensor(np.asfortranarray(array)) for array in arrays]
    np.testing.assert_allclose(case.function(*other).numpy(), expected, rtol=1e-12, atol=1e-14)
    assert all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(arrays, before, strict=True))


@every_case
def test_gradient_agrees_with_finite_differences(case: Case) -> None:
    if "not a number" in case.tags:
        return
    if not case.smooth:
        tensors = watched(case.arrays())
        result = case.function(*tensors)
        if result.dtype.kind == "f" and result.has_history:
            found = gradient(result, [t for t in tensors if t._watched], unconnected="zero")
            assert all(not one.numpy().any() for one in found)
        return
    check = ops.check_gradients(case.function, *case.arrays())
    assert check, str(check)


@every_case
def test_gradient_of_the_gradient_agrees_with_finite_differences(case: Case) -> None:
    if not (case.smooth and case.twice):
        return

    def slope(*tensors: Tensor) -> Tensor:
        for tensor in tensors:
            tensor._watched = tensor.dtype.kind == "f"
        result = np.square(case.function(*tensors))  # so that linear ones have a second derivative, too
        weights = np.cos(np.arange(result.size, dtype=float)).reshape(result.shape)
        found = gradient(result, [t for t in tensors if t._watched], weights, unconnected="zero")
        return sum(np.sum(one * np.sin(np.arange(one.size, dtype=float)).reshape(one.shape)) for one in found)

    check = ops.check_gradients(slope, *case.arrays(seed=1), tolerance=1e-4)
    assert check, str(check)


@every_case
def test_evaluation_into_a_given_array_is_the_same(case: Case) -> None:
    """What a plan does: each operation writes where it is told."""
    result = case.function(*watched(case.arrays()))
    for operation in history([result]):
        inputs = [tensor.numpy() for tensor in operation.inputs]
        if operation.primitive.outputs > 1:
            continue
        expected = operation.arrays[0]
        out = np.full(operation.shapes[0], 7).astype(operation.dtypes[0])
        operation.primitive.evaluate(*inputs, out=out)
        np.testing.assert_array_equal(out, expected)
        assert operation.primitive.shape(*(array.shape for array in inputs)) == out.shape
        assert operation.primitive.flops(*(array.shape for array in inputs)) >= 0


def _primitives(base: Any = Primitive) -> set[type[Primitive]]:
    found = set()
    for one in base.__subclasses__():
        found |= {one} | _primitives(one)
    return found


def _used_in(case: Case) -> set[str]:
    inputs = [placeholder(array.shape, array.dtype) for array in case.arrays()]
    result = case.function(*inputs)
    targets = [result]
    if result.dtype.kind == "f" and result.is_symbolic:
        found = gradient(result, [t for t in inputs if t.dtype.kind == "f"], unconnected="none")
        targets += [one for one in found if one is not None]
    return {type(operation.primitive).__name__ for operation in history(targets)}


def test_every_primitive_and_every_public_operation_has_a_case() -> None:
    used = set().union(*map(_used_in, CASES))
    abstract = {"Elementwise", "Predicate", "Reduction", "Indexed", "Sliding", "Several"} | {
        "Draw",
        "Keep",
    }  # random ones: test_random.py
    here = {one.__name__ for one in _primitives() if one.__module__.startswith("miniDLF.ops")}
    assert here - abstract <= used


def test_every_function_of_numpy_that_has_a_rule_is_tried() -> None:
    tried: set[Any] = set()

    class Spy(Tensor):
        __slots__ = ()

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
            tried.add(ufunc)
            return super().__array_ufunc__(ufunc, method, *map(plain, inputs), **keywords)

        def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
            tried.add(function)
            return super().__array_function__(function, types, plain(arguments), keywords)

    def plain(value: Any) -> Any:
        if isinstance(value, Spy):
            return Tensor(value.numpy())
        return type(value)(map(plain, value)) if isinstance(value, (list, tuple)) else value

    for case in CASES:
        case.function(*map(Spy, case.arrays()))
    aliases = {np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.shape, np.size, np.ndim, np.array_split}
    rules = {rule for rule in known() if not isinstance(rule, str)}
    names = {getattr(rule, "__name__", "") for rule in rules - tried - aliases}
    assert not names, names
