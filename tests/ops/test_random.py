"""Random numbers: their distributions, and what they are a function of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from miniDLF import Tensor, Variable, errors, function, gradient, ops
from miniDLF.utils import set_random_seed

MANY = (200, 500)


@pytest.mark.parametrize(
    ("draw", "mean", "deviation"),
    [
        (lambda: ops.random.uniform(MANY), 0.5, 12**-0.5),
        (lambda: ops.random.uniform(MANY, -2, 4), 1.0, 6 * 12**-0.5),
        (lambda: ops.random.normal(MANY), 0.0, 1.0),
        (lambda: ops.random.normal(MANY, 3.0, 0.5), 3.0, 0.5),
        (lambda: ops.random.truncated_normal(MANY), 0.0, 0.8796),
        (lambda: ops.random.exponential(MANY), 1.0, 1.0),
        (lambda: ops.random.gumbel(MANY), 0.5772, np.pi / 6**0.5),
        (lambda: ops.random.bernoulli(MANY, 0.3), 0.3, 0.21**0.5),
        (lambda: ops.random.randint(MANY, 2, 7).astype("float64"), 4.0, 2**0.5),
        (lambda: ops.random.dropout(np.ones(MANY, "float32"), 0.25), 1.0, (1 / 3) ** 0.5),
    ],
)
def test_distributions(draw: Any, mean: float, deviation: float) -> None:
    set_random_seed(1)
    for found in (draw().numpy().astype("float64"), function(draw)().numpy().astype("float64")):
        assert found.shape == MANY
        assert abs(found.mean() - mean) < 4 * deviation / np.sqrt(found.size)
        assert abs(found.std() - deviation) < 0.03 * deviation


def test_limits_and_classes() -> None:
    assert np.abs(ops.random.truncated_normal(MANY)).max() <= 2
    whole = ops.random.randint((1000,), 0, 3)
    assert sorted(set(whole.tolist())) == [0, 1, 2]
    assert whole.dtype == np.int64
    chosen = ops.random.categorical(np.log(np.array([[0.0001, 0.9999]])), 50)
    assert chosen.shape == (1, 50)
    assert chosen.numpy().mean() > 0.9
    assert sorted(ops.random.shuffle(np.arange(20)).tolist()) == list(range(20))
    with pytest.raises(errors.ArgumentError, match="below 1"):
        ops.random.dropout(np.ones(3), 1.0)


def test_seeds_repeat_and_calls_differ() -> None:
    for draw in (lambda **k: ops.random.normal((4,), **k), lambda **k: ops.random.dropout(np.ones(64), 0.5, **k)):
        assert draw(seed=3).tolist() == draw(seed=3).tolist() != draw(seed=4).tolist()
        assert draw().tolist() != draw().tolist()
        set_random_seed(5)
        first = draw().tolist()
        set_random_seed(5)
        assert draw().tolist() == first
        compiled, fixed = function(draw), function(lambda draw=draw: draw(seed=3))
        assert compiled().tolist() != compiled().tolist()
        assert fixed().tolist() == fixed().tolist()


def test_operations_of_one_program_draw_apart() -> None:
    a, b = function(lambda: (ops.random.normal((8,)), ops.random.normal((8,))))()
    assert not np.any(a.numpy() == b.numpy())


def test_programs_that_begin_with_one_seed_go_the_same_way_on_the_same_shards() -> None:
    x = np.ones((64, 8), "float32")

    def runs() -> list[bytes]:
        set_random_seed(11)
        run = function(lambda x: ops.random.dropout(x, 0.5), shards=2)
        return [run(x).numpy().tobytes() for _ in range(3)]

    first = runs()
    assert first == runs()
    assert len(set(first)) == 3


def test_gradient_of_dropout_goes_where_the_values_went() -> None:
    x = Variable(np.ones((64, 8), "float32"))

    @function
    def run() -> Any:
        y = ops.random.dropout(x, 0.5)
        return y, gradient(np.sum(y * 3), x)

    y, dx = run()
    np.testing.assert_allclose(dx, y.numpy() * 3)
    assert isinstance(y, Tensor)


def test_dropout_may_drop_whole_rows() -> None:
    y = ops.random.dropout(np.ones((40, 5), "float32"), 0.5, noise_shape=(40, 1)).numpy()
    assert np.all(y == y[:, :1])
    assert set(y[:, 0].tolist()) == {0.0, 2.0}
    with pytest.raises(errors.ShapeError, match="noise_shape"):
        ops.random.dropout(np.ones((4, 5)), 0.5, noise_shape=(4, 2))


def test_keras_ways_to_name_what_a_configuration_holds() -> None:
    from miniDLF import activations, constraints, initializers, regularizers

    for module, name in ((initializers, "he_normal"), (regularizers, "l2"), (constraints, "non_neg")):
        made = module.get(identifier=name)
        again = module.deserialize(config=module.serialize(made), custom_objects=None)
        assert repr(again) == repr(made)
    assert activations.deserialize("mine", {"mine": np.tanh}) is np.tanh
