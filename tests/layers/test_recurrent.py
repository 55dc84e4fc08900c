"""What the recurrent layers do beyond the contract: parameters, variants, refusals, gradients through time, parity."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.layers import BatchNormalization, Dense, Dropout, Reshape
from miniDLF.layers.recurrent import GRU, LSTM, RNN
from miniDLF.models import Sequential
from tests.reference_recurrent import CELLS
from tests.standalone import Standalone, directional_check

LAYERS = (RNN, LSTM, GRU)
every_layer = pytest.mark.parametrize("layer", LAYERS)


def values(alone):
    return [parameter.value for parameter in alone.layer.parameters]


@pytest.mark.parametrize(("layer", "count"), [(RNN, 87851), (LSTM, 318251), (GRU, 241451)])
def test_parameter_counts_are_those_of_the_specification(layer, count):
    built = layer(256, input_shape=(60, 43))
    assert built.build((60, 43)) == (60, 43)
    assert sum(parameter.size for parameter in built.parameters) == count


@pytest.mark.parametrize(("layer", "gates"), [(RNN, 1), (LSTM, 4), (GRU, 3)])
def test_weights_have_the_agreed_order_and_shapes(layer, gates):
    built = layer(5)
    built.build((7, 3))
    assert [(p.name, p.shape) for p in built.parameters] == [
        ("input_weight", (3, gates * 5)),
        ("recurrent_weight", (5, gates * 5)),
        ("bias", (gates * 5,)),
        ("output_weight", (5, 3)),
        ("output_bias", (3,)),
    ]


@every_layer
@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (7, 3)),
        ({"output_units": 4}, (7, 4)),
        ({"output_units": 0}, (7, 5)),
        ({"output_units": False}, (7, 5)),
        ({"return_sequences": False}, (5,)),
        ({"return_sequences": False, "output_units": False}, (5,)),
        ({"return_sequences": False, "output_units": 4}, (4,)),
        ({"return_sequences": False, "output_units": 0}, (5,)),
    ],
)
def test_variants_have_the_output_they_promise(layer, options, shape):
    alone = Standalone(layer(units=5, **options), (7, 3))
    x = np.random.default_rng(0).normal(size=(2, 7, 3))
    w, u, b, *projection = values(alone)
    h = CELLS[layer.__name__.lower()](x, w, u, b).transpose(1, 0, 2)
    expected = h @ projection[0] + projection[1] if projection else h
    if not options.get("return_sequences", True):
        expected = expected[:, -1]
    assert alone.output_shape == shape
    for training in (True, False):
        np.testing.assert_allclose(alone.forward(x, training=training), expected, rtol=1e-9, atol=1e-12)


@every_layer
def test_the_gradient_reaches_the_first_step_through_all_of_time(layer):
    alone = Standalone(layer(8, return_sequences=False, output_units=3), (30, 3))
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 30, 3))
    dy = rng.normal(size=(2, 3))

    def loss():
        return float(np.sum(alone.forward(x) * dy))

    loss()
    first = np.ascontiguousarray(alone.backward(dy.copy())[:, 0])
    assert np.abs(first).max() > 0
    steps = np.zeros_like(first)
    for place in np.ndindex(first.shape):
        original = x[place[0], 0, place[1]]
        x[place[0], 0, place[1]] = original + 1e-6
        above = loss()
        x[place[0], 0, place[1]] = original - 1e-6
        steps[place] = (above - loss()) / 2e-6
        x[place[0], 0, place[1]] = original
    np.testing.assert_allclose(first, steps, rtol=1e-3, atol=1e-8)


@every_layer
@pytest.mark.parametrize("rows", [1, 13, 33])
def test_every_gradient_of_a_layer_cut_into_blocks(layer, rows):
    alone = Standalone(layer(128, output_units=5), (6, 9))
    rng = np.random.default_rng(2)
    x = rng.normal(size=(rows, 6, 9))
    dy = rng.normal(size=(rows, 6, 5))

    def loss():
        return float(np.sum(alone.forward(x) * dy))

    loss()
    dx = alone.backward(dy.copy()).copy()
    gradients = {parameter: gradient.copy() for parameter, gradient in alone.gradients.items()}
    directional_check(loss, x, dx, rng)
    for parameter, gradient in gradients.items():
        directional_check(loss, parameter.value, gradient, rng)


@every_layer
def test_backward_after_inference_goes_forward_again_where_nothing_was_kept(layer):
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    results = []
    for frozen in (False, True):
        alone = Standalone(layer(4), (5, 3))
        if frozen:
            alone.gradients.clear()
        y = alone.forward(x, training=not frozen)
        assert alone.call.cell.keep is not frozen
        results.append((y.copy(), alone.backward(np.ones_like(y)).copy()))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


@every_layer
def test_the_input_gradient_is_left_out_where_nobody_needs_it(layer):
    alone = Standalone(layer(4), (5, 3))
    y = alone.forward(np.ones((2, 5, 3)))
    alone.call.needs_dx = False
    assert alone.backward(np.ones_like(y)) is None


@every_layer
def test_a_smaller_batch_in_between_changes_nothing(layer):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 5, 3))
    alone = Standalone(layer(4), (5, 3))
    runs = []
    for rows in (6, 2, 6):
        y = alone.forward(x[:rows])
        runs.append((y.copy(), alone.backward(np.ones_like(y)).copy()))
    for before, after in zip(runs[0], runs[2], strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_allclose(runs[1][0], runs[0][0][:2], rtol=1e-12)


@every_layer
def test_inputs_in_any_order_of_memory(layer):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 6, 3))
    alone = Standalone(layer(4), (6, 3))
    expected = alone.forward(x).copy()
    turned = np.ascontiguousarray(x.transpose(1, 0, 2)).transpose(1, 0, 2)
    np.testing.assert_array_equal(alone.forward(turned), expected)
    dy = rng.normal(size=expected.shape)
    dx = alone.backward(dy.copy()).copy()
    alone.forward(x)
    np.testing.assert_array_equal(alone.backward(np.ascontiguousarray(dy.transpose(1, 0, 2)).transpose(1, 0, 2)), dx)


@every_layer
def test_initial_values(layer):
    alone = Standalone(layer(32), (4, 50))
    w, u, *_ = values(alone)
    assert abs(w.std() - np.sqrt(2 / 50)) < 0.01
    for gate in np.split(u, u.shape[1] // 32, axis=1):
        np.testing.assert_allclose(gate.T @ gate, np.eye(32), atol=1e-12)
    built = layer(2)
    built.build((4, 3))
    bias = built.parameters[2]
    initial = bias.initializer(bias.shape, np.random.default_rng(0), bias.fans)
    expected = [0, 0, 1, 1, 0, 0, 0, 0] if layer is LSTM else np.zeros(bias.shape)
    np.testing.assert_array_equal(initial, expected)


def test_flops_count_every_product():
    lstm = LSTM(256)
    shape = lstm.build((60, 43))
    assert lstm.flops((60, 43), shape) == 60 * (2 * (43 + 256) * 1024 + 2 * 256 * 43)
    last = GRU(8, output_units=3, return_sequences=False)
    assert last.flops((5, 3), last.build((5, 3))) == 5 * 2 * 11 * 24 + 2 * 8 * 3
    bare = RNN(8, output_units=0)
    assert bare.flops((5, 3), bare.build((5, 3))) == 5 * 2 * 11 * 8


@every_layer
@pytest.mark.parametrize("shape", [(100,), (1, 28, 28), ()])
def test_what_is_not_a_sequence_is_refused(layer, shape):
    with pytest.raises(ShapeError, match=r"'r' expects sequences \(timesteps, features\), received .*Put Reshape\("):
        layer(4, name="r").build(shape)


@every_layer
@pytest.mark.parametrize("units", [0, -3, 2.5, True, "8"])
def test_units_that_make_no_sense_are_refused(layer, units):
    with pytest.raises(ArgumentError, match="n_units has to be a whole number of at least 1, received"):
        layer(units).build((5, 3))


@every_layer
@pytest.mark.parametrize("units", [-1, 1.5, True])
def test_output_units_that_make_no_sense_are_refused(layer, units):
    with pytest.raises(ArgumentError, match="output_units has to be a whole number of at least 0, received"):
        layer(4, output_units=units).build((5, 3))


def test_wrong_keywords_are_answered_with_the_right_ones():
    with pytest.raises(ArgumentTypeError, match="Did you mean 'return_sequences'"):
        LSTM(4, return_sequence=True)
    assert GRU(units=4, kernel_initializer="zeros").input_initializer == "zeros"
    assert LSTM(4, (5, 3)).input_shape == (5, 3)


@pytest.mark.parity
@pytest.mark.parametrize("layer", [RNN, LSTM])
def test_parity_with_torch(layer):
    """Torch's GRU resets after the product, which is another cell; for ours see below."""
    torch = pytest.importorskip("torch")
    steps, features, units, rows = 20, 9, 64, 5
    alone = Standalone(layer(units), (steps, features))
    w, u, b, v, c = values(alone)
    cell = getattr(torch.nn, layer.__name__)(features, units, batch_first=True).double()
    linear = torch.nn.Linear(units, features).double()
    with torch.no_grad():
        for parameter, value in (
            (cell.weight_ih_l0, w.T),
            (cell.weight_hh_l0, u.T),
            (cell.bias_ih_l0, b),
            (cell.bias_hh_l0, np.zeros_like(b)),
            (linear.weight, v.T),
            (linear.bias, c),
        ):
            parameter.copy_(torch.tensor(np.ascontiguousarray(value)))
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, rows, steps, features))
    tensor = torch.tensor(x, requires_grad=True)
    expected = linear(cell(tensor)[0])
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(alone.forward(x), expected.detach().numpy(), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(alone.backward(dy.copy()), tensor.grad.numpy(), rtol=1e-8, atol=1e-10)
    theirs = (cell.weight_ih_l0.grad.T, cell.weight_hh_l0.grad.T, cell.bias_ih_l0.grad)
    theirs += (linear.weight.grad.T, linear.bias.grad)
    for ours, other in zip(alone.gradients.values(), theirs, strict=True):
        np.testing.assert_allclose(ours, other.numpy(), rtol=1e-8, atol=1e-9)


@pytest.mark.parity
def test_parity_of_the_gru_with_torch_operations():
    torch = pytest.importorskip("torch")
    steps, features, units, rows = 20, 9, 64, 5
    alone = Standalone(GRU(units), (steps, features))
    tensors = [torch.tensor(value, requires_grad=True) for value in values(alone)]
    w, u, b, v, c = tensors
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, rows, steps, features))
    tensor = torch.tensor(x, requires_grad=True)
    h = torch.zeros(rows, units, dtype=torch.float64)
    outputs = []
    for t in range(steps):
        inputs = tensor[:, t] @ w + b
        gates = torch.sigmoid(inputs[:, : 2 * units] + h @ u[:, : 2 * units])
        z, r = gates[:, :units], gates[:, units:]
        n = torch.tanh(inputs[:, 2 * units :] + (r * h) @ u[:, 2 * units :])
        h = z * h + (1 - z) * n
        outputs.append(h @ v + c)
    expected = torch.stack(outputs, 1)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(alone.forward(x), expected.detach().numpy(), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(alone.backward(dy.copy()), tensor.grad.numpy(), rtol=1e-8, atol=1e-10)
    for ours, other in zip(alone.gradients.values(), tensors, strict=True):
        np.testing.assert_allclose(ours, other.grad.numpy(), rtol=1e-8, atol=1e-9)


@every_layer
def test_the_last_step_needs_no_projection_and_a_dense_layer_behind_it_none_of_its_own(layer):
    model = Sequential([layer(32, return_sequences=False, input_shape=(10, 7)), Dense(3)])
    assert [node.shape for node in model.graph.nodes] == [(32,), (3,)]
    assert len(model.layers[0].parameters) == 3


@every_layer
@pytest.mark.parametrize("between", [[], [Dropout(0.5)], [BatchNormalization(), Dropout(0.5)]], ids=len)
def test_a_dense_layer_behind_sequences_is_told_how_to_get_the_last_step(layer, between):
    kind = layer.__name__
    message = (
        rf"^layer {2 + len(between)} \(Dense 'dense_1'\) expects vectors \(features,\), and {kind} '{kind.lower()}_1' "
        rf"gives one for each time step\. .*{kind}\(8, return_sequences=False\).*{kind}\(8, output_units=5\)\.$"
    )
    with pytest.raises(ShapeError, match=message) as caught:
        Sequential([layer(8, input_shape=(10, 7)), *map(copy.copy, between), Dense(5, activation="relu")])
    assert "Flatten" not in str(caught.value)


def test_a_dense_layer_behind_another_shape_is_told_of_flatten():
    for layers in ([Reshape((2, 3), input_shape=(6,))], [LSTM(4, input_shape=(3, 2)), Reshape((2, 3))]):
        with pytest.raises(ShapeError, match=r"received \(2, 3\)\. Put Flatten\(\) before it"):
            Sequential([*layers, Dense(5)])


# Initial biases ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "gates"),
    [
        ({}, (0, 1, 0, 0)),
        ({"forget_bias": 2.5}, (0, 2.5, 0, 0)),
        ({"bias_initializer": "ones"}, (1, 1, 1, 1)),
        ({"bias_initializer": 3.0}, (3, 1, 3, 3)),
        ({"bias_initializer": 3.0, "forget_bias": 0.0}, (3, 0, 3, 3)),
        ({"bias_initializer": 3.0, "forget_bias": None}, (3, 3, 3, 3)),
        ({"bias_initializer": 3.0, "unit_forget_bias": False}, (3, 3, 3, 3)),
        ({"bias_initializer": 3.0, "unit_forget_bias": True}, (3, 1, 3, 3)),
        ({"bias_initializer": 3.0, "unit_forget_bias": np.False_}, (3, 3, 3, 3)),
    ],
)
def test_the_bias_of_an_lstm_as_in_keras(options, gates):
    model = Sequential([LSTM(4, input_shape=(3, 2), **options)])
    np.testing.assert_array_equal(model.get_weights()[2], np.repeat(gates, 4))
    again = LSTM(4, input_shape=(3, 2), **{k: v for k, v in model.layers[0].config().items() if k in ("forget_bias",)})
    assert again.forget_bias == model.layers[0].forget_bias


@pytest.mark.parametrize("layer", [RNN, GRU])
def test_the_bias_of_the_others_is_what_its_initializer_says(layer):
    bias = Sequential([layer(4, input_shape=(3, 2), bias_initializer=3.0)]).get_weights()[2]
    np.testing.assert_array_equal(bias, np.full(len(bias), 3))


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_forget_bias_is_a_finite_number(value):
    with pytest.raises(ArgumentError, match="LSTM: forget_bias must lie in"):
        LSTM(3, forget_bias=value)
