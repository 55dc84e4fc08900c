"""PyTorch with torch.compile (Inductor, C++): the forward pass with its loss, and through it the backward pass.

Recurrent modules are no exception here, but Inductor leaves PyTorch's own recurrent kernels in place.
"""

from __future__ import annotations

from benchmarks.peers import torch_eager
from benchmarks.peers.torch_eager import TorchProgram
from benchmarks.workloads.base import Data, Workload

TITLE = "torch.compile"
PACKAGES = ("torch",)
MODULES = ("torch", "torch._dynamo")
COMPILES = True
#: Prediction only: constants folded into the weights, which PyTorch advises for serving. Training ignores it.
ENVIRONMENT = {"TORCHINDUCTOR_FREEZING": "1"}


def start(threads: int) -> None:
    """Set the threads."""
    torch_eager.start(threads)


def variants(workload: Workload) -> tuple[str, ...]:
    """Return the same as eager mode."""
    return torch_eager.variants(workload)


def build(workload: Workload, data: Data, variant: str) -> TorchProgram:
    """Return the program; shapes are fixed, so there is no dynamic code."""
    import torch

    return TorchProgram(workload, data, variant, lambda function: torch.compile(function, dynamic=False))
