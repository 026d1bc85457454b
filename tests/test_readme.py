"""README.md's figures of the bundled network are those that the code gives today."""

from __future__ import annotations

from pathlib import Path

from benchmarks.results import percent
from host.compiler import compile_network
from hw.contract.config import preset
from quant import onnx_import
from quant.run.evaluation import accuracy
from quant.run.images import load_images
from quant.search import quantize_network
from sim.cycles import simulate

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "fashion_mnist"


def test_results_of_the_bundled_network() -> None:
    row = next(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| fashion_mnist "))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    graph = onnx_import.load(EXAMPLE / "fashion_mnist.onnx")
    network = quantize_network(graph, load_images(EXAMPLE / "calibration.npz", graph)[0])
    images, labels = load_images(EXAMPLE / "evaluation.npz", graph, labels=True)
    found = accuracy(network, graph, images, labels)
    cycles = simulate(compile_network(network, preset("small"))).cycles
    shares = [percent(found.float_top1), percent(found.fixed_top1), f"{percent(found.agreement)} of {len(images):,}"]
    assert cells[1:6] == ["small 8x8", *shares, f"{cycles:,}"], "python benchmarks/results.py --write README.md"
    assert found.agreement >= 0.99
