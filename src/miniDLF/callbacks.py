"""Callbacks, under Keras' names."""

from __future__ import annotations

from miniDLF.names import names_of_keras
from miniDLF.training.adapting import LearningRateScheduler, ReduceLROnPlateau
from miniDLF.training.backup import BackupAndRestore
from miniDLF.training.callbacks import Callback, LambdaCallback
from miniDLF.training.checkpoints import ModelCheckpoint
from miniDLF.training.history import History
from miniDLF.training.loggers import CSVLogger, TensorBoard
from miniDLF.training.plots import LivePlot
from miniDLF.training.reporting import ProgressBar
from miniDLF.training.stopping import AccuracyThreshold, EarlyStopping, TerminateOnNaN

__all__ = [
    "AccuracyThreshold",
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "LivePlot",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]

__getattr__ = names_of_keras(__name__)
