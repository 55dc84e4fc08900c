"""Batches: rows of data sets, by indices of any whole type."""

from __future__ import annotations

import numpy as np
import pytest

from miniDLF.core.batch import Batch
from miniDLF.datasets import epoch_order
from miniDLF.layers import Dense
from miniDLF.models import Sequential

X, Y = np.arange(12.0).reshape(6, 2), np.arange(6.0)[:, None]


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64, np.uint64])
def test_rows_are_gathered_by_indices_of_any_whole_type(kind):
    """`take` refuses what cannot be cast to pointers safely: uint64 everywhere, int64 where pointers have 32 bits."""
    model = Sequential([Dense(1, input_shape=(2,))], seed=0)
    model.compile("mse", "sgd")
    rows = np.array([5, 0, 3])
    expected = model.gradients(X[rows], Y[rows])
    batch = Batch([X.astype(np.float32)], [Y], [None]).select(rows.astype(kind))
    assert batch.rows.dtype == np.intp
    for _ in range(8):  # as written, noted, and from the notes
        loss, gradients = model.engine().gradients(batch)
        assert loss == pytest.approx(expected[0])
        np.testing.assert_allclose(gradients["dense_1/weight"], expected[1]["dense_1/weight"], rtol=1e-6)


@pytest.mark.parametrize("shuffle", [True, False])
def test_orders_are_indices(shuffle):
    assert epoch_order(10, 0, 0, shuffle).dtype == np.intp
