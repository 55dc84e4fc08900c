"""What `compile` is given for several outputs: followed by place or by name, or refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from miniDLF import errors
from miniDLF.layers import Dense
from miniDLF.losses import MeanAbsoluteError
from miniDLF.models import Input, Model, Sequential


def outputs(count: int) -> Model:
    if count == 1:
        return Sequential([Dense(1, input_shape=(4,))])
    x = Input((4,))
    return Model(x, {name: Dense(1)(x) for name in "abc"[:count]})


def names(model: Model) -> list[str]:
    return list(model.engine().logs())


@pytest.mark.parametrize(
    ("count", "arguments"),
    [
        (1, {"loss": ["mse", "mae"]}),
        (1, {"loss": []}),
        (1, {"loss": ()}),
        (2, {"loss": ["mse"]}),
        (2, {"loss": []}),
        (2, {"loss": ["mse", "mae", "mse"]}),
        (1, {"loss_weights": [1.0, 2.0]}),
        (1, {"loss_weights": []}),
        (2, {"loss_weights": [1.0]}),
        (2, {"loss_weights": [1.0, 1.0, 0.0]}),
        (1, {"metrics": [["mae"], ["mse"]]}),
        (2, {"metrics": ["mae", "mse", "mae"]}),
        (2, {"metrics": [["mae"], [], ["mse"]]}),
        (3, {"metrics": [["mae"], ["mse"]]}),
        (2, {"weighted_metrics": ["mae", "mse", "mae"]}),
    ],
)
def test_lists_of_another_length_than_the_outputs_are_refused(count, arguments) -> None:
    name, value = next(iter(arguments.items()))
    shown = "one output" if count == 1 else f"{count} outputs ({', '.join('abc'[:count])})"
    message = f"compile({name}=...): the model has {shown}, received a list of {len(value)}."
    with pytest.raises(errors.ArgumentError, match=re.escape(message)):
        outputs(count).compile(**{"loss": "mse", "optimizer": "adam", **arguments})


@pytest.mark.parametrize(
    ("count", "arguments", "expected"),
    [
        (1, {"metrics": ["mae", "mse"]}, ["loss", "mae", "mse"]),
        (1, {"metrics": []}, ["loss"]),
        (1, {"metrics": [["mae", "mse"]]}, ["loss", "mae", "mse"]),
        (1, {"loss": ["mae"], "loss_weights": [2.0]}, ["loss"]),
        (1, {"loss": MeanAbsoluteError, "loss_weights": 2}, ["loss"]),
        (2, {"metrics": "mae"}, ["loss", "a_loss", "a_mae", "b_loss", "b_mae"]),
        (2, {"metrics": ["mae"]}, ["loss", "a_loss", "a_mae", "b_loss", "b_mae"]),
        (2, {"metrics": ["mae", "mse"]}, ["loss", "a_loss", "a_mae", "b_loss", "b_mse"]),
        (2, {"metrics": [None, ["mae", "mse"]]}, ["loss", "a_loss", "b_loss", "b_mae", "b_mse"]),
        (2, {"metrics": {"b": "mse"}}, ["loss", "a_loss", "b_loss", "b_mse"]),
        (2, {"loss": ["mse", "mae"], "loss_weights": {"a": 0}}, ["loss", "a_loss", "b_loss"]),
    ],
)
def test_what_is_given_stands_by_its_output(count, arguments, expected) -> None:
    model = outputs(count)
    model.compile(**{"loss": "mse", "optimizer": "adam", **arguments})
    assert names(model) == expected


def test_loss_weights_are_numbers() -> None:
    for weight in ("much", np.nan, np.inf, None, True):
        model = outputs(2)
        if weight is None:
            model.compile(["mse", "mse"], loss_weights=[None, 2.0])
            assert [head.weight for head in model.engine().heads] == [1.0, 2.0]
        else:
            with pytest.raises(errors.MiniDLFError, match="compile: loss_weights must"):
                model.compile(["mse", "mse"], loss_weights=[1.0, weight])


@pytest.mark.parametrize("losses", [{"a": "mse"}, ["mse", None], {}, None])
def test_an_output_without_a_loss_is_told(losses) -> None:
    with pytest.raises(errors.ArgumentError, match=r"compile\(loss=...\): (a, )?b has no loss\. Name one for every"):
        outputs(2).compile(losses)
