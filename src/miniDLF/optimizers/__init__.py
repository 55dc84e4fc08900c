"""Optimizers: one class an update rule, and wrappers for what is not part of a rule."""

from miniDLF.names import names_of_keras
from miniDLF.optimizers.adam import Adam, Adamax, AdamW, AMSGrad, Nadam
from miniDLF.optimizers.adaptive import Adadelta, Adagrad, RMSProp
from miniDLF.optimizers.base import Optimizer, UpdateRule
from miniDLF.optimizers.choices import CHOICES, get_optimizer
from miniDLF.optimizers.clipping import ClipGlobalNorm, ClipNorm, ClipValue
from miniDLF.optimizers.lbfgs import LBFGS, Minimum
from miniDLF.optimizers.momentum import SGD, Lion
from miniDLF.optimizers.wrappers import Accumulate, MovingAverage, WeightDecay, Wrapper

RMSprop = RMSProp  # Keras' spelling

__all__ = [
    "CHOICES",
    "LBFGS",
    "SGD",
    "AMSGrad",
    "Accumulate",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ClipGlobalNorm",
    "ClipNorm",
    "ClipValue",
    "Lion",
    "Minimum",
    "MovingAverage",
    "Nadam",
    "Optimizer",
    "RMSProp",
    "UpdateRule",
    "WeightDecay",
    "Wrapper",
    "get_optimizer",
]

__getattr__ = names_of_keras(__name__)
