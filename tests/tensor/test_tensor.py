"""Tensors by themselves: what they hold, how types meet, what they refuse."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from scipy.special import erf

from miniDLF import Tensor, Variable, errors, function, ops
from miniDLF.tensor import SymbolicError, placeholder
from miniDLF.tensor.recording import Recording, recording


def test_lists_and_numbers_are_float32_and_arrays_keep_their_type() -> None:
    assert Tensor([1.5, 2]).dtype == Tensor(0.5).dtype == np.float32
    assert Tensor(np.zeros(3)).dtype == np.float64
    assert Tensor([1, 2]).dtype.kind == "i"
    assert Tensor([True]).dtype == np.bool_
    assert Tensor([1, 2], "float32").dtype == np.float32


def test_a_tensor_is_a_copy() -> None:
    array = np.ones(3)
    tensor = Tensor(array)
    array[0] = 5
    assert tensor.tolist() == [1, 1, 1]


@pytest.mark.parametrize("other", [2, 0.5, np.float64(0.5), np.ones(2), np.int64(3), True, [0.5, 1]])
def test_constants_take_the_type_of_the_tensor_they_meet(other: object) -> None:
    x = Tensor(np.ones(2, np.float32))
    for result in (x + other, other * x, x - other, np.maximum(x, other), x / 2 + other):
        assert result.dtype == np.float32


def test_whole_numbers_stay_whole_until_fractions_are_needed() -> None:
    n = Tensor(np.array([1, 2], np.int32))
    assert (n + 1).dtype == (n * n).dtype == (2 * n).dtype == (n // 2).dtype == np.int32
    assert (n * 0.5).dtype == (n / 2).dtype == np.exp(n).dtype == np.mean(n).dtype == np.float32
    assert (n * Tensor(np.ones(2, np.float16))).dtype == np.float16
    assert (Tensor([True, False]) + 1).dtype.kind == "i"


def test_arrays_of_numpy_on_the_left_ask_the_tensor() -> None:
    x = Tensor(np.ones((2, 2), np.float32))
    assert isinstance(np.ones((2, 2)) @ x, Tensor)
    assert isinstance(np.float64(2) * x, Tensor)
    assert isinstance(np.ones(2) - x, Tensor)
    assert (np.ones(2) > x).dtype == np.bool_


def test_numbers_come_out() -> None:
    t = Tensor([[1, 2], [3, 4]])
    assert float(t[0, 1]) == 2.0
    assert int(t[1, 0]) == 3
    assert t[1, 1].item() == 4
    assert t.tolist() == [[1, 2], [3, 4]]
    assert np.asarray(t).tolist() == [[1, 2], [3, 4]]
    assert [row.tolist() for row in t] == [[1, 2], [3, 4]]
    assert len(t) == 2
    assert 3 in t
    assert bool(Tensor(True))
    assert f"{Tensor(0.25):.1f}" == "0.2"
    assert repr(Tensor([1, 2])) == "Tensor([1, 2], shape=(2,), dtype=int64)"
    assert t.T.shape == t.transpose(1, 0).shape == t.transpose((1, 0)).shape == (2, 2)
    assert t.reshape(4).shape == t.reshape(-1).shape == t.reshape((2, 2)).reshape(4).shape == (4,)


def test_unclear_numbers_are_refused() -> None:
    with pytest.raises(errors.ShapeError, match=r"4 elements"):
        float(Tensor(np.ones((2, 2))))
    with pytest.raises(errors.ArgumentTypeError, match="masked"):
        Tensor(np.ma.masked_equal([1, 2], 2))
    with pytest.raises(errors.ArgumentTypeError, match="real numbers"):
        Tensor(["a"])
    with pytest.raises(errors.ArgumentTypeError, match=r"np\.where"):
        Tensor([1.0, 2.0])[0] = 5
    with pytest.raises(errors.ArgumentTypeError, match="out="):
        np.add(Tensor([1.0]), 1.0, out=np.zeros(1))


def test_symbolic_tensors_have_no_numbers_and_say_where_they_were_asked() -> None:
    x = placeholder((2, 3), "float32")
    assert (x @ np.ones((3, 4))).shape == (2, 4)
    for ask in (float, bool, np.asarray, lambda t: t.item(), int):
        with recording(Recording()), pytest.raises(SymbolicError, match=r"test_tensor\.py, line \d+ .*ops\.where"):
            ask(np.sum(x))
    with pytest.raises(errors.ArgumentTypeError, match=r"ops\.where"):
        x[x > 0]


def test_functions_without_a_rule_name_the_nearest() -> None:
    with pytest.raises(errors.ArgumentTypeError, match=r"np\.nancumsum has no rule.*nearest that has is np\.\w*sum"):
        np.nancumsum(Tensor([1.0]))
    with pytest.raises(errors.ArgumentTypeError, match="keepdims|where"):
        np.sum(Tensor([1.0]), where=[True])


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda t: t + np.ones(4), r"\(2, 3\) and \(4,\)"),
        (lambda t: t @ np.ones((4, 2)), r"lengths must be equal"),
        (lambda t: t.reshape(4, 2), r"6 elements"),
        (lambda t: t.reshape(-1, -1), "one may be -1"),
        (lambda t: t.sum(axis=2), "axis 2 of a tensor with 2 axes"),
        (lambda t: t.sum(axis=(0, 0)), "twice"),
        (lambda t: np.concatenate([t, np.ones((2, 2))], axis=0), "differ in more than axis 0"),
        (lambda t: np.stack([t, t[0]]), "one shape"),
        (lambda t: t[5], "out of bounds"),
        (lambda t: t[0.5], "whole numbers"),
        (lambda t: np.einsum("ij,jk", t, np.ones((2, 2))), "'j' has the lengths 3 and 2"),
        (lambda t: np.einsum("ii", t), "twice"),
        (lambda t: np.squeeze(t, 0), "not 1"),
        (lambda t: np.broadcast_to(t, (3, 3)), "cannot be repeated"),
        (lambda t: np.split(t, 2, axis=1), "equal parts"),
        (lambda t: np.transpose(t, (0, 0)), "no order"),
        (lambda t: ops.one_hot(t, 3), "whole numbers"),
        (lambda t: t[:0].max(), "nothing"),
    ],
)
def test_shapes_that_do_not_fit_are_explained(call: object, expected: str) -> None:
    for tensor in (Tensor(np.ones((2, 3))), placeholder((2, 3), "float64")):
        with pytest.raises(errors.MiniDLFError, match=expected):
            call(tensor)  # type: ignore[operator]


def test_empty_tensors_keep_their_shapes() -> None:
    x = Tensor(np.zeros((0, 3), np.float32))
    assert np.exp(x).shape == (0, 3)
    assert (x @ np.ones((3, 2))).shape == (0, 2)
    assert x.sum(axis=0).tolist() == [0, 0, 0]
    assert np.concatenate([x, x]).shape == (0, 3)
    assert np.isnan(x.mean())
    assert x.reshape(0, 3).shape == (0, 3)


def test_extreme_numbers_are_exact() -> None:
    far = Tensor(np.array([-3e38, -1e3, -30.0, 0, 30, 1e3, 3e38], np.float32))
    assert np.all(np.isfinite(ops.silu(far)))
    assert float(ops.silu(far)[0]) == 0
    np.testing.assert_allclose(ops.sigmoid(far)[2], 9.357622968840175e-14, rtol=1e-5)
    np.testing.assert_allclose(ops.log_sigmoid(far)[1], -1e3)
    assert ops.silu(Tensor(-np.inf)).item() == 0
    assert ops.softmax(Tensor([-np.inf, 0.0, 1e4])).tolist() == [0, 0, 1]
    assert ops.log_softmax(Tensor([0.0, 1e4])).tolist() == [-1e4, 0]
    assert ops.logsumexp(Tensor([-np.inf, -np.inf])).item() == -np.inf
    np.testing.assert_allclose(np.linalg.norm(Tensor(np.full(4, 1e30, np.float32))), 2e30, rtol=1e-6)
    assert np.linalg.norm(Tensor(np.zeros(3))).item() == 0


def test_variables_are_assigned_and_copied() -> None:
    v = Variable([1.0, 2.0], name="v")
    old = v.value
    assert v.assign([3, 4]) is v
    assert v.tolist() == [3, 4]
    assert old.tolist() == [1, 2]
    assert v.assign_add([1, 1]).tolist() == [4, 5]
    assert v.assign_sub([2, 2]).tolist() == [2, 3]
    for again in (copy.copy(v), copy.deepcopy(v), pickle.loads(pickle.dumps(v))):  # noqa: S301
        assert again.tolist() == v.tolist()
        assert again.name == "v"
        assert again is not v
    with pytest.raises(errors.ShapeError, match=r"v has the shape \(2,\)"):
        v.assign([1.0])
    with pytest.raises(errors.ArgumentTypeError, match="fractions would be lost"):
        Variable([1, 2]).assign([0.5, 1])


def test_tensors_that_were_kept_from_a_program_say_so() -> None:
    kept = []

    @function
    def total(x: Any) -> Any:
        kept.append(np.sum(x))
        return kept[-1]

    assert float(total(np.ones(3))) == 3
    with pytest.raises(SymbolicError, match=r"belongs to a program that was recorded, and something kept it.*Variable"):
        float(kept[0])


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda t: t.backward(), AttributeError, r"tensors have no 'backward'; write gradient\(loss, variables\)"),
        (lambda t: t.detach(), AttributeError, "write ops.stop_gradient"),
        (lambda t: t.view(2), AttributeError, r"write tensor\.reshape"),
        (lambda t: np.add(t, 1, out=np.ones(2)), errors.ArgumentTypeError, r"\+= on an array.* a = a \+ t"),
        (lambda t: Tensor([[1, 2], [3]]), errors.ArgumentTypeError, "made of numbers; NumPy says.*inhomogeneous"),
        (lambda t: erf(t), errors.ArgumentTypeError, r"erf of another library has no rule for tensors. Use ops\.erf"),
        (
            lambda t: ops.custom(np.sin, lambda dy: dy),
            errors.ArgumentTypeError,
            r"backward\(dy\) takes.*backward\(dy, y, x\)",
        ),
    ],
)
def test_what_other_libraries_have_is_answered(use: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        use(Variable([1.0, 2.0]))
