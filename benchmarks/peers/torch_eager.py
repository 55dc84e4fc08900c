"""PyTorch, eager: fused Adam, inference mode, images channels-last where that is faster, index_select to gather."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.base import Program
from benchmarks.workloads.base import Data, Workload

TITLE = "PyTorch eager"
PACKAGES = ("torch",)
MODULES = ("torch",)
ENVIRONMENT: dict[str, str] = {}
COMPILES = False
FIRST_STEPS = 2

#: Rows at a time where a large prediction is cut so that what lies between two layers stays in the caches.
CHUNK = 500


def start(threads: int) -> None:
    """Set the threads."""
    import torch

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)


def variants(workload: Workload) -> tuple[str, ...]:
    """Return the memory orders of images, and for large predictions whether they are cut."""
    orders = ("contiguous", "channels-last") if workload.convolves else ("",)
    if workload.mode == "predict" and workload.batch > CHUNK:
        return tuple(f"{order} {cut}".strip() for order in orders for cut in ("whole", "chunks"))
    return orders


def build(workload: Workload, data: Data, variant: str) -> TorchProgram:
    """Return the program."""
    return TorchProgram(workload, data, variant, lambda function: function)


class TorchProgram(Program):
    """The network with its data set as tensors; `compiled` is what `torch.compile` or nothing does to a function."""

    def __init__(
        self, workload: Workload, data: Data, variant: str, compiled: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        import torch

        from benchmarks.peers.torch_network import loss_of, network, output_of

        torch.manual_seed(0)
        self.torch = torch
        self.images = "channels-last" in variant
        self.chunk = CHUNK if "chunks" in variant else workload.batch
        model = self.model = network(workload.layers, workload.input_shape)
        if self.images:
            model = self.model = model.to(memory_format=torch.channels_last)
        # index_select gives a plain tensor, so the rows of channels-last images are gathered as (N, H, W, C)
        self.x = torch.from_numpy(np.ascontiguousarray(data.x.transpose(0, 2, 3, 1)) if self.images else data.x)
        self.y = None if data.y is None else torch.from_numpy(data.y)
        self.forward = compiled(lambda x: output_of(workload.loss, model(x)))
        self.loss = compiled(lambda x, y: loss_of(workload.loss, model(x), y))
        if workload.mode == "predict":
            model.eval()
        else:
            self.optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step(self, rows: np.ndarray) -> None:
        """Do one training step."""
        index = self.torch.from_numpy(rows)
        x = self.x.index_select(0, index)
        if self.images:
            x = x.permute(0, 3, 1, 2)  # channels-last memory under PyTorch's shape (N, C, H, W)
        y = x if self.y is None else self.y.index_select(0, index)
        loss = self.loss(x, y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs for a batch."""
        with self.torch.inference_mode():
            tensor = self.torch.from_numpy(x)
            if self.images:
                tensor = tensor.contiguous(memory_format=self.torch.channels_last)
            if len(x) <= self.chunk:
                return self.forward(tensor).numpy()
            return self.torch.cat([self.forward(part) for part in tensor.split(self.chunk)]).numpy()

    def evaluating(self, on: bool) -> None:
        """Switch between training and inference (used by the MNIST epoch)."""
        self.model.train(not on)
