"""`compress --low-rank`: what users are told, and what becomes of the cycles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from host.chain import first_break
from host.cli import main
from host.legs import OnnxRuntime, ProgramBytes, Subject
from host.low_rank import LowRankOptions
from host.terminal import Reporter
from host.timed import compile_timed
from hw.contract.config import preset
from hw.contract.memory import Memory
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from sim.cycles import simulate
from tests.host.onnx_networks import images, small_cnn


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (LowRankOptions(low_rank=1.0), "--low-rank is a share of the cycles, above 0 and below 1, not 1"),
        (LowRankOptions(low_rank=float("nan")), "--low-rank is a share of the cycles, above 0 and below 1, not nan"),
        (LowRankOptions(spatial=True), "--spatial says how layers are cut: give --low-rank"),
    ],
)
def test_what_can_be_seen_to_be_wrong(options: LowRankOptions, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        options.check()
    assert str(caught.value) == message


def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    """The command on a network of one convolution of 8 channels to 32, its table and its message."""
    network = small_cnn(tmp_path / "net.onnx", planes=8, channels=32)
    x = images(tmp_path / "images.npz", (12, 8, 8, 8))
    given = ["compress", network, "--calibration", x, "-o", tmp_path / "c.onnx", "--effort", "fast", "--json", *words]
    code = main([str(word) for word in given])
    out, err = capsys.readouterr()
    return code, json.loads(out) if code == 0 else {}, err


@pytest.mark.parametrize("spatial", [False, True])
def test_cycles_fall_as_predicted_and_integers_are_the_same_on_every_leg(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spatial: bool
) -> None:
    config = preset("tiny")
    code, found, _ = run(tmp_path, capsys, "--low-rank", "0.7", "--config", "tiny", *["--spatial"] * spatial)
    assert code == 0
    (whole,), network = found["low rank"], qdq.load(tmp_path / "c.onnx")
    program = compile_timed(network, config)
    (taken,) = found["cycles of one image"]
    assert whole["after"] <= 0.7 * whole["cycles before"] and taken["after"] == simulate(program).cycles
    for predicted, counted in ((whole["cycles before"], taken["before"]), (whole["after"], taken["after"])):
        assert counted == pytest.approx(predicted, rel=1e-3)  # an output of 16 bits takes a few more
    first, last = found["low rank by layer"]
    assert (
        all(int(word) % 4 == 0 for word in first["rank"].replace(" down", "").split(", "))
        and 0 < first["energy %"] < 100
    )
    assert last | {"cycles before": 0, "after": 0} == {
        "layer": "fc", "rank": "no rank costs less", "energy %": 100.0, "cycles before": 0, "after": 0,
    }  # fmt: skip
    assert found["layers"][0]["layer"] == "conv.low" and found["layers"][-2]["layer"] == "conv"
    assert network.metadata["compression.low_rank"] == "0.7"
    assert network.metadata.get("compression.spatial") == ("True" if spatial else None)
    x = np.load(tmp_path / "images.npz")["images"][:2]
    subject = Subject(tmp_path / "c.onnx", network, program, x, Memory())
    for leg in (OnnxRuntime(), ProgramBytes()):
        result = leg.take(subject, Reporter(quiet=True))
        assert first_break(subject.order, subject.integers, result.tensors, "integers", leg.name) is None


def test_multiplications_without_a_configuration_and_together_with_shared_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found, _ = run(tmp_path, capsys, "--low-rank", "0.6", "--share", "4", "--reconstruction", "linear")
    graph = onnx_import.load(tmp_path / "net.onnx")
    before = sum(layer.macs(graph.shapes[layer.output]) for layer in graph.layers)
    assert code == 0 and found["low rank"][0]["MACs before"] == before
    assert found["low rank"][0]["share"] <= 0.6 and "cycles of one image" not in found
    assert all(row["values"] <= 4 for row in found["layers"])


def test_layers_that_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, message = run(tmp_path, capsys, "--low-rank", "0.9", "--config", "tiny", "--keep", "conv")
    assert code == 2 and message.count("\n") == 1 and "0.9 of the cycles cannot be met" in message
    assert not (tmp_path / "c.onnx").exists()
