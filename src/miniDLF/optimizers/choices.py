"""What the names of optimizers and wrappers stand for."""

from __future__ import annotations

from typing import Any

from miniDLF.core.configurable import resolve
from miniDLF.optimizers.adam import Adam, Adamax, AdamW, AMSGrad, Nadam
from miniDLF.optimizers.adaptive import Adadelta, Adagrad, RMSProp
from miniDLF.optimizers.base import Optimizer
from miniDLF.optimizers.clipping import ClipGlobalNorm, ClipNorm, ClipValue
from miniDLF.optimizers.lbfgs import LBFGS
from miniDLF.optimizers.momentum import SGD, Lion
from miniDLF.optimizers.wrappers import Accumulate, MovingAverage, WeightDecay

__all__ = ["CHOICES", "get_optimizer"]

CHOICES: dict[str, Any] = {
    "sgd": SGD,
    "adagrad": Adagrad,
    "rmsprop": RMSProp,
    "adam": Adam,
    "nadam": Nadam,
    "amsgrad": AMSGrad,
    "adadelta": Adadelta,
    "adamw": AdamW,
    "adamax": Adamax,
    "lion": Lion,
    "lbfgs": LBFGS,
    "clip_value": ClipValue,
    "clip_norm": ClipNorm,
    "clip_global_norm": ClipGlobalNorm,
    "weight_decay": WeightDecay,
    "moving_average": MovingAverage,
    "accumulate": Accumulate,
}


def get_optimizer(value: Any) -> Optimizer:
    """Return the optimizer that `value` is, names or describes."""
    return resolve(value, CHOICES, "optimizer", Optimizer)
