"""PyTorch with torch.compile (Inductor, C++): the forward pass with its loss, and through it the backward pass.

Recurrent modules are no exception here, but Inductor leaves PyTorch's own recurrent kernels in place. Adam is the fused
one of eager mode: compiled with `torch.compile` too it took 32.4 ms against 32.7 a step of the MLP, and 0.34 against
0.35 of the tiny one (one thread), for twice the compilation. ``mode="reduce-overhead"`` is for GPUs.
"""

from __future__ import annotations

from benchmarks.peers import torch_eager
from benchmarks.peers.torch_eager import TorchProgram
from benchmarks.workloads.base import Data, Workload

TITLE = "torch.compile"
PACKAGES = ("torch",)
MODULES = ("torch", "torch._dynamo")
COMPILES = True
FIRST_STEPS = 2
#: Prediction only: constants folded into the weights, which PyTorch advises for serving. Training ignores it.
ENVIRONMENT = {"TORCHINDUCTOR_FREEZING": "1"}


def start(threads: int) -> None:
    """Set the threads, and let dropout draw with PyTorch's own generator.

    Inductor's counter-based one is there to be the same on every device; on a CPU it is the slower one: a step of the
    MLP took 39.6 ms with it and 32.7 without (one thread).
    """
    import torch._inductor.config

    torch._inductor.config.fallback_random = True
    torch_eager.start(threads)


def variants(workload: Workload) -> tuple[str, ...]:
    """Return those of eager mode, images channels-last alone: Inductor's convolutions want them so on a CPU.

    Contiguous against channels-last, in ms: the specified CNN 38 and 13, that for 3x32x32 images (batch 64) 230 and
    172, the autoencoder 74 and 69, predictions of one image 0.31 and 0.31, of 10 000 88 and 82. Each variant costs 10
    to 35 seconds of compilation.
    """
    return tuple(way for way in torch_eager.variants(workload) if not way.startswith("contiguous"))


def build(workload: Workload, data: Data, variant: str) -> TorchProgram:
    """Return the program; shapes are fixed, so there is no dynamic code."""
    import torch

    return TorchProgram(workload, data, variant, lambda function: torch.compile(function, dynamic=False))
