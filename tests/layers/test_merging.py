"""Layers that join several inputs, where their numbers are far from 1."""

from __future__ import annotations

import numpy as np
import pytest

from miniDLF.kernels.threads import quiet_arithmetic
from miniDLF.layers import Dot
from tests.standalone import Standalone

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(5, 3, 4)), RNG.normal(size=(5, 2, 4))


@pytest.mark.parametrize("size", [1e-3, 1e10, 1e20, 1e38])
@pytest.mark.parametrize("other", [1.0, 1e20, 1e38])
def test_cosines_do_not_depend_on_lengths(size, other):
    """The squares of the larger ones, and the norms of the largest, are no numbers of single precision."""
    layer = Standalone(Dot(normalize=True), ((3, 4), (2, 4)), dtype=np.float32)
    expected = np.einsum(
        "npd,nqd->npq", A / np.linalg.norm(A, axis=2)[..., None], B / np.linalg.norm(B, axis=2)[..., None]
    )
    a, b = np.float32(A * size * 0.9), np.float32(B * other * 0.9)
    found = quiet_arithmetic(layer.forward)((a, b))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    plain = Standalone(Dot(normalize=True), ((3, 4), (2, 4)))
    plain.forward((A, B))
    dy = RNG.normal(size=expected.shape)
    wanted = plain.backward(dy.copy())
    for gradient, full, scale in zip(layer.backward(np.float32(dy)), wanted, (size, other), strict=True):
        np.testing.assert_allclose(gradient * np.float64(scale) * 0.9, full, atol=2e-6 if scale < 1e37 else 1e-2)


def test_vectors_shorter_than_a_millionth_are_divided_by_it_as_in_keras():
    layer = Standalone(Dot(normalize=True), ((4,), (4,)))
    x = np.array([[0.0, 0, 0, 0], [1e-8, 0, 0, 0]])
    np.testing.assert_allclose(layer.forward((x, np.eye(4)[[0, 0]])), [[0.0], [0.01]])
