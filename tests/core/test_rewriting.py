"""Random chains of layers: neighbours that join, change places or work in place give what every layer alone gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from miniDLF.core.executor import Executor
from miniDLF.errors import MiniDLFError
from miniDLF.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    Pooling2D,
    ReLU,
    Sigmoid,
    Softmax,
    UpSampling2D,
)
from miniDLF.models import Input, Model, Sequential

KINDS = ("relu", "leaky_relu", "clipped_relu", "tanh", "sigmoid")
activations = st.builds(Activation, st.sampled_from(KINDS))
convolutions = st.builds(Conv2D, st.sampled_from([1, 3, 16, 33]), st.sampled_from([1, 2, 3]), padding=st.just("same"))
strided = st.builds(Conv2D, st.sampled_from([2, 5]), st.sampled_from([2, 3]), st.just(2))
poolings = st.builds(Pooling2D, st.sampled_from([2, 2, 3]), st.just(2), st.sampled_from(["max", "avg"]))
enlargements = st.builds(UpSampling2D, st.sampled_from([2, 3]))
others = st.one_of(st.builds(BatchNormalization), st.builds(Dropout, st.sampled_from([0.0, 0.3])))
#: Which pixels a mask hits depends on the order of memory, and that on how images got there: so nothing drops here.
image_others = st.one_of(st.builds(BatchNormalization), st.builds(Dropout, st.just(0.0)))
#: Groups in which neighbours have something to do with each other.
image_groups = st.one_of(
    st.tuples(convolutions),
    st.tuples(strided),
    st.tuples(poolings),
    st.tuples(enlargements, convolutions),
    st.tuples(convolutions, poolings),
    st.tuples(convolutions, activations, poolings),
    st.tuples(convolutions, poolings, activations),
    st.tuples(activations),
    st.tuples(st.builds(ReLU, st.sampled_from([0.0, 0.2])), image_others),
    st.tuples(image_others),
)
vector_groups = st.one_of(
    st.tuples(st.builds(Dense, st.sampled_from([1, 4, 7]))),
    st.tuples(st.builds(BatchNormalization), st.builds(Dense, st.sampled_from([1, 4, 7]))),
    st.tuples(activations, others),
    st.tuples(st.builds(Activation, st.sampled_from([*KINDS, "softmax"]))),
)
heads = st.sampled_from([[], [Flatten], [GlobalAveragePooling2D]])


def chain(shape: tuple[int, ...], parts: list[Layer], shards: int) -> Sequential:
    """Put the parts that fit one behind the other; images stay small."""
    model = Sequential([Activation("linear", input_shape=shape)], seed=1, dtype="float64", shards=shards)
    for part in parts:
        if isinstance(part, UpSampling2D) and max(model.output_shape) > 16:
            continue
        try:
            model.add(part)
        except MiniDLFError:  # the window is larger than what is left of the image
            continue
    model.compile("mse", "sgd", doctor=False)  # layers in any order
    return model


def step(executor: Executor, batch: Any, number: int) -> list[Any]:
    losses = executor.step(batch, number)
    return [*losses, sum(executor.gradient_parts()[0])]


def check(model: Sequential, sizes: list[int], seed: int) -> None:
    """Compare step by step with an executor that is new each time and lets every layer work alone."""
    engine, rng = model.engine(), np.random.default_rng(seed)
    settings_of_both: dict[str, Any] = {"heads": engine.heads, "seed": 3, "shards": engine.executor.fixed_shards}
    used = Executor(engine.graph, engine.buffers, **settings_of_both)
    for number in range(9):  # notes are worked off from the seventh of a size on
        rows = sizes[number % 2] if number < 4 else sizes[0]
        x = rng.normal(size=(rows, *model.input_shape))
        alone = Executor(engine.graph, engine.buffers, in_place=False, **settings_of_both)
        np.testing.assert_allclose(used.infer([x])[0], alone.infer([x])[0], rtol=1e-8, atol=1e-9)
        batch = model.converter().batch(x, rng.normal(size=(rows, *model.output_shape)))
        loss, gradient = step(used, batch, number)
        plain_loss, plain_gradient = step(alone, batch, number)
        np.testing.assert_allclose(loss, plain_loss, rtol=1e-9)
        np.testing.assert_allclose(
            gradient, plain_gradient, rtol=1e-6, atol=1e-9 * (1 + np.abs(plain_gradient).max(initial=0))
        )


class Doubled(Dense):
    def forward(self, x: Any, call: Any) -> Any:
        return super().forward(x, call) * 2

    def backward(self, dy: Any, call: Any) -> Any:
        return super().backward(dy * 2, call)


class Shifted(ReLU):
    def forward(self, x: Any, call: Any) -> Any:
        return super().forward(x, call) + 1


class Half(UpSampling2D):
    def forward(self, x: Any, call: Any) -> Any:
        return super().forward(x, call) / 2

    def backward(self, dy: Any, call: Any) -> Any:
        return super().backward(dy / 2, call)


class Always(Dropout):
    """Leaves out every second feature, whether it trains or not."""

    def forward(self, x: Any, call: Any) -> Any:
        return x * (np.arange(x.shape[-1]) % 2)

    def backward(self, dy: Any, call: Any) -> Any:
        return dy * (np.arange(dy.shape[-1]) % 2)


class Kept(BatchNormalization):
    def forward(self, x: Any, call: Any) -> Any:
        call.y = super().forward(x, call)
        return call.y  # which a layer behind it must not overwrite


class Sharp(Softmax):
    def forward(self, x: Any, call: Any) -> Any:
        return super().forward(3 * x, call)

    def backward(self, dy: Any, call: Any) -> Any:
        return 3 * super().backward(dy, call)


class Hard(Sigmoid):
    def forward(self, x: Any, call: Any) -> Any:
        return np.round(super().forward(x, call))


class Whole(Pooling2D):
    def forward(self, x: Any, call: Any) -> Any:
        return super().forward(x, call) * 0 + 1


IMAGE = {"input_shape": (2, 8, 8)}
OVERRIDDEN: dict[str, list[Any]] = {
    "dense behind a normalisation": [BatchNormalization(input_shape=(6,)), Doubled(6)],
    "dense behind a changed normalisation": [Kept(input_shape=(6,)), Dense(6)],
    "rectifier before dropout": [Dense(6, input_shape=(6,)), Shifted(), Dropout(0.5)],
    "dropout behind a rectifier": [Dense(6, input_shape=(6,)), ReLU(), Always(0.5)],
    "enlargement before a convolution": [Half(2, **IMAGE), Conv2D(4, 3, padding=1)],
    "pooling behind a convolution": [Conv2D(4, 3, padding=1, **IMAGE), Whole(2, 2)],
    "pooling behind an activation": [Hard(**IMAGE), Pooling2D(2, 2)],
    "activation that a loss would absorb": [Dense(6, input_shape=(6,)), Sharp()],
}


@pytest.mark.parametrize("case", OVERRIDDEN)
def test_a_subclass_with_other_maths_keeps_no_promise_of_its_base(case: str) -> None:
    model = Sequential(OVERRIDDEN[case], seed=1, dtype="float64")
    model.compile("cce" if "absorb" in case else "mse", "sgd")
    x = np.random.default_rng(0).normal(size=(20, *model.input_shape))
    y, mode = x, {"training": "dropout" not in case}
    for layer in model.layers:  # each on its own, the way the contract has it
        y = Model(node := Input(y.shape[1:]), layer(node), dtype="float64").executor().infer([y])[0]
    np.testing.assert_allclose(model.predict(x), y, rtol=1e-12)
    target = np.eye(6)[np.arange(20) % 6] if "absorb" in case else np.zeros_like(y)
    loss = model.evaluate(x, target)
    if "normalisation" not in case:  # which trains by other statistics
        assert model.gradients(x, target, **mode)[0] == pytest.approx(loss, rel=1e-10)


@pytest.mark.parametrize("mean", [100.0, 2000.0])
def test_raw_inputs_far_from_zero_keep_their_digits(mean: float) -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(256, 6)) + mean).astype(np.float32)
    model = Sequential([BatchNormalization(input_shape=(6,)), Dense(8)], seed=0)
    gamma, beta, _, _, weight, bias = model.get_weights()
    wide = x.astype(np.float64)
    statistics = wide.mean(0).astype(np.float32), wide.var(0).astype(np.float32)
    model.set_weights([gamma, beta, *statistics, weight, bias])
    exact = (wide - statistics[0]) / np.sqrt(statistics[1].astype(float) + 1e-5) @ weight + bias
    rounding = np.spacing(np.float32(mean)) * np.abs(weight).sum(0).max()  # of x times scale, in all six features
    assert np.abs(model.predict(x) - exact).max() < 4 * rounding


rows = st.lists(st.sampled_from([1, 2, 3, 17, 40]), min_size=2, max_size=2)
shards = st.sampled_from([1, 2])
ENLARGED_TWICE = [(Conv2D(8, 3, padding=1),), *((UpSampling2D(2), Conv2D(8, 3, padding=1)) for _ in range(2))]
POOLED_TWICE = [(Conv2D(8, 3, padding=1), Pooling2D(2, 2)), (Pooling2D(2, 2),)]


@settings(max_examples=60)
@example(ENLARGED_TWICE, [], [2, 2], 1, 0)
@example(POOLED_TWICE, [Flatten], [17, 2], 1, 0)
@given(st.lists(image_groups, min_size=2, max_size=5), heads, rows, shards, st.integers(0, 9))
def test_chains_of_image_layers(groups: Any, head: list[Any], sizes: list[int], shards: int, seed: int) -> None:
    parts = [layer for group in groups for layer in group] + [kind() for kind in head]
    check(chain((2, 8, 8), [*parts, Dense(3)], shards), sizes, seed)


@settings(max_examples=30)
@given(st.lists(vector_groups, min_size=2, max_size=6), rows, shards, st.integers(0, 9))
def test_chains_of_vector_layers(groups: Any, sizes: list[int], shards: int, seed: int) -> None:
    check(chain((5,), [layer for group in groups for layer in group], shards), sizes, seed)
