"""README.md's figures of the bundled network are those that the code gives today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.results import percent
from host.cli import main
from host.timed import compile_timed
from hw.contract.config import preset
from quant import onnx_import
from quant.run.evaluation import accuracy
from quant.run.images import load_images
from quant.search import quantize_network
from sim.cycles import simulate

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "fashion_mnist"


def told(name: str) -> list[str]:
    """The cells of a network's row."""
    row = next(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_results_of_the_bundled_network() -> None:
    cells = told("fashion_mnist")
    graph = onnx_import.load(EXAMPLE / "fashion_mnist.onnx")
    network = quantize_network(graph, load_images(EXAMPLE / "calibration.npz", graph)[0])
    images, labels = load_images(EXAMPLE / "evaluation.npz", graph, labels=True)
    found = accuracy(network, graph, images, labels)
    cycles = simulate(compile_timed(network, preset("small"))).cycles
    shares = [percent(found.float_top1), percent(found.fixed_top1), f"{percent(found.agreement)} of {len(images):,}"]
    assert cells[1:6] == ["small 8x8", *shares, f"{cycles:,}"], "python benchmarks/results.py --write README.md"
    assert found.agreement >= 0.99


@pytest.mark.verify
def test_results_of_the_compressed_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compress", EXAMPLE / "fashion_mnist.onnx", "--calibration", EXAMPLE / "calibration.npz", "--json"]
    words += ["--evaluation", EXAMPLE / "evaluation.npz", "-o", tmp_path / "c.onnx", "--config", "small"]
    words += ["--prune", 0.3, "--granularity", "channels", "--share", 16]  # as `make demo` has it
    assert main([str(word) for word in words]) == 0
    plain, found = json.loads(capsys.readouterr().out)["before and after"]
    shares = [
        percent(found["top-1 float"]),
        percent(found["top-1"]),
        f"{percent(found['agreement with float'])} of 1,000",
    ]
    assert told("fashion_mnist, compressed")[1:6] == ["small 8x8", *shares, f"{found['cycles']:,}"]
    fewer = [plain[name] / found[name] for name in ("cycles", "coded file")]
    text = " ".join((ROOT / "README.md").read_text().split())  # wherever its lines break
    assert "{:.2f}x fewer cycles, {:.2f}x fewer bytes".format(*fewer) in text
