"""What a model does with arrays that are not what they seem: in every place where one comes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from miniDLF.datasets import Dataset
from miniDLF.errors import ArgumentTypeError, DataError, FileFormatError, MiniDLFError
from miniDLF.initializers import Initializer
from miniDLF.layers import BatchNormalization, Dense
from miniDLF.models import Sequential
from miniDLF.models.persistence import load
from miniDLF.storage import write_tensors

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(8, 4)), RNG.normal(size=(8, 2))
WEIGHTS = [np.ones((4, 2)), np.zeros(2)]


def model(**settings: Any) -> Sequential:
    made = Sequential([Dense(2, input_shape=(4,))], seed=0, **settings)
    made.compile("mse", "sgd")
    return made


def put(array: np.ndarray, number: float) -> np.ndarray:
    changed = np.array(array)
    changed.flat[-1] = number
    return changed


#: Where samples come in.
X_IN: dict[str, Callable[[Sequential, Any], Any]] = {
    "fit": lambda m, x: m.fit(x, Y, verbose=0),
    "a list of one": lambda m, x: m.fit([x], Y, verbose=0),
    "a generator": lambda m, x: m.fit(iter([(x, Y)]), steps_per_epoch=1, verbose=0),
    "validation_data": lambda m, x: m.fit(X, Y, validation_data=(x, Y), verbose=0),
    "evaluate": lambda m, x: m.evaluate(x, Y),
    "predict": lambda m, x: m.predict(x),
    "predict in batches": lambda m, x: m.predict(x, batch_size=3),
    "predict from batches": lambda m, x: m.predict(iter([x])),
    "predict_on_batch": lambda m, x: m.predict_on_batch(x),
    "a call": lambda m, x: m(x),
    "gradients": lambda m, x: m.gradients(x, Y),
    "check_gradients": lambda m, x: m.check_gradients(x, Y),
    "train_on_batch": lambda m, x: m.train_on_batch(x, Y),
    "test_on_batch": lambda m, x: m.test_on_batch(x, Y),
}
#: Where targets do.
Y_IN: dict[str, Callable[[Sequential, Any], Any]] = {
    "fit": lambda m, y: m.fit(X, y, verbose=0),
    "validation_data": lambda m, y: m.fit(X, Y, validation_data=(X, y), verbose=0),
    "evaluate": lambda m, y: m.evaluate(X, y),
    "gradients": lambda m, y: m.gradients(X, y),
    "check_gradients": lambda m, y: m.check_gradients(X, y),
    "train_on_batch": lambda m, y: m.train_on_batch(X, y),
}
W_IN: dict[str, Callable[[Sequential, Any], Any]] = {
    "fit": lambda m, w: m.fit(X, Y, sample_weight=w, verbose=0),
    "validation_data": lambda m, w: m.fit(X, Y, validation_data=(X, Y, w), verbose=0),
    "evaluate": lambda m, w: m.evaluate(X, Y, sample_weight=w),
    "gradients": lambda m, w: m.gradients(X, Y, w),
    "a generator": lambda m, w: m.fit(iter([(X, Y, w)]), steps_per_epoch=1, verbose=0),
}
IN = {
    **{f"x: {name}": (come, X) for name, come in X_IN.items()},
    **{f"y: {name}": (come, Y) for name, come in Y_IN.items()},
    **{f"weights: {name}": (come, np.ones(8)) for name, come in W_IN.items()},
    "set_weights": (lambda m, weight: m.set_weights([weight, WEIGHTS[1]]), WEIGHTS[0]),
    "a parameter's value": (lambda m, weight: setattr(m.layers[0].weight, "value", weight), WEIGHTS[0]),
    "x of a data set": (lambda m, x: Dataset(x, Y), X),
    "y of a data set": (lambda m, y: Dataset(X, y), Y),
}


@pytest.mark.parametrize("mask", ["over NaN", "nothing"])
@pytest.mark.parametrize("name", IN)
def test_masked_arrays_are_refused_and_nothing_changes(name, mask):
    come, array = IN[name]
    used = model()
    before = used.get_weights()
    masked = np.ma.masked_invalid(put(array, np.nan)) if mask == "over NaN" else np.ma.array(array)
    with pytest.raises(DataError, match="received a masked array"):
        come(used, masked)
    if "validation" not in name:
        assert all(map(np.array_equal, before, used.get_weights()))


@pytest.mark.parametrize("name", IN)
def test_other_subclasses_compute_as_plain_arrays(name):
    come, array = IN[name]

    class Other(np.ndarray):
        def __mul__(self, other: Any) -> Any:
            raise AssertionError("a subclass came through")

        __rmul__ = __sub__ = __array_ufunc__ = __mul__

    plain, other = model(), model()
    come(plain, array)
    come(other, array.view(Other))
    assert all(map(np.array_equal, plain.get_weights(), other.get_weights()))


@pytest.mark.parametrize("name", [f"x: {name}" for name in X_IN] + ["set_weights", "a parameter's value"])
def test_numbers_beyond_the_type_of_the_model_are_named_with_it(name):
    come, array = IN[name]
    with pytest.raises(DataError, match=r"holds 1e\+300, and float32 ends at 3\.4e\+38\..*dtype='float64'"):
        come(model(), put(array, 1e300))


def test_a_model_in_double_precision_takes_them():
    double = model(dtype="float64")
    double.set_weights([put(WEIGHTS[0], 1e200), WEIGHTS[1]])
    assert double.predict(put(X, 1e50)).max() > 1e200


def test_predict_lets_nan_through_and_names_what_is_beyond_the_type():
    with pytest.raises(DataError, match=r"sample 7 holds 1e\+39"):
        model().predict(put(put(X, 1e39)[::-1], np.nan)[::-1])
    assert np.isnan(model().predict(put(X, np.nan))[7]).all()


@pytest.mark.parametrize("bad", [np.array([["a"] * 2] * 4), WEIGHTS[0] * 1j, WEIGHTS[0].astype(object)])
def test_weights_that_are_no_real_numbers_are_refused(bad):
    with pytest.raises(ArgumentTypeError, match=r"set_weights: dense_1/weight: expected real numbers, received .* of"):
        model().set_weights([bad, WEIGHTS[1]])


def test_set_weights_sets_all_or_none():
    used = model()
    before = used.get_weights()
    with pytest.raises(MiniDLFError):
        used.set_weights([WEIGHTS[0], np.ma.array(WEIGHTS[1])])
    assert all(map(np.array_equal, before, used.get_weights()))


def test_initial_weights_beyond_the_type_are_named():
    with pytest.raises(DataError, match=r"Dense 'dense_1': the initial weight: row 0 holds 1e\+300, and float32 ends"):
        Sequential([Dense(2, input_shape=(4,), weight_initializer=1e300)]).compile("mse", "sgd")


def test_initial_weights_under_a_mask_are_refused():
    class Masked(Initializer):
        def __call__(self, shape, rng, fans):
            return np.ma.masked_invalid(put(np.ones(shape), np.nan))

    with pytest.raises(DataError, match=r"dense_1/weight: the initializer Masked: .* received a masked array"):
        Sequential([Dense(2, input_shape=(4,), weight_initializer=Masked())]).compile("mse", "sgd")


@pytest.mark.parametrize("draw", ["activations", "confusion", "predictions"])
def test_pictures_show_no_masked_arrays(draw):
    options = () if draw == "activations" else (np.zeros(8, int),)
    with pytest.raises(DataError, match="received a masked array"):
        getattr(model().plot, draw)(np.ma.array(X), *options)


FILES = {
    "NaN": (put(WEIGHTS[0], np.nan), r"dense_1/weight: row 3 holds NaN or infinity"),
    "infinity": (put(WEIGHTS[0], -np.inf), r"dense_1/weight: row 3 holds NaN or infinity"),
    "too large": (put(WEIGHTS[0], 1e300), r"dense_1/weight: row 3 holds 1e\+300, and float32 ends"),
    "bytes": (WEIGHTS[0].astype(np.uint8), "dense_1/weight holds uint8, expected floating-point numbers. Quantised"),
    "flags": (WEIGHTS[0] > 0, "dense_1/weight holds bool, expected floating-point numbers"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_whose_weights_cannot_be_meant_are_refused_and_nothing_changes(name, tmp_path):
    bad, message = FILES[name]
    used = model()
    before = used.get_weights()
    write_tensors(tmp_path / "w.safetensors", {"dense_1/bias": np.ones(2), "dense_1/weight": bad})
    for strict in (True, False):
        with pytest.raises(FileFormatError, match=message):
            used.load_weights(tmp_path / "w.safetensors", strict=strict)
    assert all(map(np.array_equal, before, used.get_weights()))


def test_a_saved_model_with_nan_in_its_weights_is_refused(tmp_path):
    used = model()
    used.set_weights([put(WEIGHTS[0], np.nan), WEIGHTS[1]])
    used.save(tmp_path / "m.safetensors")
    with pytest.raises(FileFormatError, match="dense_1/weight: row 3 holds NaN or infinity"):
        load(tmp_path / "m.safetensors")


def test_state_that_is_not_trained_may_hold_infinity(tmp_path):
    used = Sequential([BatchNormalization(input_shape=(2,))])
    used.layers[0].running_var.value = [np.inf, 1.0] if used.ready() else None
    used.save(tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").get_weights()[3].tolist() == [np.inf, 1.0]
