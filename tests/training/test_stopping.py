"""Callbacks that watch a log: which way is better."""

from __future__ import annotations

import pytest

from miniDLF.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

RISING = [
    "acc",
    "accuracy",
    "accuracy_1",
    "val_binary_accuracy",
    "val_auc",
    "precision",
    "val_weighted_recall",
    "f1_score",
    "val_loss2_r2_score",
    "cosine_similarity",
    "val_error_head_top_k_categorical_accuracy",
    "accuracy_at_5",
]
FALLING = [
    "loss",
    "val_loss",
    "val_decoder2_loss",
    "layer2_loss",
    "val_accel_loss",
    "accuracy_loss",
    "val_account_mae",
    "val_layer2_mae",
    "auc_mean_squared_error",
    "recall_binary_crossentropy",
    "perplexity",
    "vacuum",
]


@pytest.mark.parametrize("make", [EarlyStopping, ModelCheckpoint, ReduceLROnPlateau])
@pytest.mark.parametrize("name", [*RISING, *FALLING])
def test_the_metric_in_the_name_of_a_log_decides(name: str, make: type) -> None:
    made = make("path", name) if make is ModelCheckpoint else make(name)
    assert made.sign == (1.0 if name in RISING else -1.0)
