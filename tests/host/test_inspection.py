"""The command `inspect`: verdicts with the engine's own limits, exit codes, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from host.cli import main
from host.inspection import inspection, total
from tests.host.onnx_networks import small_cnn
from tests.quant.onnx_nets import Net
from tests.quant.tailed import normalized_head


def save(path: Path, model: onnx.ModelProto) -> Path:
    onnx.save(model, path)
    return path


def test_a_supported_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = small_cnn(tmp_path / "small.onnx")
    assert main(["inspect", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["supported"] and result["layers"] == 3
    assert {node["node"]: node["kind"] for node in result["nodes"]} == {
        "conv": "layer", "relu": "fused", "pool": "layer", "flatten": "folded", "fc": "layer"
    }  # fmt: skip
    assert main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    assert "3x3 convolution, 2 to 4 channels" in text
    assert text.splitlines()[-1] == "supported; nodes: 5 (3 on the engine, 1 fused, 1 folded); layers: 3"


def test_a_network_that_ends_on_the_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "net.onnx", normalized_head())
    assert main(["inspect", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "cut: the host goes on from pool, in ONNX Runtime: 3 nodes, 0.0% of the multiplications",
        "    because of norm (LayerNormalization): its mean and variance are taken of every image, and nothing here "
        "divides by data",
        "supported with its end on the host; nodes: 7 (3 on the engine, 1 fused, 3 on the host); layers: 3",
    ]
    assert main(["inspect", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["tail"]["cut"] == ["pool"] and result["tail"]["macs"] == 32 and result["uncut"] == ""


def test_why_a_network_cannot_end_on_the_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = Net(3, 8, 8)
    y = net.node("LpNormalization", net.conv("x", 4, 3), axis=1, name="norm")
    assert main(["inspect", str(save(tmp_path / "net.onnx", net.model(net.conv(y, 4, 4))))]) == 1
    text = "cannot end on the host: layers behind it have 57% of the multiplications; the host does at most 5%"
    assert f"network: {text}" in capsys.readouterr().out.splitlines()


def test_all_that_is_unsupported_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = Net(3, 8, 8)
    y = net.node("LpNormalization", net.conv("x", 4, 3, name="one"), axis=1, name="norm")
    y = net.node("Relu", net.conv(y, 4, 4, name="two"), name="act")
    y = net.node("InstanceNormalization", y, net.constant([1] * 4), net.constant([0] * 4), name="instance")
    path = save(tmp_path / "net.onnx", net.model(net.node("Relu", y, name="last")))
    assert main(["inspect", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "norm (LpNormalization): unsupported: divides by the norm of data" in lines
    assert "    cheapest change: retrain with BatchNormalization in its place, which is constant at inference" in lines
    assert lines[-1].startswith("not supported as it is; nodes: 6 (3 on the engine, 1 fused, 2 unsupported)")


@pytest.mark.parametrize(
    ("op", "attributes", "reason", "edit"),
    [
        ("MaxPool", {"dilations": [2, 2]}, "dilated pooling", "pool without dilation"),
    ],
)
def test_layers_that_the_engine_refuses(
    op: str, attributes: dict[str, list[int]], reason: str, edit: str, tmp_path: Path
) -> None:
    net = Net(3, 8, 8)
    y = net.node(op, net.conv("x", 4, 3), kernel_shape=[2, 2], name="pool", **attributes)
    y = net.conv(y, 4, 4, name="behind")
    result = inspection(save(tmp_path / "net.onnx", net.model(y)), None)
    [node] = [node for node in result["nodes"] if node["node"] == "pool"]
    assert node["kind"] == "executor" and reason in node["engine"] and node["edit"].startswith(edit)
    assert not result["supported"]
    y = net.conv(net.node("LpNormalization", y, axis=1, name="norm"), 4, 4, name="last")
    result = inspection(save(tmp_path / "net.onnx", net.model(y)), None)
    assert [node["kind"] for node in result["nodes"]] == ["layer", "executor", "layer", "unsupported", "layer"]


def test_products_of_two_maps_run_everywhere_but_on_the_engine(tmp_path: Path) -> None:
    net = Net(3, 8, 8)
    y = net.conv("x", 4, 3, name="conv")
    y = net.node("Mul", y, net.node("Sigmoid", y, name="gate"), name="swish")
    y = net.node("Mul", y, net.conv("x", 4, 3, name="other"), name="product")
    y = net.node("MaxPool", y, kernel_shape=[2, 2], dilations=[2, 2], name="pool")
    y = net.node("Resize", y, "", net.constant([1, 1, 2, 2]), mode="nearest", name="up",
                 coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
    result = inspection(save(tmp_path / "net.onnx", net.model(y)), None)
    nodes = {node["node"]: node for node in result["nodes"]}
    kinds = {
        "conv": "layer",
        "gate": "folded",
        "swish": "layer",
        "other": "layer",
        "product": "layer",
        "pool": "executor",
        "up": "layer",
    }
    assert {name: node["kind"] for name, node in nodes.items()} == kinds
    assert nodes["pool"]["engine"].startswith("dilated pooling")
    assert nodes["pool"]["edit"] == "pool without dilation, by a larger kernel or in two layers"
    assert not result["supported"]
    assert total(result).startswith("quantizer and executor run it, the engine does not; nodes: 7 (5 on the engine")


def test_networks_that_leave_their_size_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = small_cnn(tmp_path / "open.onnx", size=("H", "W"))
    assert main(["inspect", str(path)]) == 2
    assert "state it with --input-shape 2,<H>,<W>" in capsys.readouterr().err
    assert main(["inspect", str(path), "--input-shape", "2,8,8"]) == 0


@pytest.mark.parametrize("name", ["resnet20_cifar10", "squeezenet1.1", "mobilenet_v1_0.75", "vww96"])
def test_trained_networks(name: str, shared_data: Path) -> None:
    result = inspection(shared_data / "models" / f"{name}.onnx", None)
    assert result["supported"], [node for node in result["nodes"] if node["kind"] == "executor"]
