"""The benchmarks' arithmetic, the completeness of the workloads, and one run of the harness itself."""

from __future__ import annotations

import importlib.util
import json
import math
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from benchmarks import cliffs, driver, epoch, measure, peers, rendering, report, scaling, workloads
from benchmarks.worker import Worker
from benchmarks.workloads.scaled import AXES, TITLES

from miniDLF import layers

needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="processes are only forked on Linux")


def entry(*times: float, variant: str = "") -> dict[str, Any]:
    middle = sorted(times)[len(times) // 2]
    return {"times": list(times), "median": middle, "quartiles": [min(times), max(times)], "variant": variant}


def result(**medians: float) -> dict[str, Any]:
    return {"peers": {name: entry(value) for name, value in medians.items()}, "errors": {}, "gemm_gflops": 100.0}


def test_ratios_and_geometric_means() -> None:
    assert rendering.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert rendering.best_peer(result(minidlf=2.0, torch_eager=3.0, jax_jit=5.0)) == ("torch_eager", 1.5)
    assert rendering.best_peer(result(minidlf=2.0)) is None
    assert rendering.best_peer(result(minidlf=2.0, minidlf_callbacks=1.0)) is None  # no peer of itself
    means = rendering.summary(
        {
            "mlp": result(minidlf=1.0, minidlf_callbacks=1.25, jax_jit=2.0),
            "mlp_tiny": result(minidlf=2.0, jax_jit=1.0),
            "cnn": result(jax_jit=1.0),
        }
    )
    assert means["all"] == pytest.approx(1.0)
    assert means["specification"] == pytest.approx(2.0)
    assert means["observed"] == pytest.approx(1.6)
    assert means["lowest"] == 0.5


def test_the_share_of_the_gemm_rate_is_paired_by_turns() -> None:
    product = measure.GEMM_FLOPS
    slowed = measure._share(product, entry(2.0, 6.0, 2.0), entry(1.0, 3.0, 1.0))
    assert slowed == pytest.approx(0.5)
    assert measure._share(product, entry(2.0, 2.0, 9.0), entry(1.0, 1.0, 1.0)) == pytest.approx(0.5)
    assert measure._share(product, None, entry(1.0)) is None


def test_the_ratio_is_paired_by_turns() -> None:
    slowed = {"peers": {"minidlf": entry(1.0, 4.0, 1.0), "jax_jit": entry(2.0, 8.0, 2.0)}}
    assert rendering.ratio(slowed, "jax_jit") == 2.0
    shifted = {"peers": {"minidlf": entry(1.0, 1.0, 9.0), "jax_jit": entry(2.0, 3.0, 9.0)}}
    assert rendering.ratio(shifted, "jax_jit") == 2.0
    uneven = {"peers": {"minidlf": entry(1.0, 1.0), "jax_jit": entry(3.0)}}
    assert rendering.ratio(uneven, "jax_jit") == 3.0
    assert rendering.ratio(uneven, "torch_eager") is None


def test_a_peer_that_is_far_behind_takes_no_more_turns() -> None:
    class Fake:
        def __init__(self, peer: str, seconds: float) -> None:
            self.peer, self.seconds, self.asked = peer, seconds, []  # type: ignore[var-annotated]

        def ask(self, do: str, count: int, warm: int) -> dict[str, float]:
            self.asked.append((count, warm))
            return {"seconds": self.seconds}

    seconds = {"minidlf": 0.01, "torch_eager": 0.1, "jax_jit": 0.19, "keras_jax": 0.5, "gemm": 0.001}
    workers = [Fake(*item) for item in seconds.items()]
    times, errors = driver.rounds(workers, list(seconds.values()), 7, 0.4, ["torch_eager", "jax_jit", "keras_jax"])  # type: ignore[arg-type]
    assert errors == [None] * 5
    assert [len(turns) for turns in times] == [7, 7, 7, 3, 7]  # ours and the product are no contenders
    assert [worker.asked[0] for worker in workers] == [(40, 4), (4, 1), (2, 1), (1, 0), (400, 40)]
    result = {"peers": {worker.peer: {"times": turns} for worker, turns in zip(workers, times, strict=True)}}
    assert rendering.ratio(result, "keras_jax") == pytest.approx(50)
    times_so_far = {"a": [1.0, 1.0, 1.0], "b": [2.5, 9.0, 1.9], "c": [9.0, 9.0]}
    assert driver.beaten(times_so_far, 3) == set()  # b was near once, c had fewer turns
    assert driver.beaten(times_so_far, 1) == {"c"}
    assert driver.beaten({"a": []}, 1) == set()


def test_a_program_that_is_hopeless_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    takes = {"minidlf": 4.0, "torch_eager": 10.0, "torch_compile": 50.0, "jax_jit": 8.0, "keras_jax": 17.0}
    clock, limits = [0.0], []

    def program(command: list[str], timeout: float, **_: Any) -> Any:
        limits.append((command[3], timeout))
        seconds = takes[command[3]]
        clock[0] += min(seconds, timeout)
        if seconds > timeout:
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(measure.subprocess, "run", program)
    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(measure, "compile_checkout", lambda: None)
    result = measure.measure_epoch(workloads.find("mnist_epoch_mlp"), list(takes), 2, 2)
    first = [("minidlf", 240), ("torch_eager", 240), ("torch_compile", 30), ("jax_jit", 30), ("keras_jax", 24)]
    assert limits == [*first, ("minidlf", 240), ("torch_eager", 24), ("jax_jit", 24)]
    assert {name: entry["times"] for name, entry in result["peers"].items()} == {
        "minidlf": [4, 4],
        "torch_eager": [10, 10],
        "jax_jit": [8, 8],
        "keras_jax": [17],
    }
    assert result["errors"] == {"torch_compile": "stopped after 30 seconds without a line; others took 10.0"}


def test_every_workload_is_described() -> None:
    assert len(workloads.WORKLOADS) == 17
    assert sum(workload.specified for workload in workloads.WORKLOADS.values()) == 5
    for workload in workloads.WORKLOADS.values():
        assert workload.flops > 0
        assert workload.parameters > 0
        assert workload.title
    assert workloads.find("mlp").parameters == 638_810
    assert workloads.find("lstm").parameters == 318_251
    quick = workloads.select(report.QUICK_WORKLOADS)
    assert {w.name for w in workloads.WORKLOADS.values() if w.specified} <= {w.name for w in quick}


def test_every_peer_is_described() -> None:
    for name in (*peers.PEERS, peers.WITH_CALLBACKS):
        peer = peers.load(name)
        assert peer.TITLE
        assert peer.PACKAGES
        assert peer.MODULES
        assert isinstance(peer.COMPILES, bool)
        assert peer.FIRST_STEPS >= 2
        assert all(len(set(peer.variants(w))) == len(peer.variants(w)) >= 1 for w in workloads.WORKLOADS.values())


def test_our_network_has_the_described_parameters() -> None:
    from benchmarks.peers.minidlf import network

    for name in ("mlp", "cnn", "gru", "cifar_cnn_64", "autoencoder", "width@96", "length@10", "image@12"):
        workload = workloads.find(name)
        model = network(workload)
        trained = sum(p.size for layer in model.layers for p in layer.parameters if p.trainable)
        assert trained == workload.parameters, name


def test_the_page_is_written(tmp_path: Path) -> None:
    results = {
        "mlp": result(minidlf=0.004, torch_eager=0.012, minidlf_callbacks=0.005),
        "mlp_tiny": result(minidlf=60e-6, torch_eager=90e-6),
    }
    results["mlp"]["errors"]["jax_jit"] = "not installed"
    results["mlp"]["peers"]["torch_eager"] = entry(0.011, 0.012, 0.0133, variant="a good way")
    for ours, seconds in (("minidlf", 0.004), ("minidlf_callbacks", 0.005)):
        results["mlp"]["peers"][ours] = entry(seconds, seconds, seconds)
    data = {
        "date": "today",
        "minutes": 1.0,
        "machine": "a machine",
        "threads": 2,
        "turns": 3,
        "command": "python -m benchmarks.report",
        "peers": [peers.OURS, "torch_eager"],
        "versions": {"numpy": "2"},
        "results": results,
        "means": rendering.summary(results),
    }
    rendering.write(data, tmp_path)
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "| 4.00 ms ±0% | 12.00 ms ±10% | **3.00** |" in page
    assert "| 4.00 ms ±0% | 5.00 ms ±0% | **3.00** | **2.40** |" in page  # with metrics and callbacks
    assert "60 us" in page
    assert "mlp, jax_jit: not installed" in page
    assert "PyTorch eager: a good way: `mlp`" in page
    assert (tmp_path / "benchmarks.png").stat().st_size > 1000


def test_a_smooth_curve_has_no_cliff() -> None:
    sizes = [1, 2, 4, 8, 100, 128, 1000]
    assert cliffs.excess(sizes, [3e-4 * size**1.7 for size in sizes]) == pytest.approx([1.0] * len(sizes))
    doubling = [2**power for power in range(13)]
    costs = [200.0 + size for size in doubling]  # flat, then straight: an overhead and a rate
    assert max(cliffs.excess(doubling, costs)) < 1.13


def test_a_cliff_is_found_where_it_is() -> None:
    sizes = [10, 20, 40, 80, 160]
    for at, size in enumerate(sizes):
        times = [float(s) for s in sizes]
        times[at] *= 1.6
        assert cliffs.worst(sizes, times) == (size, pytest.approx(1.6))
    assert cliffs.predicted([10, 30, 90], [1.0, 100.0, 9.0], 1) == pytest.approx(3.0)
    assert cliffs.neighbours(5, 2) == [(1, 3)]
    assert cliffs.neighbours(5, 0) == [(1, 2), (1, 3)]
    assert cliffs.neighbours(5, 4) == [(3, 2), (3, 1)]
    assert cliffs.neighbours(3, 2) == [(1, 0)]
    with pytest.raises(ValueError, match="three points"):
        cliffs.excess([1, 2], [1.0, 2.0])


def test_the_axes_reach_as_far_as_they_should() -> None:
    ends = {"batch": (1, 4096), "width": (64, 4096), "length": (10, 1000), "image": (8, 224)}
    assert {axis: (sizes[0], sizes[-1]) for axis, sizes in AXES.items()} == ends
    assert set(TITLES) == set(AXES)


def test_suspicious_points_are_measured_again_with_their_neighbours() -> None:
    ours, theirs = scaling.Series(peers.OURS, 1), scaling.Series("torch_eager", 1)
    sizes = [1, 2, 4, 8, 16]
    even, jump = dict.fromkeys(sizes, 1.0), {1: 1.0, 2: 1.0, 4: 2.0, 8: 1.0, 16: 1.0}
    assert scaling.suspicious({ours: even, theirs: even}, sizes) == []
    assert scaling.suspicious({ours: even, theirs: jump}, sizes) == [2, 4, 8]
    assert scaling.suspicious({ours: even, theirs: {1: 1.0}}, sizes) == []  # a curve that was not finished


def test_the_harness_measures_ours(tmp_path: Path) -> None:
    arguments = ["--quick", "--only", "mlp_tiny", "--peers", "", "--turns", "2", "--threads", "1"]
    assert report.main([*arguments, "--out", str(tmp_path)]) == 0
    data = json.loads((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    found = data["results"]["mlp_tiny"]
    assert found["errors"] == {}
    assert found["gemm_gflops"] > 1
    assert 0 < found["gemm_share"] < 1
    for peer in (peers.OURS, peers.WITH_CALLBACKS):
        measured = found["peers"][peer]
        assert len(measured["times"]) == 2
        assert 1e-6 < measured["median"] < 1
        assert 0 <= measured["above"] < measured["peak"] < 1000
    assert data["versions"]["miniDLF"]
    assert "MLP 20-32-2" in (tmp_path / "benchmarks.md").read_text(encoding="utf-8")


def test_the_scaling_curves_are_measured_and_drawn(tmp_path: Path) -> None:
    arguments = ["--only", "width", "--sizes", "64,96,128", "--alone", "--threads", "1", "--out", str(tmp_path)]
    assert scaling.main(arguments) == 0
    curve = json.loads((tmp_path / "scaling.json").read_text(encoding="utf-8"))["seconds"]["width"]["minidlf, 1 thread"]
    assert list(curve) == ["64", "96", "128"]
    assert all(1e-6 < seconds < 1 for seconds in curve.values())
    assert "| MLP 256-width-width-10" in (tmp_path / "scaling.md").read_text(encoding="utf-8")
    assert (tmp_path / "scaling.png").stat().st_size > 1000


@pytest.mark.parametrize("forks", [pytest.param(True, marks=needs_fork), False])
def test_a_worker_has_fresh_processes_says_why_it_fails_and_is_replaced(
    forks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "FORKS", forks)
    with driver.Crew() as crew:
        worker = crew.get("gemm", 1)
        before = worker.child
        assert crew.get("gemm", 1) is worker
        assert worker.child not in (None, before)
        assert (worker.child != worker.process.pid) is forks
        with pytest.raises(driver.WorkerError, match="gemm: KeyError"):
            worker.ask("choose", name="no such workload", seconds=0.1)
        crew.drop("gemm", 1)
        again = crew.get("gemm", 1)
        assert again is not worker
        assert again.ask("load", name="mlp_tiny", variant="", seconds=0.01)["step_seconds"] > 0
    assert again.process.poll() is not None


@pytest.mark.parametrize(("hopeless", "tried"), [(math.inf, ["slow", "fast"]), (0.0, ["slow"])])
def test_a_hopeless_framework_does_not_try_its_other_ways(hopeless: float, tried: list[str]) -> None:
    class Peer:
        def variants(self, workload: Any) -> tuple[str, ...]:
            return "slow", "fast"

        def build(self, workload: Any, data: Any, variant: str) -> Any:
            return SimpleNamespace(steps=lambda rows, count: time.sleep(0.02 if variant == "slow" else 0.0))

    worker = Worker("gemm", 1)
    worker.peer = Peer()
    found = worker.choose("mlp_tiny", 0.01, hopeless)
    assert list(found["seconds"]) == tried
    assert found["variant"] == tried[-1]


def test_a_checkout_gets_the_bytecode_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    measure.compile_checkout()
    for module in (layers, workloads, epoch):
        assert Path(importlib.util.cache_from_source(str(module.__file__))).is_file()


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_an_epoch_is_a_program_of_its_own(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    splits = [(rng.random((count, 784), np.float32), rng.integers(0, 10, count)) for count in (60, 10, 20)]
    (tmp_path / "mnist.pkl").write_bytes(pickle.dumps(tuple(splits), protocol=2))
    epoch.ours(name, str(tmp_path / "mnist.pkl"))
    assert re.match(r"Epoch 01: =+> loss: \d\.\d+ train_acc = \d+\.\d+% test_acc = ", capsys.readouterr().out)


def test_a_framework_that_is_not_there_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(crew: driver.Crew, name: str, threads: int) -> driver.Worker:
        raise driver.WorkerError(f"no {name}")

    monkeypatch.setattr(measure, "rounds", lambda *arguments: ([], []))
    monkeypatch.setattr(driver.Crew, "get", missing)
    found = measure.measure(driver.Crew(), workloads.find("mlp_tiny"), ["jax_jit"], 1, measure.QUICK)
    assert found["errors"] == {"jax_jit": "no jax_jit", "gemm": "no gemm"}
    assert found["gemm_gflops"] is None
    assert found["gemm_share"] is None
    assert math.isnan(rendering.summary({"mlp_tiny": found})["all"])


def test_rows_can_be_measured_anew(tmp_path: Path) -> None:
    last = json.loads((report.DOCS / "benchmarks.json").read_text(encoding="utf-8"))
    row = last["results"]["mlp_tiny"] | {"seconds": -1.0}
    data = report.renewed(last, {"date": "later", "results": {"mlp_tiny": row}})
    assert list(data["results"]) == list(last["results"])
    assert data["results"]["mlp_tiny"]["seconds"] == -1.0
    assert "mlp_tiny" in data["again"]
    rendering.write(data, tmp_path)
    assert "Measured again later by `--again`: " in (tmp_path / "benchmarks.md").read_text(encoding="utf-8")


def test_the_readme_shows_the_table_of_the_last_report() -> None:
    data = json.loads((report.DOCS / "benchmarks.json").read_text(encoding="utf-8"))
    readme = (driver.ROOT / "README.md").read_text(encoding="utf-8")
    assert f"<!-- speed -->\n{rendering.short_table(data)}\n<!-- end of speed -->" in readme


def test_text_is_put_between_its_comments(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- speed -->\nold\n<!-- end of speed -->\nb\n", encoding="utf-8")
    rendering.put_between(page, "speed", "new")
    assert page.read_text(encoding="utf-8") == "a\n<!-- speed -->\nnew\n<!-- end of speed -->\nb\n"
    with pytest.raises(ValueError, match="no place for memory"):
        rendering.put_between(page, "memory", "new")
