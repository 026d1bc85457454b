"""Whole networks on the Verilog: every tensor against the integers, every counter against the cycle model.

    python benchmarks/verification.py                                   # prints a table as it goes
    python benchmarks/verification.py --write docs/verification.md      # and keeps it there
    python benchmarks/verification.py --only resnet8 --configs small    # a part

Every network is quantized with the default effort.  Those named -raw take raw pixels: preprocessing is folded in.
Seconds are of the wall: all memories of a row's network and configuration, and building the simulator where it was not.
The bundled network needs nothing else; the others are taken from the folder that SHIFTPOINT_DATA names (default
../shared/data beside the repository) and left out with a line where it is absent.  Exit code 1 on a difference.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import marked
from benchmarks.datasets import DATA, Labelled
from host.compiler import compile_network
from hw.contract.config import PRESETS, preset
from hw.contract.memory import Memory
from quant import onnx_import
from quant.ir.graph import FloatGraph
from quant.ir.inputs import Given, together
from quant.ir.network import Network
from quant.rewrite.raw_pixels import take_pixels
from quant.run.execute import execute, quantize_input
from quant.run.images import load_images, prepare
from quant.search import quantize_network
from sim.bench.engine_bench import RtlJob, RtlResult, run_jobs
from sim.cycles import Timeline, simulate

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "fashion_mnist"
POINTS = (Memory(64, 1), Memory(8, 1), Memory(200, 1), Memory(64, 2))
"""The memory that is the default, others of its latency, and half its bandwidth."""
MARKERS = "verification"
"""Name of the place in a document that the table is written to."""
HEAD = (
    "| network | configuration | memory: latency, beat every | images | tensors | elements compared | mismatches "
    "| cycles counted | cycles predicted | counters that differ | seconds |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|\n"
)

Images = tuple[Given, Given]
"""Calibration images and images to run, float32 (N, C, H, W)."""


def bundled(graph: FloatGraph) -> Images:
    """Of the bundled network."""
    return load_images(EXAMPLE / "calibration.npz", graph)[0], load_images(EXAMPLE / "evaluation.npz", graph)[0]


def cifar(graph: FloatGraph) -> Images:
    """CIFAR-10, prepared as the network's metadata says."""
    load = Labelled(DATA).load.load_images
    return prepare(load("cifar10_train_2000", 200)[0], graph), prepare(load("cifar10_test", 4)[0], graph)


def noise(graph: FloatGraph) -> Images:
    """Seeded random ones, for networks that read no images."""
    rng = np.random.default_rng(1)
    drawn = {name: rng.normal(0, 1, (104, *shape)).astype(np.float32) for name, shape in graph.input_shapes.items()}
    return together(drawn)[:100], together(drawn)[100:]


def photographs(graph: FloatGraph) -> Images:
    """Photographs scaled to the network's input."""
    load, size = Labelled(DATA).load.load_images, graph.shapes[graph.inputs[0]][1:]
    return prepare(load("imagenet_calibration", 100, size)[0], graph), prepare(load("nips17", 4, size)[0], graph)


class Case(NamedTuple):
    """A network: its file, its images, what it runs on by default, and whether it takes raw pixels."""

    path: Path
    images: Callable[[FloatGraph], Images]
    configs: tuple[str, ...]
    points: tuple[Memory, ...]
    raw: bool = False


FASHION, VWW = EXAMPLE / "fashion_mnist.onnx", DATA / "models" / "vww96.onnx"
NETWORKS = {
    "fashion_mnist": Case(FASHION, bundled, ("tiny", "small", "medium", "large"), POINTS),
    "fashion_mnist-raw": Case(FASHION, bundled, ("small",), POINTS[:1], raw=True),
    "resnet8_cifar10": Case(DATA / "models/resnet8_cifar10.onnx", cifar, ("small", "medium"), POINTS[:1]),
    "resnet20_cifar10": Case(DATA / "models/resnet20_cifar10.onnx", cifar, ("small", "medium"), POINTS[:1]),
    "vww96": Case(VWW, photographs, ("small", "medium"), POINTS[:1]),
    "vww96-raw": Case(VWW, photographs, ("small",), POINTS[:1], raw=True),
    "kws_dscnn": Case(DATA / "models/kws_dscnn.onnx", noise, ("small", "medium"), POINTS[:1]),
    "squeezenet1.1": Case(DATA / "models/squeezenet1.1.onnx", photographs, ("small", "medium"), POINTS[:1]),
    "mobilenet_v1_0.75": Case(DATA / "models/mobilenet_v1_0.75.onnx", photographs, ("medium",), POINTS[:1]),
    "mobilenet_v2_1.0": Case(DATA / "models/mobilenet_v2_1.0.onnx", photographs, ("medium",), POINTS[:1]),
}


def verify(network: Network, images: Given, config: str, points: tuple[Memory, ...]) -> Iterator[list[object]]:
    """Run images on one configuration at several memories; a row for each memory.  images: integers."""
    program = compile_network(network, preset(config))
    expected = execute(network, images, list(program.placements))
    results = run_jobs([RtlJob(program, images, memory) for memory in points])
    for memory, result in zip(points, results, strict=True):
        predicted = simulate(program, memory)
        differ = differing(result, predicted)
        yield [f"{memory.latency}, {memory.beat_every}", len(images), *_compared(expected, result),
               f"{result.cycles[0]:,}", f"{predicted.cycles:,}", ", ".join(differ) or "0"]  # fmt: skip


def _compared(expected: dict[str, np.ndarray], result: RtlResult) -> list[object]:
    elements = sum(values.size for values in expected.values())
    wrong = sum(int((result.tensors[name] != values).sum()) for name, values in expected.items())
    return [len(expected), f"{elements:,}", wrong]


def differing(result: RtlResult, predicted: Timeline) -> list[str]:
    """Names of the counters that differ in any image."""
    return sorted(
        {name for counted in result.counters for name in counted if counted[name] != predicted.counters[name]}
    )


def rows(names: list[str], configs: list[str] | None, count: int) -> Iterator[list[object]]:
    """All rows asked for."""
    for name in names:
        case = NETWORKS[name]
        if not case.path.exists():
            print(f"{name}: {case.path} is absent, left out", file=sys.stderr)
            continue
        graph = onnx_import.load(case.path)
        if case.raw:
            graph = take_pixels(graph)
        calibration, images = case.images(graph)
        network = quantize_network(graph, calibration)
        for config in configs or case.configs:
            start = time.monotonic()
            found = list(verify(network, quantize_input(network, images[:count]), config, case.points))
            for row in found:
                yield [name, config, *row, f"{time.monotonic() - start:.0f}"]


def main() -> int:
    """Run and print; exit code 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), help="networks")
    parser.add_argument("--configs", nargs="+", choices=list(PRESETS), help="configurations")
    parser.add_argument("--images", type=int, default=2, help="images of each network (default 2)")
    parser.add_argument("--write", type=Path, help="file with the markers to write the table between")
    arguments = parser.parse_args()
    if arguments.write:
        marked.check(arguments.write, MARKERS)  # before minutes of running
    print(HEAD, end="")
    text, good = HEAD, True
    for row in rows(arguments.only, arguments.configs, arguments.images):
        line = "| " + " | ".join(str(cell) for cell in row) + " |\n"
        print(line, end="", flush=True)
        text += line
        good &= row[6] == 0 and row[9] == "0"
    if arguments.write:
        marked.write(arguments.write, MARKERS, text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
