"""`compress` as users run it, and what becomes of its file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from host.chain import first_break
from host.cli import main
from host.compiler import compile_network
from host.compression import CompressOptions, CompressOutputs, compress
from host.legs import OnnxRuntime, ProgramBytes, Subject, Verilog
from host.target import engine_target
from host.terminal import Reporter
from host.training import TrainOptions
from hw.contract.config import preset
from hw.contract.memory import Memory
from quant import qdq
from quant.base.errors import BadInput
from quant.kinds.conv import convolution
from tests.host.onnx_networks import images, small_cnn

QUIET = Reporter(quiet=True)


@pytest.fixture
def asked(tmp_path: Path) -> CompressOptions:
    network, calibration = small_cnn(tmp_path / "net.onnx", channels=8), images(tmp_path / "images.npz")
    return CompressOptions(network=network, calibration=calibration, effort="fast")


CHOSEN = (
    "--thrift is of values that weights choose while they are trained: give --share, and --prune or --start weights"
)


def weights(path: Path) -> dict[str, np.ndarray]:
    return {conv.name: conv.weight for layer in qdq.load(path).layers if (conv := convolution(layer))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "nothing to do: give --prune, --share, --ternary, --low-rank or --plan"),
        ({"prune": 1.0}, "--prune is a share, above 0 and below 1, not 1"),
        ({"prune": float("nan")}, "--prune is a share, above 0 and below 1, not nan"),
        ({"share": 1}, "weights can share 2 to 256 values, not 1"),
        ({"share": 300}, "weights can share 2 to 256 values, not 300"),
        (
            {"ternary": True, "prune": 0.5},
            "ternary weights have zeros and values of their own: leave out --prune and --share",
        ),
        ({"share": 4, "granularity": "blocks"}, "--granularity says what --prune takes away as one: give --prune"),
        (
            {"prune": 0.5, "granularity": "channels", "method": "lamp"},
            "channels go by --method surgeon or magnitude, not lamp",
        ),
        ({"share": 4, "granularity": "channels"}, "--granularity says what --prune takes away as one: give --prune"),
        ({"prune": 0.5, "granularity": "blocks"}, "blocks are those of a configuration of the engine: --config"),
        ({"prune": 0.5, "training": TrainOptions(thrift=0.1)}, CHOSEN),
        ({"share": 4, "training": TrainOptions(thrift=0.1)}, CHOSEN),
        ({"share": 4, "prune": 0.5, "granularity": "channels", "training": TrainOptions(thrift=0.1)}, CHOSEN),
    ],
)
def test_what_can_be_seen_to_be_wrong(asked: CompressOptions, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        replace(asked, **changes).check()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 4, "keep": ("odd",)}, "net has no convolution or fully connected layer odd"),
        ({"prune": 0.5, "keep": ("first", "fc")}, "0.5 of the weights cannot go: there are none"),
        (
            {"prune": 0.5, "granularity": "channels", "keep": ("last",)},
            "0.5 of the MACs cannot go with channels: without all that can, 100.00% stay",
        ),
    ],
)
def test_what_the_network_has_not(
    asked: CompressOptions, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput) as caught:
        compress(replace(asked, **changes), CompressOutputs(output=tmp_path / "c.onnx"), QUIET)
    assert str(caught.value) == message and not (tmp_path / "c.onnx").exists()


def test_the_file_holds_to_what_was_asked_and_says_so(
    asked: CompressOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled = images(tmp_path / "labelled.npz", labels=np.arange(12) % 3)
    words = [
        "compress",
        asked.network,
        "--calibration",
        asked.calibration,
        "--prune",
        0.5,
        "--share",
        3,
        "--keep",
        "last",
    ]
    words += ["-o", tmp_path / "c.onnx", "--evaluation", labelled, "--scan", tmp_path / "scan.svg", "--effort", "fast"]
    assert main([*map(str, words), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    own = weights(tmp_path / "c.onnx")
    assert np.count_nonzero(own["conv"]) == 72
    assert len(set(np.unique(own["conv"]).tolist()) - {0}) == 3 and len(np.unique(own["fc"])) > 15
    assert found["layers"][0] | {"SNR dB": 0} == {
        "layer": "conv", "weights": 144, "kept %": 50.0, "values": 3, "bytes": 144, "SNR dB": 0,
    }  # fmt: skip
    assert [row["network"] for row in found["before and after"]] == ["quantized", "compressed"]
    assert found["before and after"][1]["not zero"] == np.count_nonzero(own["conv"]) + np.count_nonzero(own["fc"])
    assert all(0 <= row["agreement with float"] <= 1 for row in found["before and after"])
    assert main(["encode", str(tmp_path / "c.onnx"), "-o", str(tmp_path / "c.coded")]) == 0
    assert found["before and after"][1]["coded file"] == (tmp_path / "c.coded").stat().st_size
    assert found["files"] == [str(tmp_path / "c.onnx"), str(tmp_path / "scan.svg")]
    assert (tmp_path / "scan.svg").read_text().startswith("<svg")
    told = {k: v for k, v in qdq.load(tmp_path / "c.onnx").metadata.items() if k.startswith("compression.")}
    assert told == {
        "compression.prune": "0.5",
        "compression.granularity": "1x1",
        "compression.method": "alternating",
        "compression.share": "3",
        "compression.kept": "fc",
    }


def test_channels_are_removed_for_good(
    asked: CompressOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fewer cycles, by as much as is said, and less to compare with the float file, which still has all."""
    labelled = images(tmp_path / "labelled.npz", labels=np.arange(12) % 3)
    words = ["compress", asked.network, "--calibration", asked.calibration, "-o", tmp_path / "c.onnx"]
    words += ["--prune", 0.2, "--granularity", "channels", "--config", "tiny", "--share", 16, "--effort", "fast"]
    assert main([*map(str, words), "--evaluation", str(labelled), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    network = qdq.load(tmp_path / "c.onnx")
    assert weights(tmp_path / "c.onnx")["conv"].shape[0] == 4 and found["channels"] == [
        {"layer": "conv", "channels": 4, "of": 8}, {"layer": "pool", "channels": 4, "of": 8},
    ]  # fmt: skip
    cycles = engine_target(preset("tiny")).cycles
    [saved], [macs] = found["cycles of one image"], found["MACs of one image"]
    assert cycles is not None and saved["after"] == cycles(network) and saved["gone %"] > 19
    assert macs == {"before": 64 * 144 + 8 * 3, "after": 64 * 72 + 4 * 3, "gone %": 50.0}
    assert len(np.unique(weights(tmp_path / "c.onnx")["fc"])) <= 17
    assert found["before and after"][1]["weights"] < found["before and after"][0]["weights"]
    told = {k: v for k, v in network.metadata.items() if k.startswith("compression.")}
    assert told == {
        "compression.prune": "0.2",
        "compression.granularity": "channels",
        "compression.method": "surgeon",
        "compression.share": "16",
    }
    with pytest.raises(BadInput, match="--scan is of weights that become zero, not of channels"):
        options = replace(asked, prune=0.2, granularity="channels")
        compress(options, CompressOutputs(output=tmp_path / "d.onnx", scan=tmp_path / "d.svg"), QUIET)


def compressed(asked: CompressOptions, path: Path, **changes: Any) -> Subject:
    """What the proof of equality is about, for a compressed network on `tiny`."""
    config = preset("tiny")
    compress(replace(asked, config=config, **changes), CompressOutputs(output=path), QUIET)
    network = qdq.load(path)
    x = np.load(asked.calibration)["images"][:2]
    return Subject(path, network, compile_network(network, config), x, Memory())


@pytest.mark.parametrize(
    "changes",
    [
        {"prune": 0.5, "granularity": "blocks", "share": 4},
        {"prune": 0.2, "granularity": "channels"},
        {"ternary": True, "keep": ("first",)},
    ],
)
def test_a_compressed_network_is_the_same_on_every_leg(
    asked: CompressOptions, tmp_path: Path, changes: dict[str, Any]
) -> None:
    subject = compressed(asked, tmp_path / "c.onnx", **changes)
    for leg in (OnnxRuntime(), ProgramBytes()):
        taken = leg.take(subject, QUIET)
        assert first_break(subject.order, subject.integers, taken.tensors, "integers", leg.name) is None


@pytest.mark.verify
@pytest.mark.parametrize(
    "changes", [{"prune": 0.5, "granularity": "blocks", "share": 4}, {"prune": 0.2, "granularity": "channels"}]
)
def test_a_compressed_network_in_the_verilog(asked: CompressOptions, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Equal tensors, and the cycles of the model."""
    subject = compressed(asked, tmp_path / "c.onnx", **changes)
    taken, model = (leg.take(subject, QUIET) for leg in (Verilog(), ProgramBytes()))
    assert taken.facts["mismatches"] == 0 and taken.facts["counters"] == model.facts["counters"]
