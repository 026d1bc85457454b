"""`optimize` as users run it."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from host.cli import main
from host.kept import Kept
from host.optimization import OptimizeOptions, OptimizeOutputs, halves, optimize, point
from host.points import Measurement, Problem
from host.terminal import Reporter
from host.training import TrainOptions
from host.workers import begun
from hw.contract.config import preset
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.compress import Candidate
from quant.optimize import METHODS, PLAIN, Plan, Point, Reshape, Searched
from quant.run.evaluation import answers, float_answers
from tests.host.onnx_networks import images, small_cnn

QUIET = Reporter(quiet=True)


@pytest.fixture
def asked(tmp_path: Path) -> OptimizeOptions:
    """Labels are what the float network says, so that loss is what a plan changes."""
    network, calibration = small_cnn(tmp_path / "net.onnx", channels=16), images(tmp_path / "images.npz")
    graph = onnx_import.load(network)
    x = np.random.default_rng(3).normal(0, 1, (80, 2, 8, 8)).astype(np.float32)
    x *= np.random.default_rng(4).uniform(0, 4, (80, 2, 1, 1)).astype(np.float32)
    np.savez(tmp_path / "labelled.npz", images=x, labels=float_answers(graph, x))
    return OptimizeOptions(
        network=network,
        calibration=calibration,
        evaluation=tmp_path / "labelled.npz",
        config=preset("tiny"),
        effort="fast",
        count=2,
        jobs=1,
        max_loss=5.0,
    )


def test_a_loss_that_is_allowed_is_not_above_itself() -> None:
    """In binary 0.905 - 0.895 is more than 0.01."""
    for right in range(0, 363):
        found = point(PLAIN, {"right": right / 400, "costs": {}}, 362 / 400)
        assert found.loss == (362 - right) / 4 and found.within((362 - right) / 4)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of few points."""
    for method in ("bits", "prune", "prune and share"):
        monkeypatch.delitem(METHODS, method)
    module = import_module("quant.optimize.search")  # not the function of that name
    monkeypatch.setattr(module, "SHARES", (300,))
    monkeypatch.setattr(module, "REFINED", 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_loss": -1.0}, "--max-loss is in points of a hundred, from 0 and below 100, not -1"),
        ({"max_loss": float("nan")}, "--max-loss is in points of a hundred, from 0 and below 100, not nan"),
        ({"goal": "cycles", "config": None}, "cycles are those of a configuration of the engine: --config"),
        ({"count": 0}, "--points is 1 to 1000, not 0"),
        (
            {"scheduler": "host:1"},
            "the work is done by --jobs processes or by a --scheduler: leave out one of both",
        ),
        ({"margin": -1.0}, "--margin is in points of a hundred, from 0 and below 100, not -1"),
        ({"survivors": 0}, "--survivors is 1 at least, not 0"),
        (
            {"training": TrainOptions(train=Path("t.npz"), start="weights")},
            "a plan is trained from what is solved for: leave out --start weights",
        ),
        (
            {"training": TrainOptions(train=Path("t.npz"), epochs=1)},
            "what a plan prunes and shares trains in two stages: 2 epochs are needed",
        ),
    ],
)
def test_what_can_be_seen_to_be_wrong(asked: OptimizeOptions, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        replace(asked, **changes).check()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "holds no array `labels`"),
        ({"labels": np.arange(12) % 3}, "holds 12 images; to choose by them, 20 are needed at least"),
        ({"labels": np.arange(12)}, "labels are outside the 3 classes"),
    ],
)
def test_labels_that_say_nothing(asked: OptimizeOptions, tmp_path: Path, arrays: Any, message: str) -> None:
    path = images(tmp_path / "odd.npz", **arrays)
    with pytest.raises(BadInput) as caught:
        optimize(replace(asked, evaluation=path), OptimizeOutputs(output=tmp_path / "b.onnx"), QUIET)
    assert message in str(caught.value) and not (tmp_path / "b.onnx").exists()


def test_the_best_is_written_and_told_of_on_other_images(
    asked: OptimizeOptions,
    tmp_path: Path,
    short: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["optimize", asked.network, "--calibration", asked.calibration, "--evaluation", asked.evaluation]
    words += ["--config", "tiny", "--max-loss", 5, "--points", 2, "--jobs", 1, "--effort", "fast"]
    words += ["-o", tmp_path / "b.onnx", "--out", tmp_path / "out", "--json"]
    assert main(list(map(str, words))) == 0
    found = json.loads(capsys.readouterr().out)
    graph = onnx_import.load(asked.network)
    _, (others, labels) = halves(asked.evaluation, graph)
    plain, best = found["on 40 other images"]
    network = qdq.load(tmp_path / "b.onnx")
    assert best["top-1"] == np.mean(answers(network, others) == labels)
    assert best["loss"] == pytest.approx(100 - 100 * best["top-1"])
    assert best["cycles"] < 0.8 * plain["cycles"] and found["loss while choosing"] <= 5
    assert found["files"][1:] == [
        str(tmp_path / "out" / name) for name in ("pareto.json", "pareto_cycles.svg", "pareto_bytes.svg", "plan.json")
    ]
    assert json.loads((tmp_path / "out" / "pareto.json").read_text()) == {
        k: v for k, v in found.items() if k != "files"
    }
    assert {"plain", "channels", "low rank", "share", "layers"} <= {row["origin"] for row in found["all plans"]}
    words_of_plan = ["--plan", tmp_path / "out" / "plan.json", "--effort", "fast", "--config", "tiny"]
    made = ["compress", asked.network, "--calibration", asked.calibration, *words_of_plan, "-o", tmp_path / "c.onnx"]
    assert main([*map(str, made), "--json"]) == 0 and capsys.readouterr()
    assert (tmp_path / "c.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    # Again, everything is there: no job is performed.
    monkeypatch.setattr("host.optimization.perform", None)
    content = (tmp_path / "b.onnx").read_bytes()
    assert main(list(map(str, words))) == 0
    assert json.loads(capsys.readouterr().out) == found and (tmp_path / "b.onnx").read_bytes() == content


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed (extra `train`)")
def test_survivors_are_retrained(asked: OptimizeOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stopped in the second training goes on there; losses before and after are told."""
    plans = [
        PLAIN,
        Plan((Reshape("channels", 0.3),)),
        Plan((), {"conv": Candidate(prune=0.5), "fc": Candidate(values=4)}),
    ]

    def three(options: OptimizeOptions, problem: Problem, kept: Kept) -> Searched:
        values = kept.values("plans", [Measurement(plan) for plan in plans])
        found = [Point(plan, loss, v["costs"]) for plan, loss, v in zip(plans, (0.0, 40.0, 20.0), values, strict=True)]
        return Searched(tuple(found), found[0], True)

    monkeypatch.setattr("host.optimization.searched", three)
    graph = onnx_import.load(asked.network)
    x = np.random.default_rng(5).normal(0, 2, (60, 2, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "train.npz", images=x, labels=float_answers(graph, x))
    training = TrainOptions(train=tmp_path / "train.npz", epochs=2, batch=16)
    options, output = replace(asked, training=training, margin=50.0), tmp_path / "b.onnx"
    said: list[str] = []

    class Saying(Reporter):
        def step(self, what: str, done: int, total: int) -> None:
            said.append(what)

    class Stopping(Reporter):
        def step(self, what: str, done: int, total: int) -> None:
            if what.startswith("channels 0.3: ") and "epoch" in what and done == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimize(options, OptimizeOutputs(output=output), Stopping(quiet=True))
    points = tmp_path / "b.onnx.search" / "points"
    assert not output.exists() and len(list(points.glob("*.training"))) == 1
    found = optimize(options, OptimizeOutputs(output=output), Saying(quiet=True))
    assert any(word.startswith("channels 0.3: training: epoch 2 of 2") for word in said)
    assert not any("what is kept" in word for word in said)
    assert not list(points.glob("*.training*"))
    rows = found["retrained, by the loss while choosing"]
    assert [row["loss before"] for row in rows] == [20.0, 40.0] and all(row["loss"] < 5 for row in rows)
    assert [row["plan"] for row in rows] == [str(plan) for plan in plans[:0:-1]]
    after = [row for row in found["all plans"] if row["origin"] == "retrained"]
    assert [row["loss"] for row in after] == [row["loss"] for row in rows]
    shown = found["on 40 other images"]
    assert [row["network"] for row in shown] == ["plain", "written, before training", "written"]
    assert shown[2]["cycles"] < 0.8 * shown[0]["cycles"] and found["loss while choosing"] == rows[1]["loss"]
    assert qdq.load(output).metadata["compression.epochs"] == "2"
    assert json.loads((tmp_path / "b.onnx.search" / "plan.json").read_text())["reshapes"][0]["share"] == 0.3


@pytest.mark.parametrize("met", [True, False])
def test_where_nothing_meets_the_loss_that_is_said(
    asked: OptimizeOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, met: bool
) -> None:
    def plain(options: OptimizeOptions, problem: Problem, kept: Kept) -> Searched:
        (value,) = kept.values("plans", [Measurement(PLAIN)])
        found = point(PLAIN, value, 1.0)
        return Searched((found,), found, met)

    monkeypatch.setattr("host.optimization.searched", plain)
    reporter = Reporter(quiet=True)
    optimize(replace(asked, config=None), OptimizeOutputs(output=tmp_path / "b.onnx"), reporter)
    said = ["no plan loses 5 or less: the network that is written is the plain one"]
    assert reporter.warnings == ([] if met else said) and (tmp_path / "b.onnx").exists()
    assert (tmp_path / "b.onnx.search" / "pareto_bytes.svg").exists()


@pytest.mark.verify
def test_a_cluster_that_loses_a_worker_finds_the_same(asked: OptimizeOptions, tmp_path: Path, short: None) -> None:
    distributed = pytest.importorskip("distributed")
    here = optimize(asked, OptimizeOutputs(output=tmp_path / "here.onnx"), QUIET)
    points = tmp_path / "there.onnx.search" / "points"
    killed: list[int] = []
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 60}
    with begun(lambda: distributed.LocalCluster(**options)) as cluster:

        def kill() -> None:
            while not any(points.glob("*.json")):
                time.sleep(0.05)
            killed.append(cluster.workers[0].pid)
            os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        elsewhere = replace(asked, jobs=None, scheduler=cluster.scheduler_address)
        there = optimize(elsewhere, OptimizeOutputs(output=tmp_path / "there.onnx"), QUIET)
        killer.join()
        assert cluster.workers[0].pid != killed[0]  # another one has come
    assert {**there, "files": here["files"]} == here
    assert (tmp_path / "there.onnx").read_bytes() == (tmp_path / "here.onnx").read_bytes()
