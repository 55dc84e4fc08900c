"""The recurrences over time against the cells as their papers write them, and blocked products against plain ones."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniDLF.kernels.blocked import PADDING, SMALL_PRODUCT, block_width, blocked, blocked_transpose
from miniDLF.kernels.gru import GRURecurrence
from miniDLF.kernels.lstm import LSTMRecurrence
from miniDLF.kernels.repeated import stack
from miniDLF.kernels.rnn import SimpleRecurrence
from miniDLF.kernels.workspace import Workspace
from tests.reference_recurrent import CELLS
from tests.standalone import directional_check

pytestmark = pytest.mark.usefixtures("either_blas")

KERNELS = {"rnn": SimpleRecurrence, "lstm": LSTMRecurrence, "gru": GRURecurrence}

shapes = st.tuples(*(st.integers(1, limit) for limit in (5, 6, 5)))
cells = st.sampled_from(sorted(KERNELS))


def drawn(cell, shape, units, seed=0, dtype=np.float64):
    """Inputs and weights (W, U, b) of a cell."""
    rng = np.random.default_rng(seed)
    columns = KERNELS[cell].gates * units
    sizes = (shape, (shape[2], columns), (units, columns), (columns,))
    return [rng.normal(size=size).astype(dtype) for size in sizes]


def unrolled(cell, shape, units, keep=True, dtype=np.float64):
    call, scratch = Workspace(dtype), Workspace(dtype)
    return KERNELS[cell](shape, units, keep, call.empty, scratch.empty)


@pytest.mark.parametrize("keep", [True, False])
@given(cells, shapes, st.integers(1, 9))
@settings(deadline=None, max_examples=60)
def test_forward_is_the_naive_recurrence(keep, cell, shape, units):
    x, w, u, b = drawn(cell, shape, units)
    h = unrolled(cell, shape, units, keep).forward(x, w, u, b)
    np.testing.assert_allclose(h, CELLS[cell](x, w, u, b), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell", sorted(KERNELS))
@pytest.mark.parametrize(("rows", "units", "features"), [(13, 64, 7), (3, 96, 40), (2, 50, 3), (40, 257, 2)])
def test_forward_in_blocks_is_the_naive_recurrence(cell, rows, units, features):
    shape = (rows, 4, features)
    x, w, u, b = drawn(cell, shape, units)
    u *= 0.1
    h = unrolled(cell, shape, units).forward(x, w, u, b)
    np.testing.assert_allclose(h, CELLS[cell](x, w, u, b), rtol=1e-9, atol=1e-11)


@given(cells, shapes, st.integers(1, 9), st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_backward_is_the_derivative_of_the_naive_recurrence(cell, shape, units, seed):
    arrays = x, w, u, b = drawn(cell, shape, units, seed)
    rng = np.random.default_rng(seed)
    recurrence = unrolled(cell, shape, units)
    recurrence.forward(x, w, u, b)
    dh = rng.normal(size=recurrence.h.shape)
    recurrence.dh[...] = dh
    dz = recurrence.backward(u)
    gradients = [np.empty_like(a) for a in arrays]
    for gate in range(recurrence.gates):
        recurrence.weight_gradients(gate, dz, *gradients[1:])
    recurrence.input_gradient(dz, w, gradients[0])
    for array, gradient in zip(arrays, gradients, strict=True):
        directional_check(lambda: float(np.sum(CELLS[cell](x, w, u, b) * dh)), array, gradient, rng)


@pytest.mark.parametrize("cell", sorted(KERNELS))
@pytest.mark.parametrize("shape", [(2, 5, 3), (13, 7, 9), (25, 4, 40), (33, 3, 2)])
def test_single_precision_is_double_precision_rounded(cell, shape):
    units = 48
    arrays = drawn(cell, shape, units, dtype=np.float32)
    arrays[1:] = [weight * np.float32(0.2) for weight in arrays[1:]]
    dh = np.random.default_rng(1).normal(size=(shape[1], shape[0], units))
    results = []
    for dtype in (np.float32, np.float64):
        x, w, u, b = (array.astype(dtype) for array in arrays)
        recurrence = unrolled(cell, shape, units, dtype=dtype)
        h = recurrence.forward(x, w, u, b).copy()
        recurrence.dh[...] = dh
        dz = recurrence.backward(u)
        gradients = [np.empty_like(a) for a in (w, u, b)]
        for gate in range(recurrence.gates):
            recurrence.weight_gradients(gate, dz, *gradients)
        results.append([h, dz.copy(), *gradients, recurrence.input_gradient(dz, w, np.empty_like(x)).copy()])
    for single, double in zip(*results, strict=True):
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=2e-5 * np.abs(double).max())


@pytest.mark.parametrize("cell", sorted(KERNELS))
def test_two_shapes_one_after_the_other_share_memory_but_no_numbers(cell):
    call, scratch = Workspace(np.float64), Workspace(np.float64)
    results = []
    for rows in (5, 2, 7, 5):
        shape = (rows, 4, 3)
        x, w, u, b = drawn(cell, (7, 4, 3), 6)
        recurrence = KERNELS[cell](shape, 6, True, call.empty, scratch.empty)
        recurrence.forward(x[:rows], w, u, b)
        recurrence.dh[...] = 1
        results.append((recurrence.h.copy(), recurrence.backward(u).copy()))
    for h, dz in results:
        np.testing.assert_array_equal(h[:, :2], results[1][0][:, :2])
        np.testing.assert_allclose(dz[..., :2, :], results[1][1][..., :2, :], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("cell", sorted(KERNELS))
def test_a_second_pass_allocates_nothing_large(cell):
    shape, units = (16, 40, 16), 128
    x, w, u, b = drawn(cell, shape, units, dtype=np.float32)
    recurrence = unrolled(cell, shape, units, dtype=np.float32)
    gradients = [np.empty_like(a) for a in (x, w, u, b)]

    def step():
        recurrence.forward(x, w, u, b)
        recurrence.dh.fill(1)
        dz = recurrence.backward(u)
        for gate in range(recurrence.gates):
            recurrence.weight_gradients(gate, dz, *gradients[1:])
        recurrence.input_gradient(dz, w, gradients[0])

    step()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        step()
        # NumPy's iterators take a buffer of 32 KiB for each strided operand of a pass, three at most. The smallest
        # array of all steps, (T, N, H), is 320 KiB: none of them is allocated anew.
        buffers = 3 * np.getbufsize() * x.itemsize
        assert tracemalloc.get_traced_memory()[1] - before < buffers + 4096
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("cell", sorted(KERNELS))
def test_inference_keeps_no_step_but_the_states(cell):
    shape, units = (8, 200, 4), 32

    def held(keep):
        call, scratch = Workspace(np.float32), Workspace(np.float32)
        KERNELS[cell](shape, units, keep, call.empty, scratch.empty)
        return call.nbytes + scratch.nbytes

    if cell == "rnn":  # its states are all it needs
        assert held(False) == held(True)
    else:
        assert held(False) < held(True) / 2


def test_block_widths_divide_and_stay_small(either_blas):
    assert block_width(13, 300, 256) == (64 if either_blas else 256)
    assert block_width(32, 577, 512) == (32 if either_blas else 256)
    assert block_width(64, 577, 512) == 256
    assert block_width(13, 101, 300) == (60 if either_blas else 300)
    assert block_width(13, 101, 10) == 10
    for rows in (1, 12, 64, 500):
        for inner in (3, 300, 1025):
            for units in (1, 31, 64, 100, 127, 256, 384, 2048):
                width = block_width(rows, inner, units)
                assert units % width == 0
                assert rows * inner * width <= SMALL_PRODUCT or width in (256, units)


@given(st.integers(1, 4), st.integers(1, 5), st.sampled_from([1, 2, 3]), st.integers(1, 4), st.integers(1, 6))
@settings(deadline=None)
def test_blocked_products_are_the_products(gates, rows, blocks, width, inner):
    rng = np.random.default_rng(1)
    units = blocks * width
    parts = [rng.normal(size=(k, gates * units)) for k in (inner, 2, 1)]
    x = rng.normal(size=(rows, inner + 3))
    order = list(range(gates))[::-1]
    scales = [0.5 + gate for gate in range(gates)]
    stacked = np.empty((gates, blocks, inner + 3, width))
    stack(parts, order, scales, stacked)
    out = np.empty((gates, rows, units))
    np.matmul(x, stacked, out=blocked(out, width))
    whole = x @ np.concatenate(parts)
    for slot, (gate, scale) in enumerate(zip(order, scales, strict=True)):
        np.testing.assert_allclose(out[slot], scale * whole[:, gate * units : (gate + 1) * units], atol=1e-12)


@given(st.integers(1, 4), st.sampled_from([1, 2, 3]), st.integers(1, 4))
@settings(deadline=None)
def test_blocked_transposes_are_the_transposes(gates, blocks, width):
    units = blocks * width
    recurrent = np.arange(units * gates * units, dtype=float).reshape(units, gates * units)
    out = np.empty((gates, blocks, units, width))
    blocked_transpose(recurrent, np.empty((units, gates * units + PADDING)), out)
    for gate in range(gates):
        transposed = recurrent[:, gate * units : (gate + 1) * units].T
        np.testing.assert_array_equal(np.concatenate(list(out[gate]), axis=1), transposed)
