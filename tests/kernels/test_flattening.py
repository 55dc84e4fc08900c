"""Images as rows of a matrix, and back, against one plain copy."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from miniDLF.kernels.flattening import rows_of_images, rows_to_images
from miniDLF.kernels.windows import carry_out
from miniDLF.kernels.workspace import Workspace


@given(st.tuples(st.integers(1, 40), *(st.integers(1, 7) for _ in range(3))), st.integers(0, 2**32 - 1))
def test_images_become_rows_and_rows_images(shape, seed):
    count, channels, height, width = shape
    lend = Workspace("float64").empty
    memory = np.random.default_rng(seed).normal(size=(height, width, channels, count))
    images = memory.transpose(3, 2, 0, 1)  # (N, C, H, W), batch-last in memory
    rows = np.empty(shape)
    carry_out(rows_of_images(images, rows, lend))
    np.testing.assert_array_equal(rows, images)
    back = np.empty_like(memory).transpose(3, 2, 0, 1)
    carry_out(rows_to_images(rows, back, lend))
    np.testing.assert_array_equal(back, images)
