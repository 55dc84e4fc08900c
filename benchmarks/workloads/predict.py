"""Inference of the specification's MLP and CNN: one sample (latency), 10 000 samples (throughput)."""

from benchmarks.workloads import cnn, mlp
from benchmarks.workloads.base import Workload

WORKLOADS = tuple(
    Workload(
        f"predict_{name}_{batch}",
        f"predict {name.upper()}, " + ("1 sample" if batch == 1 else "10 000 samples"),
        layers,
        shape,
        batch,
        samples=batch,
        mode="predict",
    )
    for name, layers, shape in (("mlp", mlp.LAYERS, (784,)), ("cnn", cnn.LAYERS, (1, 28, 28)))
    for batch in (1, 10_000)
)
