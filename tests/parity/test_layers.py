"""Every layer's output and gradients against PyTorch, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from miniDLF.layers import (
    ELU,
    GELU,
    GRU,
    LSTM,
    RNN,
    Activation,
    Add,
    Average,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dot,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    Linear,
    Maximum,
    Multiply,
    Pooling2D,
    ReLU,
    Reshape,
    Sigmoid,
    Softmax,
    Softplus,
    Subtract,
    Swish,
    Tanh,
    UpSampling2D,
)
from tests.standalone import Standalone

torch = pytest.importorskip("torch")
functional = torch.nn.functional
pytestmark = pytest.mark.parity

Reference = Callable[..., Any]


def convolution(x: Any, p: dict[str, Any], **options: Any) -> Any:
    return functional.conv2d(x, p["weight"], p["bias"], **options)


def batch_norm(x: Any, p: dict[str, Any]) -> Any:
    return functional.batch_norm(x, None, None, p["gamma"], p["beta"], training=True, eps=1e-5)


def projected(h: Any, p: dict[str, Any]) -> Any:
    return h @ p["output_weight"] + p["output_bias"]


def simple(x: Any, p: dict[str, Any]) -> Any:
    module = torch.nn.RNN(x.shape[2], len(p["recurrent_weight"]), batch_first=True).double()
    return projected(_run(module, x, p, p["input_weight"], p["recurrent_weight"], p["bias"]), p)


def lstm(x: Any, p: dict[str, Any]) -> Any:
    module = torch.nn.LSTM(x.shape[2], len(p["recurrent_weight"]), batch_first=True).double()  # its gates: i, f, g, o
    return projected(_run(module, x, p, p["input_weight"], p["recurrent_weight"], p["bias"]), p)


def _run(module: Any, x: Any, p: dict[str, Any], w: Any, u: Any, b: Any) -> Any:
    weights = {"weight_ih_l0": w.T, "weight_hh_l0": u.T, "bias_ih_l0": b, "bias_hh_l0": torch.zeros_like(b)}
    return torch.func.functional_call(module, weights, (x,))[0]


def gru(x: Any, p: dict[str, Any]) -> Any:
    """PyTorch's own GRU resets after the product, so this one is written out (Keras' reset_after=False)."""
    units = len(p["recurrent_weight"])
    (wz, wr, wh), (uz, ur, uh), (bz, br, bh) = (
        part.split(units, dim=-1) for part in (p["input_weight"], p["recurrent_weight"], p["bias"])
    )
    h, states = torch.zeros(len(x), units, dtype=x.dtype), []
    for step in x.unbind(1):
        z = torch.sigmoid(step @ wz + h @ uz + bz)
        r = torch.sigmoid(step @ wr + h @ ur + br)
        h = z * h + (1 - z) * torch.tanh(step @ wh + (r * h) @ uh + bh)
        states.append(h)
    return projected(torch.stack(states, 1), p)


def upsampled(x: Any, p: dict[str, Any]) -> Any:
    return x.repeat_interleave(2, 2).repeat_interleave(3, 3)


def channels_concatenated(a: Any, b: Any, p: dict[str, Any]) -> Any:
    return torch.cat([a, b], 1)


PAIRS: list[tuple[Callable[[], Layer], Any, Reference]] = [
    (lambda: Dense(6), (5,), lambda x, p: x @ p["weight"] + p["bias"]),
    (lambda: Conv2D(4, 3), (2, 7, 8), convolution),
    (
        lambda: Conv2D(5, (3, 2), (2, 1), (1, 2)),
        (3, 9, 6),
        lambda x, p: convolution(x, p, stride=(2, 1), padding=(1, 2)),
    ),
    (lambda: Conv2D(32, (6, 6), 2), (1, 28, 28), lambda x, p: convolution(x, p, stride=2)),
    (lambda: Conv2D(16, 3, padding=1), (16, 12, 12), lambda x, p: convolution(x, p, padding=1)),
    (lambda: Conv2D(3, 1), (8, 5, 5), convolution),
    (lambda: Pooling2D(2, 2), (3, 6, 8), lambda x, p: functional.max_pool2d(x, 2, 2)),
    (lambda: Pooling2D(3, 2), (2, 8, 9), lambda x, p: functional.max_pool2d(x, 3, 2)),
    (lambda: Pooling2D(2, 2, "avg"), (3, 7, 7), lambda x, p: functional.avg_pool2d(x, 2, 2)),
    (lambda: Pooling2D(3, 1, "avg"), (2, 6, 5), lambda x, p: functional.avg_pool2d(x, 3, 1)),
    (lambda: UpSampling2D((2, 3)), (2, 3, 4), upsampled),
    (lambda: GlobalAveragePooling2D(), (3, 4, 5), lambda x, p: x.mean((2, 3))),
    (lambda: Flatten(), (2, 3, 4), lambda x, p: x.flatten(1)),
    (lambda: Reshape((4, 3)), (2, 6), lambda x, p: x.reshape(-1, 4, 3)),
    (lambda: BatchNormalization(), (6,), batch_norm),
    (lambda: BatchNormalization(), (3, 4, 5), batch_norm),
    (lambda: RNN(7), (6, 4), simple),
    (lambda: LSTM(7), (6, 4), lstm),
    (lambda: GRU(7), (6, 4), gru),
    (lambda: ReLU(), (9,), lambda x, p: functional.relu(x)),
    (lambda: ReLU(0.1), (9,), lambda x, p: functional.leaky_relu(x, 0.1)),
    (lambda: ReLU(0.0, 0.8), (9,), lambda x, p: functional.hardtanh(x, 0.0, 0.8)),
    (lambda: ELU(0.7), (9,), lambda x, p: functional.elu(x, 0.7)),
    (lambda: Activation("selu"), (9,), lambda x, p: functional.selu(x)),
    (lambda: Activation("leaky_relu"), (9,), lambda x, p: functional.leaky_relu(x, 1e-4)),
    (lambda: Sigmoid(), (9,), lambda x, p: torch.sigmoid(x)),
    (lambda: Tanh(), (9,), lambda x, p: torch.tanh(x)),
    (lambda: Softmax(), (4, 5), lambda x, p: torch.softmax(x, -1)),
    (lambda: Softplus(), (9,), lambda x, p: functional.softplus(x)),
    (lambda: Swish(), (9,), lambda x, p: functional.silu(x)),
    (lambda: GELU(), (9,), lambda x, p: functional.gelu(x)),
    (lambda: GELU(approximate=True), (9,), lambda x, p: functional.gelu(x, approximate="tanh")),
    (lambda: Activation("gelu"), (9,), lambda x, p: functional.gelu(x)),
    (lambda: Linear(), (9,), lambda x, p: x * 1),
    (lambda: Add(), ((4,), (4,)), lambda a, b, p: a + b),
    (lambda: Subtract(), ((4,), (4,)), lambda a, b, p: a - b),
    (lambda: Multiply(), ((4,), (4,)), lambda a, b, p: a * b),
    (lambda: Average(), ((4,), (4,)), lambda a, b, p: (a + b) / 2),
    (lambda: Maximum(), ((4,), (4,)), lambda a, b, p: torch.maximum(a, b)),
    (lambda: Concatenate(1), ((2, 3, 3), (1, 3, 3)), channels_concatenated),
    (lambda: Dot(), ((4,), (4,)), lambda a, b, p: (a * b).sum(-1, keepdim=True)),
    (lambda: Dot(axes=-1), ((3, 4), (2, 4)), lambda a, b, p: a @ b.transpose(1, 2)),
    (lambda: Dot(axes=(2, 1)), ((3, 4), (4,)), lambda a, b, p: (a @ b.unsqueeze(2)).squeeze(2)),
    (lambda: Dot(normalize=True), ((4,), (4,)), lambda a, b, p: functional.cosine_similarity(a, b).unsqueeze(1)),
]


def test_every_layer_has_a_reference() -> None:
    from miniDLF.layers import CHOICES

    assert set(CHOICES) - {type(make()).__name__ for make, _, _ in PAIRS} == {
        "Dropout",  # its numbers are its own
        "Operation",  # any function of NumPy: tests/ops compares each with NumPy's
    }


@pytest.mark.parametrize("number", range(len(PAIRS)), ids=[repr(make()) for make, _, _ in PAIRS])
def test_output_and_gradients(number: int) -> None:
    make, shape, reference = PAIRS[number]
    layer = make()
    alone = Standalone(layer, shape)
    rng = np.random.default_rng(number)
    shapes = shape if isinstance(shape[0], tuple) else (shape,)
    inputs = [rng.normal(size=(5, *one)) for one in shapes]
    y = alone.forward(tuple(inputs) if layer.takes_many else inputs[0]).copy()
    dy = rng.normal(size=y.shape)
    dx = alone.backward(dy.copy())

    theirs = [torch.tensor(array, requires_grad=True) for array in inputs]
    parameters = {p.name: torch.tensor(p.value, requires_grad=True) for p in layer.parameters if p.trainable}
    expected = reference(*theirs, parameters)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-9, atol=1e-10)
    for array, tensor in zip(dx if layer.takes_many else (dx,), theirs, strict=True):
        np.testing.assert_allclose(array, tensor.grad.numpy(), rtol=1e-8, atol=1e-9)
    for parameter, gradient in alone.gradients.items():
        np.testing.assert_allclose(gradient, parameters[parameter.name].grad.numpy(), rtol=1e-8, atol=1e-9)


def test_running_statistics() -> None:
    x = np.random.default_rng(0).normal(2.0, 3.0, size=(16, 4))
    alone = Standalone(BatchNormalization(momentum=0.8), (4,))
    alone.forward(x)
    alone.layer.update_state(alone.call)
    np.testing.assert_allclose(alone.layer.running_mean.value, 0.2 * x.mean(0))
    np.testing.assert_allclose(alone.layer.running_var.value, 0.8 + 0.2 * x.var(0))  # the biased variance


@pytest.mark.parametrize("network", ["vectors", "images", "sequences"])
def test_training_runs_side_by_side(network: str) -> None:
    """Ten steps of Adam on a whole model give the weights that PyTorch gets."""
    from miniDLF.models import Sequential
    from miniDLF.optimizers import Adam

    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 20)
    if network == "vectors":
        x = rng.normal(size=(20, 6))
        model = Sequential(
            [Dense(8, input_shape=(6,)), Activation("tanh"), Dense(3), Softmax()], seed=0, dtype="float64"
        )

        def run(p: dict[str, Any]) -> Any:
            hidden = torch.tanh(torch.tensor(x) @ p["dense_1/weight"] + p["dense_1/bias"])
            return hidden @ p["dense_2/weight"] + p["dense_2/bias"]
    elif network == "images":
        x = rng.normal(size=(20, 2, 8, 8))
        model = Sequential([Conv2D(4, 3, input_shape=(2, 8, 8)), ReLU(), Pooling2D()], seed=0, dtype="float64")
        for layer in (Flatten(), Dense(3), Softmax()):
            model.add(layer)

        def run(p: dict[str, Any]) -> Any:
            maps = functional.relu(functional.conv2d(torch.tensor(x), p["conv2d_1/weight"], p["conv2d_1/bias"]))
            return functional.max_pool2d(maps, 2).flatten(1) @ p["dense_1/weight"] + p["dense_1/bias"]
    else:
        x = rng.normal(size=(20, 5, 4))
        model = Sequential([LSTM(6, input_shape=(5, 4)), Flatten(), Dense(3), Softmax()], seed=0, dtype="float64")

        def run(p: dict[str, Any]) -> Any:
            own = {name.partition("/")[2]: value for name, value in p.items() if name.startswith("lstm")}
            return lstm(torch.tensor(x), own).flatten(1) @ p["dense_1/weight"] + p["dense_1/bias"]

    model.compile("cce", Adam(lr=0.01, decay=0.0, epsilon=1e-8))
    theirs = {name: torch.tensor(value, requires_grad=True) for name, value in model.named_weights().items()}
    optimizer = torch.optim.Adam(theirs.values(), lr=0.01, eps=1e-8)
    for _ in range(10):
        ours = model.train_on_batch(x, y)
        optimizer.zero_grad()
        loss = functional.cross_entropy(run(theirs), torch.tensor(y))
        loss.backward()
        optimizer.step()
        assert ours == pytest.approx(loss.item(), rel=1e-8)
    for name, value in model.named_weights().items():
        np.testing.assert_allclose(value, theirs[name].detach().numpy(), rtol=1e-6, atol=1e-9)
