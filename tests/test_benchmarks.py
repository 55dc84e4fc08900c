"""The report's arithmetic and the completeness of the workloads; nothing is timed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks import peers, report, workloads


def result(**medians: float) -> dict[str, Any]:
    entries = {name: {"median": value, "quartiles": [value, value], "variant": ""} for name, value in medians.items()}
    return {"peers": entries, "errors": {}, "gemm_gflops": 100.0}


def test_ratios_and_geometric_means() -> None:
    assert report.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert report.best_peer({"minidlf": 2.0, "torch_eager": 3.0, "jax_jit": 5.0}) == ("torch_eager", 1.5)
    assert report.best_peer({"minidlf": 2.0}) is None
    means = report.summary(
        {
            "mlp": result(minidlf=1.0, jax_jit=2.0),
            "mlp_tiny": result(minidlf=2.0, jax_jit=1.0),
            "cnn": result(jax_jit=1.0),
        }
    )
    assert means["all"] == pytest.approx(1.0)
    assert means["specification"] == pytest.approx(2.0)
    assert means["lowest"] == 0.5


def test_every_workload_is_described() -> None:
    assert len(workloads.WORKLOADS) == 17
    assert sum(workload.specified for workload in workloads.WORKLOADS.values()) == 5
    for workload in workloads.WORKLOADS.values():
        assert workload.flops > 0
        assert workload.parameters > 0
        assert workload.title
    assert workloads.find("mlp").parameters == 638_810
    assert workloads.find("lstm").parameters == 318_251


def test_our_network_has_the_described_parameters() -> None:
    from benchmarks.peers.minidlf import network

    for name in ("mlp", "cnn", "gru", "cifar_cnn_64", "autoencoder"):
        workload = workloads.find(name)
        model = network(workload)
        trained = sum(p.size for layer in model.layers for p in layer.parameters if p.trainable)
        assert trained == workload.parameters, name


def test_the_page_is_written(tmp_path: Path) -> None:
    results = {"mlp": result(minidlf=0.004, torch_eager=0.012), "mlp_tiny": result(minidlf=60e-6, torch_eager=90e-6)}
    results["mlp"]["errors"]["jax_jit"] = "not installed"
    data = {
        "date": "today",
        "machine": "a machine",
        "threads": 2,
        "turns": 3,
        "command": "python -m benchmarks.report",
        "peers": [peers.OURS, "torch_eager"],
        "versions": {"numpy": "2"},
        "results": results,
        "means": report.summary(results),
    }
    report.write(data, tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| 4.00 ms | 12.00 ms | **3.00** |" in page
    assert "60 us" in page
    assert "mlp, jax_jit: not installed" in page
    assert (tmp_path / "benchmarks.png").stat().st_size > 1000
