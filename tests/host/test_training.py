"""`compress --train` as users run it."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from host import training
from host.chain import first_break
from host.cli import main
from host.compiler import compile_network
from host.compression import CompressOptions, CompressOutputs, compress
from host.legs import OnnxRuntime, ProgramBytes, Subject
from host.terminal import Reporter
from host.training import TrainOptions, checkpoint_of, digest
from hw.contract.config import preset
from hw.contract.memory import Memory
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.compress import Asked
from quant.ir.target import Target
from quant.kinds.conv import convolution
from quant.train.solved import Solved
from tests.host.onnx_networks import images, small_cnn
from tests.quant.tailed import best_three

QUIET = Reporter(quiet=True)
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed (extra `train`)")


@pytest.fixture
def asked(tmp_path: Path) -> CompressOptions:
    network, calibration = small_cnn(tmp_path / "net.onnx", channels=8), images(tmp_path / "images.npz")
    labels = np.arange(60) % 3
    train = images(tmp_path / "train.npz", (60, 2, 8, 8), labels=labels)
    options = TrainOptions(train=train, epochs=2, batch=16, seed=3)
    return CompressOptions(network=network, calibration=calibration, effort="fast", prune=0.5, training=options)


def test_without_pytorch_it_says_what_to_install(
    asked: CompressOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    words = ["compress", asked.network, "--calibration", asked.calibration, "--prune", 0.5, "-o", tmp_path / "c.onnx"]
    assert main([*map(str, words), "--train", str(asked.training.train)]) == 2
    assert capsys.readouterr().err == "shiftpoint: --train needs PyTorch: pip install 'shiftpoint[train]'\n"


@needs_torch
def test_networks_that_end_on_the_host_are_not_trained(asked: CompressOptions) -> None:
    graph = onnx_import.load(best_three())
    with pytest.raises(BadInput, match="net: ends on the host, and --train trains networks that return the classes'"):
        training.retrained(
            *(graph, graph, asked.training, Asked(prune=0.5), np.zeros((1, *graph.shapes[graph.inputs[0]])), Target()),
            *(Path("c.onnx"), {}, QUIET),
        )


def test_settings_count_only_where_there_is_training() -> None:
    TrainOptions(epochs=0).check()


def test_the_key_is_of_all_that_weights_depend_on(asked: CompressOptions, tmp_path: Path) -> None:
    graph, options = onnx_import.load(asked.network), asked.training
    first = digest(graph, options, Asked(prune=0.5))
    assert first == digest(onnx_import.load(asked.network), options, Asked(prune=0.5))
    other = onnx_import.load(small_cnn(tmp_path / "other.onnx", channels=6))
    images(tmp_path / "train.npz", (60, 2, 8, 8), labels=np.zeros(60, np.int64))
    ones = {"fc": np.ones(3, np.float32)}
    changed = {
        digest(graph, options, Asked(prune=0.5), Solved({}, ones, {}, {})),
        digest(other, options, Asked(prune=0.5)),
        digest(graph, options, Asked(prune=0.6)),
        digest(graph, replace(options, seed=4), Asked(prune=0.5)),
        digest(graph, options, Asked(prune=0.5)),  # other labels
    }
    assert len(changed) == 5 and first not in changed


@needs_torch
@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        ({"granularity": "blocks"}, ["what is kept"] * 2),
        ({"share": 3}, ["what is kept", "sharing"]),
        ({"prune": None, "share": 3}, ["sharing"] * 2),
    ],
)
def test_a_retrained_network_is_the_same_on_every_leg(
    asked: CompressOptions, tmp_path: Path, changes: dict[str, Any], trained: list[str]
) -> None:
    config, path = preset("tiny"), tmp_path / "c.onnx"
    found = compress(replace(asked, config=config, **changes), CompressOutputs(output=path), QUIET)
    assert [row["of"] for row in found["training"]] == trained and not checkpoint_of(path).exists()
    network = qdq.load(path)
    weights = [conv.weight for layer in network.layers if (conv := convolution(layer))]
    if "prune" not in changes:
        assert sum(map(np.count_nonzero, weights)) <= sum(weight.size for weight in weights) / 2
    if "share" in changes:
        assert all(len(set(np.unique(weight).tolist()) - {0}) <= 3 for weight in weights)
    assert network.metadata["compression.epochs"] == "2"
    subject = Subject(
        path, network, compile_network(network, config), np.load(asked.calibration)["images"][:2], Memory()
    )
    for leg in (OnnxRuntime(), ProgramBytes()):
        taken = leg.take(subject, QUIET)
        assert first_break(subject.order, subject.integers, taken.tensors, "integers", leg.name) is None


@needs_torch
def test_what_channels_are_left_of_is_trained_on_the_answers_of_the_whole(
    asked: CompressOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quant.train import loop

    seen = []
    module = loop.GraphModule
    monkeypatch.setattr(loop, "GraphModule", lambda graph: (seen.append(graph.shapes["r0"][0]), module(graph))[1])
    options = replace(asked, config=preset("tiny"), prune=0.2, granularity="channels")
    found = compress(options, CompressOutputs(output=tmp_path / "c.onnx"), QUIET)
    assert seen == [8, 4] and [row["of"] for row in found["training"]] == ["training"] * 2
    assert found["channels"][0] == {"layer": "conv", "channels": 4, "of": 8}
    assert found["cycles of one image"][0]["gone %"] > 19
    assert [row["kept %"] for row in found["layers"]] == [pytest.approx(100, abs=5)] * 2


@needs_torch
def test_stopped_and_begun_again_it_writes_the_same_bytes(asked: CompressOptions, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.onnx", tmp_path / "c.onnx"
    compress(asked, CompressOutputs(output=whole), QUIET)

    class Stopping(Reporter):
        def step(self, what: str, done: int, total: int) -> None:
            if "epoch" in what and done == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress(asked, CompressOutputs(output=path), Stopping(quiet=True))
    assert checkpoint_of(path).exists() and not path.exists()
    with pytest.raises(BadInput, match=r"c.onnx.training: is of another training"):
        compress(replace(asked, prune=0.4), CompressOutputs(output=path), QUIET)
    compress(asked, CompressOutputs(output=path), QUIET)
    assert path.read_bytes() == whole.read_bytes() and not checkpoint_of(path).exists()


@needs_torch
def test_a_share_that_cannot_be_met_leaves_nothing(asked: CompressOptions, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot go"):
        compress(replace(asked, prune=0.9999), CompressOutputs(output=tmp_path / "c.onnx"), QUIET)
    assert not (tmp_path / "c.onnx").exists() and training.checkpoint_of(tmp_path / "c.onnx").exists() is False
