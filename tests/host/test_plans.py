"""Plans as files, and networks made of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from host.cli import main
from host.compression import CompressOptions, CompressOutputs, compress
from host.plans import read_plan, written
from host.points import Measurement, Problem
from host.terminal import Reporter
from hw.contract.config import preset
from quant import onnx_import
from quant.base.errors import BadInput
from quant.compress import Candidate
from quant.optimize import PLAIN, Plan, Reshape
from tests.host.onnx_networks import images, small_cnn

TINY, QUIET = preset("tiny"), Reporter(quiet=True)
PLAN = Plan((Reshape("channels", 0.2),), {"conv": Candidate(prune=0.5, values=3), "fc": Candidate(bits=4)}, "p.json")


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return small_cnn(tmp_path / "net.onnx", channels=8)


def file_of(path: Path, given: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(written(PLAN, given, TINY) | changes))
    return path


@pytest.mark.parametrize("plan", [PLAN, replace(PLAIN, origin="p.json")])
def test_what_is_written_is_read(network: Path, tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "p.json").write_text(json.dumps(written(plan, network, TINY)))
    assert read_plan(tmp_path / "p.json", network, TINY) == plan
    assert list(read_plan(tmp_path / "p.json", network, TINY).layers) == list(plan.layers)


def test_only_what_is_asked_stands_there(network: Path) -> None:
    assert written(PLAN, network, None)["layers"] == {"conv": {"prune": 0.5, "values": 3}, "fc": {"bits": 4}}
    assert written(PLAN, network, None)["counts"] == "MACs"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"form": "shiftpoint plan 2"}, 'p.json: is no plan: what it says as `form` is not "shiftpoint plan 1"'),
        ({"network": "0" * 64}, "p.json: is a plan for another network than net.onnx, by its SHA-256"),
        ({"counts": "MACs"}, "p.json: counts MACs, not cycles on tiny ("),
        ({"more": 1}, 'p.json has no "more"'),
        ({"reshapes": [{"method": "bend", "share": 0.2}]}, "a shape comes of channels or low rank, not of 'bend'"),
        ({"reshapes": [{"method": "channels", "share": 1}]}, "the share that goes is above 0 and below 1, not 1"),
        ({"reshapes": [{"method": "channels"}]}, "p.json.reshapes[0].share is missing"),
        (
            {"layers": {"conv": {"prune": 1.5}}},
            "p.json.layers.conv: the share that is pruned is 0 at least and below 1",
        ),
        ({"layers": {"conv": {"prune": "half"}}}, 'p.json.layers.conv.prune must be a number, not "half"'),
        ({"layers": {"conv": {"rate": 0.5}}}, 'p.json.layers.conv has no "rate"'),
        ({"layers": {"conv": {"values": 1}}}, "p.json.layers.conv: weights can share 2 to 256 values, not 1"),
        ({"layers": [1]}, "p.json.layers must be an object, not [1]"),
    ],
)
def test_what_is_no_plan(network: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_plan(file_of(tmp_path / "p.json", network, **changes), network, TINY)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"form": "shiftpoint plan 1"}', b"\xff\x00"])
def test_what_is_damaged(network: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(BadInput, match=r"^p\.json"):
        read_plan(tmp_path / "p.json", network, TINY)


def test_compress_makes_what_optimize_measured(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibration = images(tmp_path / "images.npz")
    x = np.load(calibration)["images"]
    problem = Problem(onnx_import.load(network), x, x, np.arange(12) % 3, TINY, "fast")
    wanted = Measurement(PLAN).perform(problem).network
    words = ["compress", network, "--calibration", calibration, "--config", "tiny", "--effort", "fast"]
    words += ["--plan", file_of(tmp_path / "p.json", network), "-o", tmp_path / "c.onnx"]
    assert main([str(word) for word in words]) == 0
    assert wanted and (tmp_path / "c.onnx").read_bytes() == wanted
    assert main([*map(str, words), "--share", "4"]) == 2
    assert "--plan says what is done to each layer: leave out --share" in capsys.readouterr().err


def test_a_layer_that_is_not_there(network: Path, tmp_path: Path) -> None:
    plan = file_of(tmp_path / "p.json", network, layers={"odd": {"bits": 4}})
    options = CompressOptions(network=network, calibration=images(tmp_path / "i.npz"), config=TINY, plan=plan)
    with pytest.raises(BadInput, match="has no convolution or fully connected layer odd"):
        compress(options, CompressOutputs(output=tmp_path / "c.onnx"), QUIET)
    assert not (tmp_path / "c.onnx").exists()


def test_weights_in_another_file_count(network: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    model, other = onnx.load(network), tmp_path / "other" / "net.onnx"
    onnx.save_model(model, other, save_as_external_data=True, location="w.data", size_threshold=0)
    plan = tmp_path / "p.json"
    plan.write_text(json.dumps(written(PLAN, other, TINY)))
    read_plan(plan, other, TINY)
    data = tmp_path / "other" / "w.data"
    data.write_bytes(data.read_bytes()[::-1])
    with pytest.raises(BadInput, match="another network"):
        read_plan(plan, other, TINY)
