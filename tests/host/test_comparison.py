"""`compare` as users run it: what it prints, writes, draws and dumps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from host.cli import main
from host.delivery import HOME
from host.report.comparison import PLOTS
from tests.host.onnx_networks import images, small_cnn

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A comparison of the small network on twelve labelled images."""
    network, quantized = small_cnn(tmp_path / "net.onnx"), tmp_path / "q.onnx"
    calibration = images(tmp_path / "calibration.npz")
    labelled = images(tmp_path / "labelled.npz", labels=np.arange(12) % 3)
    assert main(["quantize", str(network), "--calibration", str(calibration), "-o", str(quantized)]) == 0
    return ["compare", str(network), str(quantized), "--images", str(labelled)]


def test_json_carries_everything(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main([*arguments, "--json", "-o", str(tmp_path / "c.json"), "--alone-images", "5"]) == 0
    captured = capsys.readouterr()
    value = json.loads(captured.out)
    assert captured.err == "" and value.pop("files") == [str(tmp_path / "c.json")]
    assert value == json.loads((tmp_path / "c.json").read_text())
    assert value["images"] == 12 and value["sensitivity"]["images"] == 5
    layers = value["sensitivity"]["layers"]
    assert {layer["layer"] for layer in layers} == {"", "conv", "pool", "fc"}
    assert [layer["output_noise"] for layer in layers] == sorted((x["output_noise"] for x in layers), reverse=True)
    assert {"causes", "reason", "repair", "tried", "agreement_lost", "agreement_risk", "sqnr_db"} <= set(layers[0])
    assert all({"change", "gain_db", "bytes"} == set(repair) for layer in layers for repair in layer["tried"])
    assert [tensor["layer"] for tensor in value["tensors"]] == ["", "conv", "pool", "fc"]
    for tensor in value["tensors"]:
        assert sum(tensor["spread"]["histogram"]) > 0


def test_a_file_of_another_tool_is_completed_only_when_asked(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bias in float, as training leaves it, is no multiple of the accumulator's unit."""
    model = onnx.load(arguments[2])
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    bias = next(node for node in model.graph.node if node.output[0] == conv.input[2])
    shape = next(array.dims for array in model.graph.initializer if array.name == bias.input[0])
    model.graph.node.remove(bias)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.full(shape, 0.1234567, np.float32), "odd"))
    conv.input[2] = "odd"
    model.producer_name = "another"
    foreign = tmp_path / "foreign.onnx"
    onnx.save(model, foreign)
    compiling = ["compile", str(foreign), "-o", str(tmp_path / "foreign.program")]
    comparing = [*arguments[:2], str(foreign), *arguments[3:]]
    for words in (compiling, comparing):
        capsys.readouterr()
        assert main(words) == 2
        assert "`--complete` rounds it" in capsys.readouterr().err
        assert main([*words, "--complete"]) == 0
        assert "is rounded to its accumulator's unit" in " ".join(capsys.readouterr().out.split())
        assert main([*words, "--complete", "--json"]) == 0
        notes = json.loads(capsys.readouterr().out)["notes"]
        assert notes == [{"note": "the bias of layer conv is rounded to its accumulator's unit"}]


def test_the_terminal_shows_the_most_sensitive_first(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    capsys.readouterr()
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    table = lines[: next(i for i, line in enumerate(lines) if line.startswith("└"))]
    assert max(map(len, table)) <= 120
    out = [float(cells[5]) for line in table if line.startswith("│") and (cells := line.split("│"))[5].strip()]
    assert len(out) == 4 and out == sorted(out)
    assert "accuracy" in " ".join(lines)


def test_without_errors_alone(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--alone-images", "0", "--layer-images", "3", "--json"]) == 0
    value = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert value["sensitivity"] == {"images": 0, "layers": []} and value["images"] == 3
    assert main([*arguments, "--alone-images", "0"]) == 0
    assert "cosine" in capsys.readouterr().out


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[[dict[str, str]], list[str]]:
    """A comparison of the bundled network with its 4-bit file, parts of whose tensors' names are replaced."""
    network = EXAMPLES / "fashion_mnist"
    with np.load(network / "evaluation.npz") as held:
        np.savez(tmp_path / "few.npz", **{name: array[:40] for name, array in held.items()})

    def changed(name: str, parts: dict[str, str]) -> str:
        for old, new in parts.items():
            name = name.replace(old, new)
        return name

    def renamed(parts: dict[str, str]) -> list[str]:
        model = onnx.load(EXAMPLES / "qat" / "fashion_mnist_w4.onnx")
        for names in [names for node in model.graph.node for names in (node.input, node.output)]:
            names[:] = [changed(name, parts) for name in names]
        for held in (*model.graph.output, *model.graph.initializer):
            held.name = changed(held.name, parts)
        onnx.save(model, tmp_path / "q.onnx")
        files = network / "fashion_mnist.onnx", tmp_path / "q.onnx", "--images", tmp_path / "few.npz"
        return ["compare", *map(str, files), "--alone-images", "4"]

    return renamed


def test_a_file_that_names_its_output_otherwise(
    elsewhere: Callable[[dict[str, str]], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    def figures(parts: dict[str, str]) -> dict[str, Any]:
        assert main([*elsewhere(parts), "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        for entry in (*found["tensors"], *found["sensitivity"]["layers"]):
            entry["tensor"] = entry["tensor"].removesuffix("_real")
        return found

    expected = figures({})
    assert expected["left_out"] == [] and len(expected["tensors"]) == 11
    assert figures({"_quantized": "_q"}) == expected


def test_what_a_file_names_otherwise_inside_is_said_in_one_line(
    elsewhere: Callable[[dict[str, str]], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(elsewhere({"_quantized": "_q", "conv3": "third", "pool": "maximum", "logits": "scores"})) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "not compared, since the quantized file names them otherwise: pool1, conv3.relu, pool2" in lines


def test_pictures(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "plots"
    assert main([*arguments, "--plots", str(folder)]) == 0
    names = {path.name for path in folder.iterdir()} - {HOME}
    assert names == set(PLOTS) == {"sqnr.svg", "sensitivity.svg", "histograms_01.png"}
    told = capsys.readouterr().out
    assert all(str(folder / name) in told for name in names)
    for name in ("sqnr.svg", "sensitivity.svg"):
        text = (folder / name).read_text()
        assert text.startswith("<svg") and ">conv</text>" in text and not re.search(r'href="https?:', text)
    assert (folder / "histograms_01.png").read_bytes().startswith(b"\x89PNG")


def test_tensors(arguments: list[str], tmp_path: Path) -> None:
    path = tmp_path / "tensors.npz"
    assert main([*arguments, "--dump", str(path), "--dump-layer", "conv", "--dump-images", "2"]) == 0
    with np.load(path) as file:
        (name,) = {key.split("/", 1)[1] for key in file.files}
        assert len(file[f"fixed/{name}"]) == 2
        values = file[f"fixed/{name}"] * 2.0 ** -int(file[f"frac/{name}"])
        values /= file[f"scales/{name}"].reshape(-1, 1, 1)
        assert np.abs(values - file[f"float/{name}"]).max() < 0.2


def test_a_wrong_name_is_one_line_and_leaves_no_file(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([*arguments, "--dump", str(tmp_path / "t.npz"), "--dump-layer", "convv"]) == 2
    assert "has no layer and no tensor 'convv' that both networks have" in capsys.readouterr().err
    assert not (tmp_path / "t.npz").exists()


def test_the_page_explains(arguments: list[str], tmp_path: Path) -> None:
    build = tmp_path / "build"
    calibration = str(tmp_path / "calibration.npz")
    assert main(["run", arguments[1], "--calibration", calibration, "--evaluation", arguments[4], "--config", "tiny",
                 "--rtl-images", "0", "--out", str(build)]) == 0  # fmt: skip
    report = json.loads((build / "report.json").read_text())
    assert [entry["layer"] for entry in report["sensitivity"]] and "tried" not in report["sensitivity"][0]
    conv, pool, _ = report["layers"]
    assert all(layer["sqnr_alone_db"] > layer["sqnr_db"] for layer in (conv, pool))
    page = (build / "report.html").read_text()
    assert 'id="sensitivity"' in page and "cheapest repair" in page and len(page) < 1 << 20


@pytest.mark.parametrize(
    ("words", "compared", "lines"),
    [
        (
            "--prune 0.4 --granularity channels",
            ["", "fc"],
            ["not compared, since the quantized file has them in another shape: r0, g"],
        ),
        (
            "--low-rank 0.6",
            ["", "conv", "pool", "fc"],
            ["not compared, since only the quantized network has them: conv.low"],
        ),
    ],
)
def test_a_network_of_other_layers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, compared: list[str], lines: list[str]
) -> None:
    network, pixels = small_cnn(tmp_path / "net.onnx", planes=4, channels=16), (12, 4, 8, 8)
    labelled = images(tmp_path / "labelled.npz", pixels, labels=np.arange(12) % 3)
    small = ["compress", str(network), "--calibration", str(labelled), *words.split(), "--effort", "fast"]
    assert main([*small, "-o", str(tmp_path / "c.onnx")]) == 0
    capsys.readouterr()
    asked = ["compare", str(network), str(tmp_path / "c.onnx"), "--images", str(labelled)]
    assert main([*asked, "-o", str(tmp_path / "c.json")]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if line.startswith("not compared")] == lines
    value = json.loads((tmp_path / "c.json").read_text())
    assert [tensor["layer"] for tensor in value["tensors"]] == compared
    assert value["accuracy"]["agreement"] > 0.5 and value["accuracy"]["fixed_top1"] is not None
