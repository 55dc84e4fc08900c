"""Products with weights that are packed once, against plain ones; and that unknown libraries are left alone."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniDLF.kernels import blas
from miniDLF.kernels.blas import TRIED_RELEASES, packing_kernels
from miniDLF.kernels.blocked import BlockedProducts
from miniDLF.kernels.packed import MOST_ROWS, PackedProducts, packing_pays
from miniDLF.kernels.repeated import SPARE
from miniDLF.kernels.workspace import Workspace

#: What is near the memory of a product, to see whether it is touched.
MARK = np.float32(7)


def marked(rows, *shape):
    """An array of rows with marks before and behind it."""
    return np.full((rows + 2 * SPARE, *shape), MARK, np.float32)


def close(result, expected, terms):
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=3e-7 * terms)


sizes = st.tuples(st.integers(1, 4), st.integers(2, 40), st.integers(1, 400), st.integers(1, 40))


@given(sizes, st.integers(0, 1000))
@settings(deadline=None, max_examples=150)
def test_puts_the_products_of_all_gates_and_nothing_else(kernels, size, seed):
    gates, rows, inner, units = size
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(inner, (gates + 1) * units)).astype(np.float32)
    order, scales = rng.permutation(gates + 1)[:gates], rng.choice([0.5, 1.0, 2.0], gates)
    a = rng.normal(size=(rows + SPARE, inner)).astype(np.float32)
    products = PackedProducts("weights", gates, rows, inner, units, Workspace().empty, kernels)
    split = rng.integers(0, inner + 1)
    products.load([part for part in (drawn[:split], drawn[split:]) if len(part)], order, scales)
    multiply = products.put(a[:rows])
    for _ in range(2):  # the second one finds the first one's numbers in its place
        multiply()
    weights = drawn.astype(float).reshape(inner, -1, units)[:, order].transpose(1, 0, 2) * scales[:, None, None]
    close(products.result, a[:rows].astype(float) @ weights, inner)


@given(sizes, st.integers(0, 1000))
@settings(deadline=None, max_examples=150)
def test_adds_the_sum_over_gates_and_touches_no_more_than_the_spare_rows(kernels, size, seed):
    gates, rows, _, units = size
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(units, gates * units)).astype(np.float32)
    a = rng.normal(size=(gates, rows, units)).astype(np.float32)
    memory = marked(rows, units + 1)  # rows lie further apart than they are long
    out = memory[SPARE : SPARE + rows, :units]
    before = rng.normal(size=out.shape).astype(np.float32)
    out[...] = before
    products = PackedProducts("transposes", gates, rows, units, units, Workspace().empty, kernels)
    products.load_transposed(weight)
    products.add(a, out)()
    transposes = weight.astype(float).reshape(units, gates, units).transpose(1, 2, 0)
    close(out, before + (a.astype(float) @ transposes).sum(0), gates * units)
    assert (memory[:SPARE] == MARK).all()
    assert (memory[:, units] == MARK).all()
    assert (memory[SPARE + -(-rows // 4) * 4 :] == MARK).all()


@pytest.mark.parametrize(("rows", "inner", "units"), [(13, 300, 256), (32, 577, 512), (256, 300, 256), (3, 2000, 100)])
def test_both_kinds_of_products_are_the_same(kernels, rows, inner, units):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(inner, 4 * units)).astype(np.float32)
    square = rng.normal(size=(units, 4 * units)).astype(np.float32)
    a = rng.normal(size=(rows + SPARE, inner)).astype(np.float32)
    dz = rng.normal(size=(4, rows, units)).astype(np.float32)
    results = []
    for kind, more in ((BlockedProducts, ()), (PackedProducts, (kernels,))):
        lend = Workspace().empty
        forward, back = (kind(str(k), 4, rows, k, units, lend, *more) for k in (inner, units))
        forward.load([weight], (0, 1, 3, 2), (0.5, 0.5, 0.5, 1))
        back.load_transposed(square)
        dh = np.zeros((rows + SPARE, units), np.float32)[:rows]
        forward.put(a[:rows])()
        out = forward.result.copy()
        back.add(dz, dh)()
        results.append((out, dh))
    close(results[1][0], results[0][0], inner)
    close(results[1][1], results[0][1], 4 * units)


def test_memory_that_ends_too_early_is_not_used(kernels):
    products = PackedProducts("weights", 1, 5, 6, 4, Workspace().empty, kernels)
    products.put(np.zeros((8, 6), np.float32)[:5])
    with pytest.raises(ValueError, match="memory ends before 8 rows"):
        products.put(np.zeros((5, 6), np.float32))


class Symbols:
    """A library in which every name is found."""

    _handle = 0

    def __getitem__(self, name):
        return SimpleNamespace(name=name)


class Hidden(Symbols):
    """A library that shows none of its functions, as ctypes tells."""

    def __getitem__(self, name):
        raise AttributeError(name)


@pytest.mark.parametrize(
    "change",
    [
        {"version": "0.3.20"},
        {"version": f"0.3.{TRIED_RELEASES[1][2] + 1}"},
        {"version": "1.0"},
        {"version": None},
        {"architecture": "SkylakeX"},
        {"architecture": "neoversen1"},
        {"internal_api": "mkl"},
        {"dynlib": Hidden()},
        {"dynlib": None},
    ],
)
def test_kernels_of_other_libraries_are_left_alone(kernels, monkeypatch, change):
    known = {"internal_api": "openblas", "architecture": "Zen", "version": "0.3.31", "dynlib": Symbols()}
    libraries = [SimpleNamespace(**known)]
    monkeypatch.setattr(blas, "blas_libraries", lambda: libraries)
    monkeypatch.setattr(blas.ctypes, "PyDLL", lambda *_, **__: Symbols())
    try:
        packing_kernels.cache_clear()
        assert packing_kernels() is not None
        vars(libraries[0]).update(change)
        packing_kernels.cache_clear()
        assert packing_kernels() is None
    finally:
        packing_kernels.cache_clear()


def test_other_types_single_rows_and_large_batches_are_left_to_numpy():
    single = np.dtype(np.float32)
    assert packing_pays(2, single)
    assert packing_pays(MOST_ROWS, single)
    assert not packing_pays(1, single)
    assert not packing_pays(MOST_ROWS + 1, single)
    assert not packing_pays(13, np.dtype(np.float64))
