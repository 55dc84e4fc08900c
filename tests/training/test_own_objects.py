"""Losses, metrics, optimizers and their like of one's own: a mistake is named before training, and how it is mended."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from miniDLF.callbacks import Callback, LambdaCallback
from miniDLF.constraints import Constraint
from miniDLF.errors import ArgumentError, ArgumentTypeError, MiniDLFError, ShapeError
from miniDLF.initializers import Initializer, RandomInitializer
from miniDLF.layers import Activation, Dense
from miniDLF.losses import BinaryCrossentropy, CategoricalCrossentropy, ElementwiseLoss, Loss, MeanSquaredError
from miniDLF.metrics import Metric
from miniDLF.metrics.base import Mean
from miniDLF.models import Sequential
from miniDLF.optimizers import SGD, Accumulate, Adam, ClipNorm, Optimizer, UpdateRule, Wrapper
from miniDLF.optimizers.schedules import Schedule
from miniDLF.regularizers import Regularizer

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 4)).astype(np.float32), RNG.normal(size=(40, 2)).astype(np.float32)


def model(loss: Any = "mse", optimizer: Any = "sgd", metrics: Any = None, **options: Any) -> Sequential:
    made = Sequential([Dense(2, input_shape=(4,), **options)], seed=0)
    made.compile(loss, optimizer, metrics=metrics)
    return made


def train(**options: Any) -> Any:
    return model(**options).fit(X, Y, verbose=0)


def made_of(base: type, **methods: Any) -> Any:
    """Return an object of a class of one's own, called Mine."""
    return type("Mine", (base,), {"__module__": __name__, **methods})()


# Losses ---------------------------------------------------------------------------------------------------------------


def squares(self: Any, prediction: Any, target: Any, weights: Any, empty: Any) -> Any:
    error = prediction - target
    return float(np.sum(weights * (error**2).sum(1))), 2 * error * weights[:, None]


def loss_returning(change: Callable[..., Any]) -> Any:
    return made_of(
        Loss,
        value_and_grad=lambda self, prediction, target, weights, empty: change(
            *squares(self, prediction, target, weights, empty), prediction, target
        ),
    )


def terms_returning(change: Callable[..., Any]) -> Any:
    def terms(self: Any, prediction: Any, target: Any, grad: Any, empty: Any) -> Any:
        return change(prediction - target, grad)

    return made_of(ElementwiseLoss, terms=terms)


def filled(error: Any, grad: Any, slope: float = 2.0) -> Any:
    grad[...] = slope * error
    return error**2


def writing(value: float, grad: Any, prediction: Any, target: Any) -> Any:
    prediction *= 2
    return value, grad


LOSSES: dict[str, tuple[Callable[[], Any], type[MiniDLFError], str]] = {
    "no method": (
        lambda: made_of(Loss),
        ArgumentTypeError,
        r"has no value_and_grad\(\): define value_and_grad\(self, prediction, target, weights, empty\)",
    ),
    "a formula in tensors of one argument": (
        lambda: made_of(Loss, call=lambda self, error: error),
        ArgumentTypeError,
        r"call\(error\) cannot be called with \(y_true, y_pred\)\. Write it as call\(self, y_true, y_pred\)",
    ),
    "misspelt method": (
        lambda: made_of(Loss, value_and_gradient=squares),
        ArgumentTypeError,
        "has no value_and_grad.*Is it 'value_and_gradient'",
    ),
    "no terms": (
        lambda: made_of(ElementwiseLoss),
        ArgumentTypeError,
        r"has no terms\(\): define terms\(self",
    ),
    "arguments": (
        lambda: made_of(Loss, value_and_grad=lambda self, y_true, y_pred: 0.0),
        ArgumentTypeError,
        r"value_and_grad\(y_true, y_pred\) cannot be called with \(prediction, target, weights, empty\)\. "
        r"Write it as value_and_grad\(self, prediction, target, weights, empty\)",
    ),
    "nothing": (lambda: loss_returning(lambda *_: None), ArgumentTypeError, "value_and_grad returned None, as it does"),
    "one thing": (
        lambda: loss_returning(lambda value, grad, *_: value),
        ArgumentTypeError,
        "value_and_grad returned float; return two things",
    ),
    "losses of samples": (
        lambda: loss_returning(lambda value, grad, *_: (grad.sum(1), grad)),
        ArgumentTypeError,
        r"the value .* is an array of shape \(32,\); expected one number, sum\(weights \* loss of each sample\)",
    ),
    "gradient of a row": (
        lambda: loss_returning(lambda value, grad, *_: (value, grad.mean(1))),
        ShapeError,
        r"the gradient .* has the shape \(32,\); expected that of the predictions, \(32, 2\)",
    ),
    "gradient as a list": (
        lambda: loss_returning(lambda value, grad, *_: (value, grad.tolist())),
        ArgumentTypeError,
        r"the gradient .* is list; expected an array of shape \(32, 2\)",
    ),
    "wide gradient": (
        lambda: loss_returning(lambda value, grad, *_: (value, grad.astype(float))),
        ArgumentTypeError,
        r"the gradient .* is of float64, the model computes in float32.*\.astype\(prediction.dtype\)",
    ),
    "nan": (
        lambda: loss_returning(lambda value, grad, *_: (np.nan, grad)),
        ArgumentError,
        r"the value is not finite for predictions from .* to .* and targets from .*np.clip\(prediction, 1e-7, 1\)",
    ),
    "infinite gradient": (
        lambda: loss_returning(lambda value, grad, *_: (value, grad / np.zeros_like(grad))),
        ArgumentError,
        "the gradient is not finite",
    ),
    "mean": (
        lambda: loss_returning(lambda value, grad, p, t: (float(np.mean((p - t) ** 2)), grad)),
        ArgumentError,
        r"and .* for weights twice as large. It has to return sum\(weights \* loss of each sample\)",
    ),
    "written predictions": (
        lambda: loss_returning(writing),
        ArgumentError,
        "value_and_grad writes to the predictions that it is given",
    ),
    "terms of nothing": (
        lambda: terms_returning(lambda error, grad: None),
        ArgumentTypeError,
        r"terms returned None.*\(32, 2\)",
    ),
    "mean of terms": (
        lambda: terms_returning(lambda error, grad: filled(error, grad).mean()),
        ArgumentTypeError,
        r"terms returned float32; return the loss of every element",
    ),
    "terms of the features": (
        lambda: terms_returning(lambda error, grad: filled(error, grad).mean(0)),
        ShapeError,
        r"terms returned an array of shape \(2,\); expected the loss of every element, \(32, 2\)",
    ),
    "no slope": (
        lambda: terms_returning(lambda error, grad: error**2),
        ArgumentError,
        r"terms did not fill grad.*grad\[\.\.\.\] = ",
    ),
}


@pytest.mark.parametrize("case", LOSSES)
def test_a_loss_that_is_wrong(case: str) -> None:
    make, kind, message = LOSSES[case]
    with np.errstate(all="ignore"), pytest.raises(kind, match=f"loss Mine.*{message}"):
        train(loss=make())


@pytest.mark.parametrize("slope", [0.0, -2.0, 4.0])
def test_a_gradient_that_is_not_that_of_the_value_is_warned_of_once(slope: float) -> None:
    wrong = terms_returning(partial(filled, slope=slope))
    made = model(wrong)
    with pytest.warns(
        UserWarning, match="loss Mine: the gradient of value_and_grad does not fit its value.*check_grad"
    ):
        made.train_on_batch(X, Y)
    made.train_on_batch(X, Y)
    with pytest.warns(UserWarning, match="does not fit"):
        model(wrong).evaluate(X, Y)


@pytest.mark.parametrize("loss", [partial(terms_returning, filled), partial(loss_returning, lambda v, g, *_: (v, g))])
def test_a_loss_that_is_right_is_tried_in_silence_and_changes_nothing(loss: Any) -> None:
    made, other = model(loss()), model(loss())
    other.engine()._untried = False
    assert made.fit(X, Y, verbose=0).history == other.fit(X, Y, verbose=0).history
    for ours, theirs in zip(made.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_loss_that_computes_in_a_type_of_its_own_is_not_judged_by_differences() -> None:
    def single(self: Any, prediction: Any, target: Any, weights: Any, empty: Any) -> Any:
        value, grad = squares(self, prediction.astype(np.float32), target, weights, empty)
        return value, grad.astype(np.float32)

    train(loss=made_of(Loss, value_and_grad=single))


def test_a_function_as_a_loss_that_takes_something_else_is_named() -> None:
    with pytest.raises(
        ArgumentTypeError, match=r"loss 'of_one': of_one\(target.* cannot be .*of_one\(y_true, y_pred\)"
    ):
        model(of_one)


def test_kinks_accuse_nobody() -> None:
    """Predictions and targets of exactly 0, where the derivative of the distance is taken as 1."""

    def distance(error: Any, grad: Any) -> Any:
        grad[...] = np.where(error >= 0, 1, -1)
        return np.abs(error)

    made = Sequential([Dense(2, input_shape=(4,), weight_initializer="zeros")], seed=0)
    made.compile(terms_returning(distance), "sgd")
    made.fit(X, np.zeros_like(Y), verbose=0)


def test_a_loss_that_derives_from_one_of_the_package_is_tried_too() -> None:
    half = type("Mine", (MeanSquaredError,), {"__module__": __name__, "terms": lambda self, p, t, grad, empty: p - t})
    with pytest.raises(ArgumentError, match="loss Mine: terms did not fill grad"):
        train(loss=half())


@pytest.mark.parametrize(
    ("base", "units", "activation", "method"),
    [
        (CategoricalCrossentropy, 3, "softmax", "value_and_grad"),
        (BinaryCrossentropy, 1, "sigmoid", "value_and_grad"),
        (BinaryCrossentropy, 1, "sigmoid", "terms"),
    ],
)
def test_a_formula_of_ones_own_is_not_passed_by_for_that_of_its_base(
    base: Any, units: int, activation: str, method: str
) -> None:
    """Behind softmax and sigmoid the losses of the package work on the logits, by another method."""

    def tenfold(self: Any, prediction: Any, target: Any, third: Any, empty: Any) -> Any:
        result = getattr(base, method)(self, prediction, target, third, empty)
        if method == "terms":
            third *= 10
            return 10 * result
        return 10 * result[0], 10 * result[1]

    mixin = type("Mixin", (), {"__module__": __name__, method: tenfold})
    kinds = (base, type("Mine", (base,), {"__module__": __name__, method: tenfold}), type("Mine", (mixin, base), {}))
    labels = np.arange(40) % max(units, 2)
    found = []
    for kind in (*kinds, type("Heir", (kinds[1],), {"__module__": __name__})):
        made = Sequential([Dense(units, input_shape=(4,)), Activation(activation)], seed=0)
        made.compile(kind(), SGD(0.1, momentum=0, nesterov=False))
        before = made.get_weights()[0]
        found.append([made.evaluate(X, labels), made.train_on_batch(X, labels), made.get_weights()[0] - before])
    for value, step, change in found[1:]:
        assert value == pytest.approx(10 * found[0][0], rel=1e-4)
        assert step == pytest.approx(10 * found[0][1], rel=1e-4)
        np.testing.assert_allclose(change, 10 * found[0][2], rtol=1e-3, atol=1e-6)
    assert kinds[0].absorbs is not None


# Metrics --------------------------------------------------------------------------------------------------------------


def metric_of(result: Any, **methods: Any) -> Any:
    kept = {"reset": lambda self: None, "update": lambda self, target, prediction, weights=None: None}
    return made_of(Metric, **{**kept, "result": lambda self: result, **methods})


def values_of(values: Callable[..., Any]) -> Any:
    return made_of(Mean, values=lambda self, target, prediction: values(target, prediction))


def counting(self: Any, target: Any, prediction: Any, weights: Any = None) -> None:
    self.rows += len(target)


METRICS: dict[str, tuple[Callable[[], Any], type[MiniDLFError], str]] = {
    "no method": (
        lambda: type("Mine", (Metric,), {"__module__": __name__, "reset": lambda self: None})(),
        ArgumentTypeError,
        r"has no update\(\): define update\(self, target, prediction, weights\)",
    ),
    "Keras' method": (
        lambda: made_of(Metric, reset=lambda self: None, update_state=lambda self, y_true, y_pred: None),
        ArgumentTypeError,
        r"has no update\(\).*Keras' update_state\(\) is not used",
    ),
    "no reset": (
        lambda: made_of(Metric, reset_state=lambda self: None),
        ArgumentTypeError,
        r"has no reset\(\): define reset\(self\)\. Keras' reset_state\(\) is not used",
    ),
    "no values": (lambda: made_of(Mean), ArgumentTypeError, r"has no values\(\): define values\(self, target, predict"),
    "no weights": (
        lambda: metric_of(1.0, update=lambda self, target, prediction: None),
        ArgumentTypeError,
        r"update\(target, prediction\) cannot be called with \(target, prediction, weights\)\. Write it as update\(s",
    ),
    "no result": (lambda: metric_of(None), ArgumentTypeError, "result returned None, as it does without a return"),
    "sums of nothing": (
        lambda: metric_of(1.0, sums=("total",)),
        ArgumentError,
        r"sums names 'total', which reset\(\) does not set. Set self.total there",
    ),
    "no way back": (
        lambda: made_of(Metric, rows=0, reset=lambda self: None, update=counting, result=lambda self: self.rows),
        ArgumentError,
        r"the same batch gives 32 at first and 64 after reset\(\).*Set everything back in reset",
    ),
    "text": (lambda: metric_of("good"), ArgumentTypeError, "result returned str; return a number, or an array"),
    "values of nothing": (lambda: values_of(lambda t, p: None), ArgumentTypeError, "values returned None"),
    "mean": (
        lambda: values_of(lambda t, p: np.mean(p)),
        ShapeError,
        r"values returned an array of shape \(\); expected one number a sample, \(32,\)",
    ),
    "half": (
        lambda: values_of(lambda t, p: p[:10, 0]),
        ShapeError,
        r"values returned an array of shape \(10,\); expected one number a sample, \(32,\)",
    ),
}


@pytest.mark.parametrize("case", METRICS)
def test_a_metric_that_is_wrong(case: str) -> None:
    make, kind, message = METRICS[case]
    with pytest.raises(kind, match=f"metric 'metric'.*{message}"):
        train(metrics=[make()])


def of_one(target: Any) -> Any:
    return target


def of_nothing(target: Any, prediction: Any) -> Any:
    target - prediction


def of_a_part(target: Any, prediction: Any) -> Any:
    return (target - prediction)[:7]


def of_all(target: Any, prediction: Any) -> Any:
    return float(np.mean(target - prediction))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            of_one,
            r"of_one\(target.*\).* cannot be called with \(target, prediction\). Write it as of_one\(target, pred",
        ),
        (of_nothing, r"returned None.*return one value a sample, \(32, ...\)"),
        (of_a_part, r"must return one value a sample, \(32, ...\); it returned shape \(7, 2\)"),
        (of_all, r"must return one value a sample.*returned shape \(\). Leave the mean over samples to the metric"),
    ],
)
def test_a_function_as_a_metric_that_is_wrong(function: Any, message: str) -> None:
    with pytest.raises(MiniDLFError, match=f"metric '{function.__name__}'.*{message}"):
        train(metrics=[function])


def test_a_metric_that_is_nan_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"metric 'metric' is NaN for finite targets and predictions \(32 samples\)"):
        model(metrics=[metric_of(np.nan)]).evaluate(X, Y)


def test_trying_a_metric_leaves_it_as_it_is() -> None:
    class Rows(Metric):
        sums = ("rows",)

        def reset(self) -> None:
            self.rows = 0

        def update(self, target: Any, prediction: Any, weights: Any = None) -> None:
            self.rows += len(target)

        def result(self) -> Any:
            return self.rows

    assert train(metrics=[Rows()]).history["metric"] == [40]


# Optimizers -----------------------------------------------------------------------------------------------------------


def rule(update: Callable[..., Any], **methods: Any) -> Any:
    return made_of(UpdateRule, update=update, **methods)


def step_of(change: Callable[..., Any]) -> Callable[..., Any]:
    def update(self: Any, value: Any, grad: Any, state: Any, learning_rate: Any, step: Any, scratch: Any) -> Any:
        return change(value, grad, state, learning_rate)

    return update


def descend(value: Any, grad: Any, state: Any, learning_rate: float) -> None:
    value -= learning_rate * grad


def forget(value: Any, grad: Any, state: Any, learning_rate: float) -> None:
    state["mean"] = 0.9 * state["mean"] + grad
    value -= learning_rate * state["mean"]


def normalise(value: Any, grad: Any, state: Any, learning_rate: float) -> None:
    value -= learning_rate * grad / np.linalg.norm(grad)


def divide(value: Any, grad: Any, state: Any, learning_rate: float) -> None:
    value -= grad / state["mean"]


OPTIMIZERS: dict[str, tuple[Callable[[], Any], type[MiniDLFError], str]] = {
    "no method": (
        lambda: made_of(UpdateRule, step=descend),
        ArgumentTypeError,
        r"Mine has no update\(\): define update\(self, value, grad, state, learning_rate, step, scratch\)",
    ),
    "Keras' method": (
        lambda: made_of(UpdateRule, update_step=descend),
        ArgumentTypeError,
        r"no update\(\).*Keras' update_step\(\) is not used",
    ),
    "no rate": (
        lambda: made_of(Optimizer, update=step_of(descend)),
        ArgumentTypeError,
        r"Mine has no rate\(\): define",
    ),
    "arguments": (
        lambda: rule(lambda self, gradient, variable, learning_rate: None),
        ArgumentTypeError,
        r"update\(gradient, variable, learning_rate\) cannot be called with \(value, grad, state, learning_rate, step",
    ),
    "a new array": (
        lambda: rule(step_of(lambda value, grad, state, rate: value - rate * grad)),
        ArgumentError,
        r"update returned an array of shape \(\d+,\) and left `value` as it was.*value -= learning_rate \* grad",
    ),
    "nothing": (
        lambda: rule(step_of(lambda *_: None)),
        ArgumentError,
        "update left `value` as it was, so nothing would be learned",
    ),
    "nothing, wrapped": (
        lambda: ClipNorm(Accumulate(rule(step_of(lambda *_: None)), 3), 1.0),
        ArgumentError,
        "Mine: update left `value` as it was",
    ),
    "state that is forgotten": (
        lambda: rule(step_of(forget), state_names=("mean",)),
        ArgumentError,
        r"puts another array in the place of state\['mean'\], so nothing is remembered. Change it in place",
    ),
    "a norm of a part": (
        lambda: rule(step_of(normalise)),
        ArgumentError,
        r"one result for the whole vector and another for its halves.*belongs in before\(\)",
    ),
    "division by 0": (
        lambda: rule(step_of(divide), state_names=("mean",)),
        ArgumentError,
        "makes NaN or infinity of finite values and gradients.*where the state is 0",
    ),
    "state that is not kept": (
        lambda: rule(step_of(divide)),
        ArgumentError,
        r"Mine: update asks for 'mean', and state has nothing. Name all that the rule keeps: state_names = \('mean',\)",
    ),
    "no state": (
        lambda: rule(step_of(descend), init_state=lambda self, size, dtype: None),
        ArgumentTypeError,
        "init_state returned None.*return a dictionary of arrays",
    ),
    "short state": (
        lambda: rule(step_of(descend), init_state=lambda self, size, dtype: {"mean": np.zeros(3)}),
        ShapeError,
        r"init_state gives an array of shape \(3,\) for 'mean'; expected an array of shape \(\d+,\)",
    ),
    "before without an answer": (
        lambda: rule(step_of(descend), before=lambda self, buffers, state, step: None),
        ArgumentTypeError,
        "before returned None.*return True, or False to skip the update",
    ),
    "no number as a rate": (
        lambda: rule(step_of(descend), rate=lambda self, step: None),
        ArgumentTypeError,
        "rate returned None; return the learning rate, a finite number",
    ),
    "a schedule that returns nothing": (
        lambda: Adam(lr=made_of(Schedule, __call__=lambda self, step: None)),
        ArgumentTypeError,
        "Mine: __call__ returned None; return the learning rate, a finite number",
    ),
    "a minimizer that returns an array": (
        lambda: made_of(
            Optimizer, full_batch=True, rate=lambda self, step: 1.0, minimize=lambda self, f, values: values
        ),
        ArgumentTypeError,
        r"minimize returned an array of shape \(4,\); return a miniDLF.optimizers.Minimum",
    ),
    "a schedule that takes nothing": (
        lambda: Adam(lr=made_of(Schedule, __call__=lambda self: 0.1)),
        ArgumentTypeError,
        r"__call__\(\) cannot be called with \(step\)",
    ),
}


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_an_optimizer_that_is_wrong(case: str) -> None:
    make, kind, message = OPTIMIZERS[case]
    with np.errstate(all="ignore"), pytest.raises(kind, match=message):
        model(optimizer=make())


def test_an_optimizer_that_climbs_is_warned_of() -> None:
    up = rule(step_of(lambda value, grad, state, rate: descend(value, grad, state, -rate)))
    with pytest.warns(UserWarning, match="Mine: update goes up along the gradient.*value -= learning_rate"):
        model(optimizer=ClipNorm(up, 1.0))


def test_optimizers_that_are_right_are_tried_in_silence() -> None:
    class Noisy(UpdateRule):
        lr: Any = 0.1

        def update(self, value: Any, grad: Any, state: Any, learning_rate: float, step: int, scratch: Any) -> None:
            value -= learning_rate * np.sign(grad)

    class Every(Wrapper):
        """Skips every other step."""

        def before(self, buffers: Any, state: Any, step: int) -> bool:
            return step % 2 == 0 and super().before(buffers, state, step)

    for optimizer in (Noisy(), Accumulate(Noisy(), 4), Every(Noisy()), Every("adam")):
        model(optimizer=optimizer).fit(X, Y, batch_size=4, verbose=0)


# Initializers, regularizers, constraints ------------------------------------------------------------------------------


def initializer(value: Any) -> Any:
    return made_of(Initializer, __call__=lambda self, shape, rng, fans: value)


def adding(value: Any, grad: Any) -> float:
    return float(np.sum(value**2))


PARTS: dict[str, tuple[Callable[[], Any], type[MiniDLFError], str]] = {
    "initializer without a call": (
        lambda: {"weight_initializer": made_of(Initializer)},
        ArgumentTypeError,
        r"dense_1/weight: the initializer Mine has no __call__\(\): define __call__\(self, shape, rng, fans\)",
    ),
    "initializer without a draw": (
        lambda: {"weight_initializer": made_of(RandomInitializer)},
        ArgumentTypeError,
        r"has no draw\(\): define draw\(self, shape, rng, fans\)",
    ),
    "initializer of Keras": (
        lambda: {"weight_initializer": made_of(Initializer, __call__=lambda self, shape, dtype=None: np.ones(shape))},
        ArgumentTypeError,
        r"__call__\(shape, dtype=None\) cannot be called with \(shape, rng, fans\)",
    ),
    "initializer that is a function": (
        lambda: {"weight_initializer": lambda shape: np.ones(shape)},
        ArgumentTypeError,
        r"weight_initializer: received '<lambda>', a function. Derive a class from .*Initializer with __call__\(self",
    ),
    "initializer of nothing": (
        lambda: {"bias_initializer": initializer(None)},
        ArgumentTypeError,
        r"dense_1/bias: the initializer Mine returned None, .*return an array of numbers of shape \(2,\)",
    ),
    "initializer of another shape": (
        lambda: {"weight_initializer": initializer(np.ones((2, 4)))},
        ShapeError,
        r"dense_1/weight: .* returned an array of shape \(2, 4\); expected \(4, 2\). Make it of the `shape`",
    ),
    "initializer of one number": (
        lambda: {"weight_initializer": initializer(0.5)},
        ShapeError,
        r"returned an array of shape \(\); expected \(4, 2\)",
    ),
    "initializer of text": (lambda: {"weight_initializer": initializer("one")}, ArgumentTypeError, "returned str; ret"),
    "initializer of NaN": (
        lambda: {"weight_initializer": initializer(np.full((4, 2), np.nan))},
        ArgumentError,
        "returned NaN or infinity. Return finite numbers",
    ),
    "penalty of nothing": (
        lambda: {"weight_regularizer": made_of(Regularizer, value_and_grad=lambda self, value, grad: None)},
        ArgumentTypeError,
        "dense_1/weight: Mine: value_and_grad returned None.*return one number, the penalty",
    ),
    "penalty without a gradient": (
        lambda: {"weight_regularizer": made_of(Regularizer, value_and_grad=lambda self, v, g: adding(v, g))},
        ArgumentError,
        r"returned the penalty .* and added no gradient to grad.*grad \+= ",
    ),
    "penalty of one argument": (
        lambda: {"weight_regularizer": made_of(Regularizer, value_and_grad=lambda self, value: 0.0)},
        ArgumentTypeError,
        r"value_and_grad\(value\) cannot be called with \(value, grad\)",
    ),
    "condition that returns": (
        lambda: {"weight_constraint": made_of(Constraint, apply=lambda self, value: np.clip(value, 0, 1))},
        ArgumentError,
        r"apply returned an array of shape \(4, 2\) and left `value` as it was. Change it in place",
    ),
    "condition of Keras": (
        lambda: {"weight_constraint": made_of(Constraint, call=lambda self, w: w)},
        ArgumentTypeError,
        r"Mine has no apply\(\): define apply\(self, value\). Keras' call\(\) is not used",
    ),
}


@pytest.mark.parametrize("case", PARTS)
def test_a_part_of_a_layer_that_is_wrong(case: str) -> None:
    make, kind, message = PARTS[case]
    with pytest.raises(kind, match=message):
        model(**make())


# Activations ----------------------------------------------------------------------------------------------------------


def double_in_place(x: Any) -> Any:
    x *= 2
    return x


@pytest.mark.parametrize(
    ("function", "derivative", "message"),
    [
        (lambda x: None, np.ones_like, "Activation: function returned None.*return an array of the shape that it is"),
        (np.arcsinh, lambda x: None, "Activation: derivative returned None"),
        (double_in_place, np.ones_like, "Activation: function double_in_place writes to the array that it is given"),
        (lambda x, slope: x, np.ones_like, r"f\(x, slope\) cannot be called with \(x\). Write it as f\(x\)"),
        (lambda x: x.sum(), np.ones_like, r"received an array of shape \(\d+, 3\) and returned one of shape \(\)"),
    ],
)
def test_a_function_as_an_activation_that_is_wrong(function: Any, derivative: Any, message: str) -> None:
    with pytest.raises(MiniDLFError, match=message):
        Sequential([Dense(3, activation=Activation(function, derivative=derivative), input_shape=(4,))]).predict(X)


# Callbacks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            {"on_epoch_ends": lambda self, epoch, logs=None: None},
            "Mine: on_epoch_ends is never called.*Call it on_epoch_end",
        ),
        ({"on_training_begin": lambda self, logs=None: None}, "there is no such hook. Call it on_train_begin"),
        (
            {"on_epoch_end": lambda self, epoch: None},
            r"on_epoch_end\(epoch\) cannot be called with \(epoch, logs\). Write it as on_epoch_end\(self, epoch, l",
        ),
        ({"on_train_begin": lambda self: None}, r"on_train_begin\(\) cannot be called with \(logs\)"),
        ({"on_train_batch_end": lambda self, logs: None}, r"cannot be called with \(batch, logs\)"),
        ({"set_model": lambda self: None}, r"set_model\(\) cannot be called with \(model\)"),
        ({"get_state": lambda self, more: None}, r"get_state\(more\) cannot be called with \(\)"),
    ],
)
def test_a_callback_that_is_wrong(method: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentTypeError, match=message):
        model().fit(X, Y, verbose=0, callbacks=[made_of(Callback, **method)])


def test_functions_of_a_callback_are_checked_as_well() -> None:
    with pytest.raises(
        ArgumentTypeError, match=r"<lambda>|on_epoch_end\(epoch\) cannot .* Write it as on_epoch_end\(epo"
    ):
        model().fit(X, Y, verbose=0, callbacks=[LambdaCallback(on_epoch_end=lambda epoch: None)])
    with pytest.raises(ArgumentTypeError, match="no hook 'on_epoch_ends'.*Did you mean 'on_epoch_end'"):
        LambdaCallback(on_epoch_ends=print)


def test_a_hook_that_is_like_no_other_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="Mine: on_validation_start is never called. The hooks are on_batch_begin, on"):
        model().predict(X, callbacks=[made_of(Callback, on_validation_start=lambda self: None)])


@pytest.mark.parametrize("name", ["epoch_end", "onepochend", "train_batch_end"])
def test_a_method_that_is_meant_to_be_a_hook_is_warned_of(name: str) -> None:
    with pytest.warns(UserWarning, match=f"Mine: nobody calls {name}. If it is to be a hook, call it on_"):
        model().predict(X, callbacks=[made_of(Callback, **{name: lambda self, epoch, logs=None: None})])


def test_callbacks_that_are_right_are_called_in_silence() -> None:
    seen: list[Any] = []

    class Fine(Callback):
        on_air = False  # no method

        def on_epoch_end(self, epoch: int, logs: Any = None, *more: Any) -> None:
            self.epoch_end(epoch)

        def epoch_end(self, epoch: int) -> None:
            seen.append(epoch)

    other = LambdaCallback(on_epoch_end=lambda *given: seen.append(given[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model().fit(X, Y, verbose=0, epochs=2, callbacks=[Fine(), other])
    assert seen == [0, 0, 1, 1]
