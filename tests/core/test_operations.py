"""Functions of `miniDLF.ops` on the nodes of a graph: layers that are saved and loaded, as NumPy's are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from miniDLF import Tensor, errors, ops
from miniDLF.layers import Dense
from miniDLF.models import Input, Model, load

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 3, 4)).astype("float32")

FUNCTIONS: dict[str, Any] = {
    "relu": lambda x: ops.relu(x, negative_slope=0.1),
    "softmax": lambda x: ops.softmax(x, axis=1),
    "normalised": lambda x: ops.layer_normalization(x, axis=[1, 2]),
    "lists": lambda x: ops.concatenate([x, 2 * x, ops.stop_gradient(x)], axis=-1),
    "inner lists": lambda x: ops.stack((x, ops.flip(x, 1)), axis=2),
    "named": lambda x: ops.where(condition=x > 0, a=x, b=-x),
    "einsum": lambda x: ops.einsum("nij,nkj->nik", x, x),
    "constants": lambda x: ops.matmul(x, Tensor(np.arange(8.0, dtype="float32").reshape(4, 2))),
    "types": lambda x: ops.cast(ops.cast(x * 3, "int64"), np.float32),
    "types by name": lambda x: x + ops.full_like(x, 2, dtype=np.dtype("float32")),
    "parts": lambda x: ops.subtract(*ops.split(x, 2, axis=-1)),
    "largest": lambda x: ops.top_k(x, 2)[0],
    "unstacked": lambda x: ops.add(*ops.unstack(x, axis=1)[:2]),
    "mean and variance": lambda x: ops.concatenate(ops.moments(x, [1]), axis=-1),
    "NumPy's parts": lambda x: np.split(x, 2, axis=-1)[1],
    "reshaped": lambda x: ops.reshape(x, (-1, ops.shape(x)[1] * ops.shape(x)[2])),
    "random": lambda x: ops.random.dropout(x, 0.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_of_a_node_is_a_layer_that_computes_it(name: str, tmp_path: Any) -> None:
    start = Input((3, 4))
    model = Model(start, FUNCTIONS[name](start))
    expected = FUNCTIONS[name](Tensor(X)).numpy()
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(load(tmp_path / "m.safetensors").predict(X), model.predict(X))


def test_a_model_of_functions_trains_with_right_gradients_in_any_number_of_shards() -> None:
    losses = []
    for shards in (1, 2):
        start = Input((3, 4))
        h = ops.silu(Dense(6, activation="tanh")(ops.reshape(start, (-1, 12))))
        a, b = ops.split(h, 2, axis=-1)
        model = Model(start, Dense(1)(ops.rms_normalization(a * ops.sigmoid(b))), seed=1, shards=shards)
        model.compile("mse", "adam")
        losses.append(model.fit(X, X[:, 0, :1], epochs=3, verbose=0).history["loss"])
        assert model.check_gradients(X[:4], X[:4, 0, :1]).ok
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert losses[0][-1] < losses[0][0]


def test_the_shape_of_a_node_has_the_batch_in_front() -> None:
    start = Input((3, 4))
    assert ops.shape(start) == np.shape(start) == (None, 3, 4)
    assert ops.ndim(start) == np.ndim(start) == 3
    assert not ops.is_tensor(start)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.matmul(x, np.ones((3, 3))), r"Operation.*\(2, 3, 4\) @ \(3, 3\)"),
        (lambda x: ops.split(x, 3, axis=-1), r"split: the length 4 of axis 2 does not divide into 3"),
        (lambda x: ops.relu(x, negative_slope=object()), r"outputs, numbers and arrays; received object"),
        (lambda x: ops.sum(x), r"first axis must be the samples"),
    ],
)
def test_mistakes_are_named(call: Any, message: str) -> None:
    with pytest.raises(errors.MiniDLFError, match=message):
        call(Input((3, 4)))
