"""What models predict, in single precision, against ONNX Runtime: every layer alone, and whole networks.

ONNX has operators for all of them, also for this GRU, which PyTorch has only in another form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from miniDLF.core.capture import FIRST_RUNS
from miniDLF.layers import (
    CHOICES,
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
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
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
from miniDLF.layers.convolution import pair
from miniDLF.models import Input, Model, Sequential

runtime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.parity

OPSET = 20  # the first with Gelu
#: ONNX' order of the gates in terms of ours: i, o, f, g of i, f, g, o.
GATES = {"RNN": [0], "LSTM": [0, 3, 1, 2], "GRU": [0, 1, 2]}
SAME = {
    Add: "Add",
    Average: "Mean",
    Dropout: "Identity",
    Flatten: "Flatten",
    GlobalAveragePooling2D: "GlobalAveragePool",
    Linear: "Identity",
    Maximum: "Max",
    Multiply: "Mul",
    Sigmoid: "Sigmoid",
    Softplus: "Softplus",
    Subtract: "Sub",
    Tanh: "Tanh",
}


class Chain:
    """An ONNX graph under construction: layers one behind the other."""

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs = [_value(f"x{number}", ["N", *shape]) for number, shape in enumerate(shapes)]

    def constant(self, array: Any) -> str:
        name = f"constant {len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(array), name))
        return name

    def do(self, operator: str, *reads: Any, **attributes: Any) -> str:
        """Add an operator that reads values by name and arrays; return the name of its result."""
        names = [read if isinstance(read, str) else self.constant(read) for read in reads]
        result = f"value {len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, names, [result], **attributes))
        return result

    def add(self, layer: Any, x: str, *others: str) -> str:
        """Add what a built layer does when it predicts."""
        do = self.do
        p = {parameter.name: parameter.value for parameter in layer.parameters}
        match layer:
            case Activation():
                return self.add(layer.function, x)
            case Dense():
                return do("Gemm", x, p["weight"], p["bias"])
            case Conv2D():
                pads = pair(layer.padding, "padding", least=0)
                return do("Conv", x, p["weight"], p["bias"], strides=pair(layer.stride, "stride"), pads=[*pads, *pads])
            case Pooling2D():
                operator = "MaxPool" if layer.mode == "max" else "AveragePool"
                return do(operator, x, kernel_shape=pair(layer.size, "size"), strides=pair(layer.stride, "stride"))
            case UpSampling2D():
                scales = np.array([1, 1, *pair(layer.size, "size")], np.float32)
                how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                return do("Resize", x, "", scales, **how)
            case GlobalAveragePooling2D():
                return do("Flatten", do("GlobalAveragePool", x))
            case Reshape():
                return do("Reshape", x, np.array([-1, *layer.new_shape]))
            case BatchNormalization():
                names = "gamma", "beta", "running_mean", "running_var"
                return do("BatchNormalization", x, *(p[name] for name in names), epsilon=layer.epsilon)
            case RNN() | LSTM() | GRU():
                return self.recurrent(layer, x, p)
            case ReLU(alpha=0.0, max_value=np.inf):
                return do("Relu", x)
            case ReLU(alpha=0.0):
                return do("Clip", x, np.float32(0), np.float32(layer.max_value))
            case ReLU():
                return do("LeakyRelu", x, alpha=layer.alpha)
            case ELU():
                return do("Mul", do("Elu", x, alpha=layer.alpha), np.float32(layer.scale))
            case Swish():
                return do("Mul", x, do("Sigmoid", x))
            case GELU():
                return do("Gelu", x, approximate="tanh" if layer.approximate else "none")
            case Softmax():
                return do("Softmax", x, axis=-1)
            case Concatenate():
                return do("Concat", x, *others, axis=layer.axis)
            case Dot():
                return do("ReduceSum", do("Mul", x, *others), np.array([1]), keepdims=1)
        return do(SAME[type(layer)], x, *others)

    def recurrent(self, layer: Any, x: str, p: dict[str, Any]) -> str:
        """Add a recurrent layer and its projection: ONNX has time first, and the weights of each gate as rows."""
        do, kind, units = self.do, type(layer).__name__, len(p["recurrent_weight"])

        def rows(array: Any) -> Any:
            parts = np.split(array, len(GATES[kind]), axis=-1)
            return np.concatenate([parts[gate] for gate in GATES[kind]], axis=-1).T[np.newaxis]

        bias = rows(p["bias"])
        biases = np.concatenate([bias, np.zeros_like(bias)], axis=1)
        steps_first = do("Transpose", x, perm=[1, 0, 2])
        weights = rows(p["input_weight"]), rows(p["recurrent_weight"]), biases
        h = do("Squeeze", do(kind, steps_first, *weights, hidden_size=units), np.array([1]))  # of the one direction
        return do("Add", do("MatMul", do("Transpose", h, perm=[1, 0, 2]), p["output_weight"]), p["output_bias"])

    def session(self, result: str) -> Callable[[Sequence[Any]], Any]:
        """Return ONNX Runtime's function from the inputs to this result."""
        make = onnx.helper
        graph = make.make_graph(self.nodes, "network", self.inputs, [_value(result, None)], self.constants)
        model = make.make_model(graph, opset_imports=[make.make_opsetid("", OPSET)], ir_version=9)
        running = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return lambda arrays: running.run(None, {f"x{number}": array for number, array in enumerate(arrays)})[0]


def _value(name: str, shape: Any) -> Any:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def agree(model: Any, layers: Sequence[Any], shapes: Sequence[tuple[int, ...]], rows: Sequence[int]) -> None:
    """Predict batches of these sizes with both, as written and from notes."""
    chain, rng = Chain(shapes), np.random.default_rng(1)
    result = [value.name for value in chain.inputs]
    for layer in layers:
        result = [chain.add(layer, *result)]
    session = chain.session(result[0])
    for count in rows:
        for _ in range(FIRST_RUNS + 1):
            inputs = [rng.normal(size=(count, *shape)).astype(np.float32) for shape in shapes]
            expected = session(inputs)
            found = model.predict(inputs if len(inputs) > 1 else inputs[0])
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(expected).max()))


def unlike_new(model: Any) -> None:
    """Give the weights that begin as zeros or ones, and the running statistics, values that cannot hide a mistake."""
    rng = np.random.default_rng(2)
    model.set_weights([w + rng.uniform(0.05, 0.3, w.shape) if w.ndim == 1 else w for w in model.get_weights()])


LAYERS: list[tuple[Callable[[], Any], Any]] = [
    (lambda: Dense(6), (5,)),
    (lambda: Conv2D(4, 3), (2, 7, 8)),
    (lambda: Conv2D(5, (3, 2), (2, 1), (1, 2)), (3, 9, 6)),
    (lambda: Conv2D(32, (6, 6), 2), (1, 28, 28)),
    (lambda: Conv2D(16, 3, padding=1), (16, 12, 12)),
    (lambda: Conv2D(3, 1), (8, 5, 5)),
    (lambda: Pooling2D(2, 2), (3, 6, 8)),
    (lambda: Pooling2D(3, 2), (2, 8, 9)),
    (lambda: Pooling2D(3, 1, "avg"), (2, 6, 5)),
    (lambda: UpSampling2D((2, 3)), (2, 3, 4)),
    (lambda: GlobalAveragePooling2D(), (3, 4, 5)),
    (lambda: Flatten(), (2, 3, 4)),
    (lambda: Reshape((4, 3)), (2, 6)),
    (lambda: BatchNormalization(), (6,)),
    (lambda: BatchNormalization(), (3, 4, 5)),
    (lambda: Dropout(0.5), (4,)),
    (lambda: RNN(7), (6, 4)),
    (lambda: LSTM(7), (6, 4)),
    (lambda: GRU(7), (6, 4)),
    (lambda: GRU(64), (20, 11)),
    (lambda: ReLU(), (9,)),
    (lambda: ReLU(0.1), (9,)),
    (lambda: ReLU(0.0, 0.8), (9,)),
    (lambda: ELU(0.7, scale=1.3), (9,)),
    (lambda: Activation("selu"), (9,)),
    (lambda: Sigmoid(), (9,)),
    (lambda: Tanh(), (9,)),
    (lambda: Softmax(), (4, 5)),
    (lambda: Softplus(), (9,)),
    (lambda: Swish(), (9,)),
    (lambda: GELU(), (9,)),
    (lambda: GELU(approximate=True), (9,)),
    (lambda: Linear(), (9,)),
    (lambda: Add(), ((4,), (4,))),
    (lambda: Subtract(), ((4,), (4,))),
    (lambda: Multiply(), ((4,), (4,))),
    (lambda: Average(), ((4,), (4,))),
    (lambda: Maximum(), ((4,), (4,))),
    (lambda: Concatenate(1), ((2, 3, 3), (1, 3, 3))),
    (lambda: Dot(), ((4,), (4,))),
]


def test_every_layer_is_compared() -> None:
    others = {"Operation"}  # any function of NumPy: tests/ops compares each with NumPy's
    assert {type(make()).__name__ for make, _ in LAYERS} == set(CHOICES) - others


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=[repr(make()) for make, _ in LAYERS])
def test_a_layer_alone(make: Callable[[], Any], shape: Any) -> None:
    shapes = shape if isinstance(shape[0], tuple) else (shape,)
    layer, inputs = make(), [Input(one) for one in shapes]
    model = Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]), seed=0)
    unlike_new(model)
    agree(model, [layer], shapes, (1, 5))


NETWORKS: dict[str, tuple[tuple[int, ...], Callable[[], list[Any]]]] = {
    "perceptron": (
        (784,),
        lambda: [Dense(400), Activation("leaky_relu"), Dropout(0.2), Dense(10), Activation("softmax")],
    ),
    "the specified convolutional network": (
        (1, 28, 28),
        lambda: [
            *(Conv2D(32, (6, 6), 2), Activation("leaky_relu"), Pooling2D((2, 2), (2, 2), "max"), BatchNormalization()),
            *(Conv2D(32, (2, 2)), Activation("leaky_relu"), Pooling2D((2, 2), (2, 2), "max"), BatchNormalization()),
            *(Flatten(), Dense(100), Activation("leaky_relu"), BatchNormalization(), Dense(10), Activation("softmax")),
        ],
    ),
    "images of three colours": (
        (3, 16, 16),
        lambda: [
            *(Conv2D(16, 3, padding=1), BatchNormalization(), ReLU(), Conv2D(16, 3, padding=1), ReLU(), Pooling2D(2)),
            *(Conv2D(32, 3, padding=1), BatchNormalization(), ReLU(), GlobalAveragePooling2D(), Dense(5), Softmax()),
        ],
    ),
    "autoencoder": (
        (1, 16, 16),
        lambda: [
            *(Conv2D(8, 3, padding=1), ReLU(), Pooling2D(2, 2, "avg"), Conv2D(4, 3, padding=1), ReLU(), Pooling2D(2)),
            *(UpSampling2D(2), Conv2D(8, 3, padding=1), ReLU(), UpSampling2D(2), Conv2D(1, 3, padding=1), Sigmoid()),
        ],
    ),
    "two recurrent layers": ((12, 9), lambda: [GRU(24), LSTM(16), RNN(20), Softmax()]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network(name: str) -> None:
    """Neighbours that run as one, folded weights and chunks of a large batch change nothing."""
    shape, make = NETWORKS[name]
    layers = make()
    model = Sequential(layers, seed=0)
    model.build(shape)
    unlike_new(model)
    agree(model, layers, [shape], (1, 3, 40, 1100))
