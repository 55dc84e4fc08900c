"""Gradients of large matrices, made by all shards together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import miniDLF
from miniDLF.core import joint
from miniDLF.core.batch import Batch
from miniDLF.core.capture import FIRST_RUNS
from miniDLF.core.joint import FEW_ROWS, MANY_WEIGHTS, pays_jointly
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError
from miniDLF.layers import Activation, Add, Dense
from miniDLF.models import Input, Model, Sequential
from miniDLF.optimizers import Adam, ClipGlobalNorm
from tests.core.test_free_threading import same

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 64))
Y = RNG.integers(0, 3, 400)
WIDE = MANY_WEIGHTS // 64


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = miniDLF.get_threads()
    yield
    miniDLF.set_threads(before)


def layers() -> list[Layer]:
    return [Dense(WIDE, input_shape=(64,)), Activation("tanh"), Dense(96), Activation("relu"), Dense(3)]


def model(shards: int, dtype: str = "float64") -> Sequential:
    result = Sequential([*layers(), Activation("softmax")], seed=3, shards=shards, dtype=dtype)
    result.compile("cce", "adam")
    return result


def together(model: Any) -> set[int]:
    """Return at which steps of the program the shards of the last training step worked together."""
    shards = model.engine().executor.active()
    found = {number for number, call in enumerate(shards[0].calls) if call.joint is not None}
    for shard in shards:
        assert {number for number, call in enumerate(shard.calls) if call.joint is not None} == found
    return found


def gradients(model: Any, rows: Any) -> dict[str, Any]:
    data = model.converter().batch(X, Y)
    return model.engine().gradients(Batch(data.inputs, data.targets, data.weights, rows))[1]


def agree(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for path, gradient in expected.items():
        np.testing.assert_allclose(found[path], gradient, rtol=1e-9, atol=1e-12, err_msg=path)


@pytest.mark.parametrize("shards", [2, 3])
@pytest.mark.parametrize("rows", [7, 25, 64])
def test_the_gradient_is_that_of_one_shard(rows: int, shards: int) -> None:
    chosen = RNG.permutation(400)[:rows]
    ours, whole = model(shards), model(1)
    for _ in range(FIRST_RUNS + 2):  # as written, noted, proved, from notes
        found, expected = gradients(ours, chosen), gradients(whole, chosen)
        assert together(ours) == {0, 2}
        assert not together(whole)
        agree(found, expected)


def test_batches_that_are_shared_otherwise_may_come_between() -> None:
    """Shards of many rows have gradients of their own; nothing of these may stay where nobody else writes."""
    ours, whole = model(2), model(1)
    for rows, jointly in [(40, True), (400, False), (40, True), (400, False), (30, True)] * 3:
        chosen = RNG.permutation(400)[:rows]
        found, expected = gradients(ours, chosen), gradients(whole, chosen)
        assert bool(together(ours)) is jointly
        agree(found, expected)


@pytest.mark.parametrize("clips", [False, True])
def test_the_bits_do_not_depend_on_the_number_of_threads(clips: bool) -> None:
    weights = []
    for number in (1, 2, 4):
        miniDLF.set_threads(number)
        ours = model(3, "float32")
        ours.compile("cce", ClipGlobalNorm(Adam(), 0.5) if clips else Adam())
        ours.fit(X, Y, epochs=2, batch_size=48, verbose=0)  # eight batches of 48, one of 16
        assert together(ours)
        weights.append(ours.get_weights())
    assert same(weights[0], weights[1])
    assert same(weights[0], weights[2])


def test_a_frozen_matrix_and_one_at_two_places_are_left_to_each_shard() -> None:
    def built(shards: int, freezes: bool) -> Any:
        x = Input((64,))
        wide, narrow = Dense(WIDE, trainable=not freezes), Dense(64)
        first, second = (narrow(Activation("tanh")(wide(part))) for part in (x, Activation("tanh")(x)))
        result = Model(
            x, Activation("softmax")(Dense(3)(Add()([first, second]))), seed=3, shards=shards, dtype="float64"
        )
        result.compile("cce", "adam")
        return result

    for freezes in (False, True):
        ours, whole = built(2, freezes), built(1, freezes)
        agree(gradients(ours, np.arange(30)), gradients(whole, np.arange(30)))
        assert not together(ours)


def test_a_layer_that_makes_its_gradient_itself_is_right_as_well() -> None:
    class Own(Dense):
        def backward(self, dy: Any, call: Any) -> Any:
            call.grad(self.weight)[:] = call.x.T @ dy
            call.grad(self.bias)[:] = dy.sum(0)
            return dy @ self.weight.value.T

    found = []
    for layer in (Own, Dense):
        ours = Sequential([layer(WIDE, input_shape=(64,)), Dense(3), Activation("softmax")], seed=3, shards=2)
        ours.compile("cce", "sgd")
        found.append(gradients(ours, np.arange(30)))
    for ours, theirs in zip(*(each.values() for each in found), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_promise_that_is_not_kept_is_an_error() -> None:
    class Forgetful(Dense):
        def backward(self, dy: Any, call: Any) -> Any:
            call.grad(self.weight)[:] = call.x.T @ dy
            call.grad(self.bias)[:] = dy.sum(0)

        def row_matrix(self) -> Any:
            return self.weight

    ours = Sequential([Forgetful(WIDE, input_shape=(64,), name="wide"), Dense(3), Activation("softmax")], shards=2)
    ours.compile("cce", "sgd")
    with pytest.raises(ArgumentError, match=r"'wide'.*row_matrix\(\) names a matrix.*product_over_rows"):
        gradients(ours, np.arange(30))
    assert np.isfinite(ours.evaluate(X, Y))


@pytest.mark.parametrize("optimizer", [lambda: "adam", lambda: ClipGlobalNorm(Adam(), 1.0)], ids=["adam", "clipped"])
def test_what_is_added_to_zeros_is_not_added(optimizer: Any) -> None:
    """Updates leave the others' parts out where these are zeros, and give the weights that one shard gives."""
    found = []
    for shards in (1, 2, 3):
        ours = model(shards)
        ours.compile("cce", optimizer())
        ours.fit(X[:80], Y[:80], batch_size=40, epochs=FIRST_RUNS, verbose=0)
        if shards > 1:
            parts, alone = ours.engine().executor.gradient_parts()
            assert [s.stop - s.start for s in alone] == [64 * WIDE, WIDE * 96]
            for part in parts[1:]:
                assert not any(part[s].any() for s in alone)
                part[ours.engine().updater._cuts[0]] = np.nan  # which lies within the first, so nobody reads it
            assert np.isfinite(ours.train_on_batch(X[:40], Y[:40]))
        else:
            ours.train_on_batch(X[:40], Y[:40])
        found.append(ours.get_weights())
    for weights in found[1:]:
        for ours, whole in zip(weights, found[0], strict=True):
            np.testing.assert_allclose(ours, whole, rtol=1e-6, atol=1e-9)


def test_an_error_in_the_midst_leaves_nothing_to_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, whole = model(2), model(1)
    multiply = joint.JointProduct.multiply

    def fails(*_: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(joint.JointProduct, "multiply", fails)
    with pytest.raises(MemoryError):
        gradients(ours, np.arange(30))
    monkeypatch.setattr(joint.JointProduct, "multiply", multiply)
    for rows in (np.arange(400), np.arange(30)):
        agree(gradients(ours, rows), gradients(whole, rows))


def test_shapes_alone_decide() -> None:
    assert pays_jointly((1024, 512), 2 * FEW_ROWS, 2)
    assert not pays_jointly((1024, 512), 2 * FEW_ROWS, 1)  # nobody to do it with
    assert not pays_jointly((1024, 512), 2 * FEW_ROWS + 1, 2)
    assert not pays_jointly((1024, 511), 2, 2)
    assert not pays_jointly((65536, 60), 2, 2)  # thirty columns for each
