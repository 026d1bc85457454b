"""The benchmark of the quantizer: what it measures, on a folder of data made here, and the tables it writes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from benchmarks import datasets, marked, onnxruntime_quantizer, quantizer
from benchmarks.datasets import Labelled, task
from benchmarks.logits import centred_ratio, figures, fixed_logits, float_logits, runtime_logits
from benchmarks.quantizing import ours, quantize_apart
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.run.evaluation import accuracy
from quant.search import Options, quantize_network
from quant.search.mixed import weight_bytes
from tests.quant.float_graphs import branches
from tests.quant.onnx_nets import Net

LOAD = """
import numpy as np

SIZES = {"cifar10_train_2000": 450, "cifar10_test": 60}

def load_images(name, limit=None, size=None):
    count = SIZES[name] if limit is None else min(limit, SIZES[name])
    random = np.random.default_rng(len(name))
    pixels = random.integers(0, 256, (SIZES[name], 3, *size), np.uint8)
    return pixels[:count], np.arange(count) % 10

def network_size(path):
    return (8, 8)

def preprocess(pixels, path):
    return (pixels.astype(np.float32) - 128) / 64
"""
CIFAR = datasets.TASKS[10]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as that of the labelled data: a network of ten classes, and one whose metadata say nothing of images."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "models").mkdir()
    (folder / "load.py").write_text(LOAD)
    net = Net(3, 8, 8, seed=5)
    x = net.node("Relu", net.norm(net.conv("input", 12, 3, (3, 3), pads=[1, 1, 1, 1]), 12))
    x = net.node("Relu", net.conv(x, 12, 1, (3, 3), pads=[1, 1, 1, 1], group=12))
    x = net.conv(net.node("GlobalAveragePool", x), 10, 12)
    model = net.model(net.node("Flatten", x), inputs=("input",))
    onnx.save(model, folder / "models" / "unlabelled.onnx")
    onnx.helper.set_model_props(model, {"preprocess.channels": "RGB", "preprocess.mean": "128,128,128",
                                        "preprocess.scale": "0.015625,0.015625,0.015625"})  # fmt: skip
    onnx.save(model, folder / "models" / "small.onnx")
    return folder


def test_tasks_and_fully_connected_layers_are_found_by_their_shapes() -> None:
    graph = branches()
    assert datasets.fully_connected(graph) == quantizer.classifier(graph) == ["fc"]
    assert task(graph) is None  # no metadata of images
    classes = graph.shapes[graph.outputs[0]][0]
    with_metadata = dataclasses.replace(graph, metadata={"preprocess.channels": "RGB"})
    assert task(with_metadata) == datasets.TASKS.get(classes)
    headless = dataclasses.replace(graph, layers=tuple(layer for layer in graph.layers if layer.name != "fc"))
    assert not datasets.fully_connected(headless) and len(quantizer.classifier(headless)) == 1


def test_a_subset_begins_where_it_was_asked_to_and_ends_within_the_set(data: Path) -> None:
    labelled = Labelled(data)
    path = labelled.network("small")
    whole, _ = labelled.load.load_images(CIFAR.calibration, None, (8, 8))
    np.testing.assert_array_equal(
        labelled.calibration(path, CIFAR, 250), labelled.load.preprocess(whole[250:450], "any")
    )
    with pytest.raises(BadInput, match="^cifar10_train_2000 holds 450 images, none from 251 to 450$"):
        labelled.calibration(path, CIFAR, 251)


def test_parts_are_all_images_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "PART", 25)
    labelled = Labelled(data)
    pixels, labels = labelled.evaluation(labelled.network("small"), CIFAR, None)
    parts = list(labelled.parts(labelled.network("small"), pixels))
    assert [len(part) for part in parts] == [25, 25, 10] and len(labels) == 60
    np.testing.assert_array_equal(np.concatenate(parts), labelled.load.preprocess(pixels, "any"))


def test_what_is_not_there_is_one_line(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no labelled images"):
        Labelled(tmp_path)
    with pytest.raises(BadInput, match="^there is no network large; there are small, unlabelled$"):
        Labelled(data).network("large")


def test_the_ratio_of_logits_ignores_what_is_added_to_a_whole_image() -> None:
    wanted = np.array([[1.0, -1.0, 0.0], [2.0, 0.0, -2.0]])
    assert centred_ratio(wanted, wanted + np.array([[5.0], [-3.0]])) is None
    noisy = wanted + 7 + np.array([[0.1, -0.1, 0.0], [0.0, 0.0, 0.0]])
    assert centred_ratio(wanted + 4, noisy) == pytest.approx(10 * np.log10(10 / 0.02))


def test_figures_take_the_first_of_equal_logits() -> None:
    wanted = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])
    found = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 2.0], [1.0, 2.0]])
    result = figures(wanted, found, np.array([0, 0, 0, 1]))
    assert (result["top1"], result["agreement"]) == (0.75, 0.5)


def test_logits_of_the_saved_file_give_the_answers_of_the_evaluation(data: Path, tmp_path: Path) -> None:
    labelled = Labelled(data)
    path = labelled.network("small")
    graph = onnx_import.load(path)
    network = quantize_network(graph, labelled.calibration(path, CIFAR)[:20])
    qdq.save(network, tmp_path / "quantized.onnx")
    pixels, labels = labelled.evaluation(path, CIFAR, 40)
    wanted = float_logits(graph, labelled.parts(path, pixels))
    found = figures(wanted, fixed_logits(tmp_path / "quantized.onnx", labelled.parts(path, pixels)), labels)
    reference = accuracy(network, graph, labelled.load.preprocess(pixels, str(path)), labels)
    assert (found["top1"], found["agreement"]) == (reference.fixed_top1, reference.agreement)
    assert found["snr_db"] > 20  # as near as eight bits are: in the float network's scale


@pytest.mark.parametrize("per_channel", (True, False))
def test_onnx_runtime_quantizes_bytes_with_a_scale_for_each_channel_or_layer(
    data: Path, tmp_path: Path, per_channel: bool
) -> None:
    labelled = Labelled(data)
    path, target = labelled.network("small"), tmp_path / "quantized.onnx"
    images = labelled.calibration(path, CIFAR)[:30]
    onnxruntime_quantizer.quantize(path, images, target, per_channel)
    model = onnx.load(target)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    weights = [node for node in model.graph.node if node.op_type == "DequantizeLinear"
               and node.input[0] in arrays and arrays[node.input[0]].dtype == np.int8]  # fmt: skip
    assert [arrays[node.input[1]].size for node in weights] == ([12, 12, 10] if per_channel else [1, 1, 1])
    data_types = {arrays[node.input[2]].dtype for node in model.graph.node if node.op_type == "QuantizeLinear"}
    assert data_types == {np.dtype(np.uint8)}
    pixels, labels = labelled.evaluation(path, CIFAR, 40)
    wanted = float_logits(onnx_import.load(path), labelled.parts(path, pixels))
    found = figures(wanted, runtime_logits(target, labelled.parts(path, pixels)), labels)
    assert found["snr_db"] > 15


def take(source: Path, images: np.ndarray, target: Path, options: Mapping[str, Any]) -> None:
    """A tool that only takes memory."""
    target.write_bytes(np.ones(options["mib"] << 20, np.uint8)[:1].tobytes())


def end(source: Path, images: np.ndarray, target: Path, options: Mapping[str, Any]) -> None:
    """A tool whose process is killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_peak_of_memory_is_that_of_the_process_that_quantizes(data: Path, tmp_path: Path) -> None:
    held = np.ones(384 << 20, np.uint8)  # what the parent has is not the child's

    def peak(mib: int) -> int:
        return quantize_apart(
            take, data / "models" / "small.onnx", tmp_path / "out", {"mib": mib}, data, CIFAR, 0
        ).peak_mib

    low, high = peak(1), peak(129)
    assert 0 < low < 384 and 112 <= high - low <= 144
    assert held[-1] == 1


def test_a_process_that_was_killed_is_one_line(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="^small: the process that quantized it was ended"):
        quantize_apart(end, data / "models" / "small.onnx", tmp_path / "out", {}, data, CIFAR, 0)


def test_an_error_of_the_tool_arrives(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="data can have 8 or 16 bits, not 7"):
        quantize_apart(ours, data / "models" / "small.onnx", tmp_path / "out", {"data_bits": 7}, data, CIFAR, 0)


def test_every_step_changes_an_option_of_the_default() -> None:
    default = Options.of("default")
    (first, nothing), *steps = quantizer.STEPS
    assert (first, nothing) == ("default", {})
    for title, changes in steps:
        changed = Options.of("default", **changes)
        changed.check(branches())
        assert changed != default, title


def test_each_effort_is_measured_at_each_width() -> None:
    graph = branches()
    for variants in (quantizer.by_bits(graph, ["fast", "best"]), quantizer.by_effort(graph, ["fast", "best"])):
        given = [variant.options for variant in variants if variant.tool is ours]
        mine = [Options.of(**{name: o for name, o in options.items() if name != "budget"}) for options in given]
        for options in mine:
            options.check(graph)
            assert options.data_bits == 8
    widths = [variant.options for variant in quantizer.by_bits(graph, ["best"])]
    assert [(o["weight_bits"], o.get("layer_weight_bits")) for o in widths] == [
        (16, None), (8, None), (8, {"fc": 4}), (8, None), (4, None), (4, None), (4, None),
    ]  # fmt: skip
    assert [o["budget"] for o in widths if "budget" in o] == [weight_bytes(graph)(Options(weight_bits=6).bits(graph))]


def test_a_run_measures_this_project_and_onnx_runtime(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document, file = tmp_path / "document.md", tmp_path / "figures.json"
    document.write_text("before\n<!-- quantizer: begin -->\nold\n<!-- quantizer: end -->\nafter\n")
    words = ["--data", str(data), "--limit", "50", "--efforts", "fast", "--subsets", "2", "--json", str(file)]
    assert quantizer.main([*words, "--write", str(document)]) == 0
    printed = capsys.readouterr().out
    found = json.loads(file.read_text())
    assert found["mode"] == "quantizer"
    assert [(row["network"], row["calibration"], row["images"]) for row in found["rows"]] == [
        ("small", [0, 199], 50), ("small", [200, 399], 50),
    ]  # fmt: skip
    for row in found["rows"]:
        assert list(row["columns"]) == ["fast", "ONNX Runtime, per channel", "ONNX Runtime, per tensor"]
        for figure in row["columns"].values():
            assert figure["agreement"] > 0.5 and figure["snr_db"] > 10
            assert figure["seconds"] > 0 and 20 < figure["peak_mib"] < 4096
    text = document.read_text()
    assert text == f"before\n<!-- quantizer: begin -->\n{printed}<!-- quantizer: end -->\nafter\n"
    assert "| small | 200 to 399 | 50 |" in text
    assert quantizer.main(["--saved", str(file)]) == 0
    assert capsys.readouterr().out == printed


def test_columns_measured_apart_make_one_table(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    words = ["--data", str(data), "--limit", "20", "--bits", "--efforts", "fast"]
    assert quantizer.main([*words, "--columns", "8 (fast)", "--json", str(first)]) == 0
    assert quantizer.main([*words, "--columns", "4 (fast)", "8 (fast)", "--json", str(second)]) == 0
    assert [list(row["columns"]) for row in json.loads(second.read_text())["rows"]] == [["8 (fast)", "4 (fast)"]]
    capsys.readouterr()
    assert quantizer.main(["--saved", str(first), str(second)]) == 0
    answers, ratios = (part.splitlines() for part in capsys.readouterr().out.split("\n\n")[1::2])
    assert answers[0] == "| network | calibration | images | float | 8 (fast) | 4 (fast) |"
    assert ratios[0] == "| network | calibration | 8 (fast) | 4 (fast) |"
    for lines in (answers, ratios):
        assert len([line for line in lines if line.startswith("| small")]) == 1
        assert not any("not measured" in line for line in lines)


def test_rows_of_one_network_are_united() -> None:
    rows = [row("b", 50, x=figure(0.1)), row("a", 0, x=figure(0.2)), row("b", 0, x=figure(0.3)),
            row("b", 50, y=figure(0.4), x=figure(0.5))]  # fmt: skip
    found = quantizer.united(rows)
    assert [(row["network"], row["calibration"][0]) for row in found] == [("b", 0), ("b", 50), ("a", 0)]
    assert {title: column["agreement"] for title, column in found[1]["columns"].items()} == {"x": 0.5, "y": 0.4}
    assert list(rows[0]["columns"]) == ["x"]
    assert len(quantizer.united([*rows, row("a", 0, x=figure(1)) | {"images": 10}])) == 4


def figure(agreement: float) -> dict[str, Any]:
    return {
        "top1": 0.915,
        "agreement": agreement,
        "snr_db": 28.54,
        "seconds": 61.27,
        "cpu_seconds": 100.0,
        "peak_mib": 1234,
    }


def row(network: str, first: int, **columns: dict[str, Any]) -> dict[str, Any]:
    return {
        "network": network,
        "calibration": [first, first + 99],
        "images": 1000,
        "float_top1": 0.92,
        "columns": columns,
    }


def test_tables_have_a_line_for_each_row_and_a_cell_for_each_column() -> None:
    rows = [row("a", 0, fast=figure(0.9), best=figure(0.99)), row("b", 0, fast=figure(0.8) | {"snr_db": None})]
    answers, ratios, costs = (part.splitlines() for part in quantizer.tables_by_effort(rows).split("\n\n")[1::2])
    assert answers[0] == "| network | calibration | images | float | fast | best |"
    assert answers[2:4] == ["| a | 0 to 99 | 1,000 | 92.00 | 91.50 / 90.00 | 91.50 / 99.00 |",
                            "| b | 0 to 99 | 1,000 | 92.00 | 91.50 / 80.00 | not measured |"]  # fmt: skip
    assert ratios[2] == "| a | 0 to 99 | 28.5 dB | 28.5 dB |" and ratios[3].startswith("| b | 0 to 99 | - |")
    assert costs[2] == "| a | 0 to 99 | 61.3 (100.0) s, 1,234 MiB | 61.3 (100.0) s, 1,234 MiB |"
    for table in (answers, ratios, costs):
        assert len({line.count("|") for line in table if line.startswith("|")}) == 1


def test_the_table_of_steps_has_a_line_for_each_step() -> None:
    rows = [row("a", 0, default=figure(0.9), other=figure(0.5)), row("b", 0, default=figure(0.8))]
    lines = quantizer.tables_by_step(rows).splitlines()[2:]
    assert lines[0] == "| step | a | b |"
    assert lines[2:] == ["| default | 90.00 / 28.5 dB / 100.0 s | 80.00 / 28.5 dB / 100.0 s |",
                         "| other | 50.00 / 28.5 dB / 100.0 s | not measured |"]  # fmt: skip
    assert quantizer.tables_by_step([*rows, row("b", 50)]).splitlines()[2] == (
        "| step | a (0 to 99) | b (0 to 99) | b (50 to 149) |"
    )


@pytest.mark.parametrize(
    ("words", "line"),
    (
        (["--networks", "large"], "error: there is no network large; there are small, unlabelled"),
        (["--networks", "unlabelled"], "error: there are no labelled images for unlabelled"),
        (["--networks", "small", "--subsets", "3"], "error: cifar10_train_2000 holds 450 images, none from 400 to 599"),
        (["--efforts", "fast", "--columns", "fast", "slow"],
         "error: there is no column slow; there are fast, ONNX Runtime, per channel, ONNX Runtime, per tensor"),
        (["--bits", "--write", "{}/absent.md"],
         "error: {}/absent.md: cannot be read, and has no markers <!-- bits: begin --> and <!-- bits: end -->"),
        (["--steps", "--write", "{}/empty.md"],
         "error: {}/empty.md has no markers <!-- steps: begin --> and <!-- steps: end -->"),
        (["--saved", "{}/empty.md"], "error: {}/empty.md: no file of figures that --json wrote"),
        (["--saved", "{}/steps.json", "{}/bits.json"], "error: the files hold figures of different kinds: bits, steps"),
    ),
)  # fmt: skip
def test_bad_input_is_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    (tmp_path / "empty.md").write_text("nothing\n")
    for mode in ("steps", "bits"):
        (tmp_path / f"{mode}.json").write_text(json.dumps({"mode": mode, "rows": [row("a", 0, default=figure(1))]}))
    assert quantizer.main(["--data", str(data), *(word.format(tmp_path) for word in words)]) == 2
    assert capsys.readouterr().err == line.replace("{}", str(tmp_path)) + "\n"


def test_markers_are_there_once_and_in_order(tmp_path: Path) -> None:
    file = tmp_path / "document.md"
    begin, end = "<!-- a: begin -->", "<!-- a: end -->"
    for text in (begin, end, f"{end}\n{begin}", f"{begin}{begin}{end}", f"{begin}{end}{end}"):
        file.write_text(text)
        with pytest.raises(BadInput, match="has no markers"):
            marked.check(file, "a")
    file.write_text(f"x\n{begin}\nold\n{end}\ny {begin.replace('a', 'b')}\n")
    marked.write(file, "a", "new\n")
    assert file.read_text() == f"x\n{begin}\nnew\n{end}\ny {begin.replace('a', 'b')}\n"
