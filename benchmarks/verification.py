"""Whole networks on the Verilog: every tensor against the integers, every counter against the cycle model.

    python benchmarks/verification.py                                   # prints a table as it goes
    python benchmarks/verification.py --write docs/verification.md      # and keeps it there
    python benchmarks/verification.py --only vww96 --configs small      # a part; of a table, --write renews its rows

Trained networks are quantized with the default effort on their data; architectures with random weights with the effort
`fast` on seeded noise.  Those named -raw take raw pixels: preprocessing is folded in; those named -4bit have weights of
4 bits.  Each is compiled for the memory that it runs on, with the results of all layers kept or of none but the
outputs.
Seconds are of the wall: compiling, running and checking, and building the simulator where it was not.
The bundled network needs nothing else; the others are taken from the folder that SHIFTPOINT_DATA names (default
../shared/data beside the repository), or written by the scripts of that folder and of `networks` beside it, and left
out with a line where they are absent.  Exit code 1 on a difference.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import marked
from benchmarks.architectures import architecture
from benchmarks.datasets import DATA, Labelled
from host.compiler import KeepLayers
from host.timed import compile_timed
from hw.contract.config import PRESETS, preset
from hw.contract.memory import Memory
from quant import onnx_import
from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.ir.inputs import Given, together
from quant.ir.network import Network
from quant.rewrite.raw_pixels import take_pixels
from quant.run.execute import execute, quantize_input
from quant.run.images import load_images, prepare
from quant.search import quantize_network
from quant.search.options import Effort
from sim.bench.engine_bench import RtlResult, run_rtl
from sim.cycles import Timeline, simulate

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "fashion_mnist"


class Point(NamedTuple):
    """The memory that a network is compiled for and runs on, and which layers' results are in it afterwards."""

    memory: Memory = Memory()
    keep: KeepLayers = KeepLayers.ALL


USUAL, SHIPPED = Point(), Point(Memory(64, 4), KeepLayers.NONE)
"""The memory that is the default with all layers' results, and a slow one with what a product keeps."""
BUS = Point(Memory(64, 2, shared=True))
"""Both directions of the memory on one bus."""
POINTS = (*(Point(Memory(*numbers)) for numbers in ((64, 1), (8, 1), (200, 1), (64, 2))), BUS, SHIPPED)
FASHION = EXAMPLE / "fashion_mnist.onnx"
MARKERS = "verification"
"""Name of the place in a document that the table is written to."""
HEAD = (
    "| network | configuration | memory: latency, beat every | layers kept | images | tensors | elements compared "
    "| mismatches | cycles counted | cycles predicted | counters that differ | seconds |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|\n"
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


def noise(graph: FloatGraph, calibration: int = 100) -> Images:
    """Seeded random ones, for networks that read no images."""
    rng = np.random.default_rng(1)
    drawn = {n: rng.normal(0, 1, (calibration + 4, *s)).astype(np.float32) for n, s in graph.input_shapes.items()}
    return together(drawn)[:calibration], together(drawn)[calibration:]


def photographs(graph: FloatGraph) -> Images:
    """Photographs scaled to the network's input."""
    load, size = Labelled(DATA).load.load_images, graph.shapes[graph.inputs[0]][1:]
    return prepare(load("imagenet_calibration", 100, size)[0], graph), prepare(load("nips17", 4, size)[0], graph)


class Case(NamedTuple):
    """A network: what gives its file, its images, what it runs on by default, how many images run on the Verilog, the
    effort it is quantized with, whether it takes raw pixels, and the bits of its weights."""

    file: Callable[[], Path]
    images: Callable[[FloatGraph], Images]
    configs: tuple[str, ...]
    points: tuple[Point, ...] = (USUAL, SHIPPED)
    runs: int = 2
    effort: Effort = "default"
    raw: bool = False
    weight_bits: int = 8


def trained(
    name: str, images: Callable[[FloatGraph], Images], *configs: str, raw: bool = False, weight_bits: int = 8
) -> Case:
    """One of the data's networks."""
    return Case(partial(architecture, name), images, configs, raw=raw, weight_bits=weight_bits)


def made(
    name: str,
    config: str,
    *options: str,
    size: int | None = None,
    runs: int = 2,
    points: tuple[Point, ...] = (USUAL, SHIPPED),
) -> Case:
    """An architecture with random weights.  options, size: as `architecture` has them."""
    images = partial(noise, calibration=CALIBRATION)
    return Case(partial(architecture, name, *options, size=size), images, (config,), points, runs, "fast")


CALIBRATION = 8
"""So many images for networks with random weights, which mean nothing."""
NETWORKS = {
    "fashion_mnist": Case(lambda: FASHION, bundled, ("tiny", "small", "medium", "large"), POINTS),
    "fashion_mnist-raw": Case(lambda: FASHION, bundled, ("small",), (USUAL,), raw=True),
    "resnet8_cifar10": trained("resnet8_cifar10", cifar, "small", "medium"),
    "resnet8_cifar10-4bit": trained("resnet8_cifar10", cifar, "packed", weight_bits=4),
    "resnet20_cifar10": trained("resnet20_cifar10", cifar, "small", "medium"),
    "vww96": trained("vww96", photographs, "small", "medium"),
    "vww96-raw": trained("vww96", photographs, "small", raw=True),
    "kws_dscnn": trained("kws_dscnn", noise, "small", "medium"),
    "squeezenet1.1": trained("squeezenet1.1", photographs, "small", "medium"),
    "mobilenet_v1_0.75": trained("mobilenet_v1_0.75", photographs, "medium"),
    "mobilenet_v2_1.0": trained("mobilenet_v2_1.0", photographs, "medium"),
    "lenet5_tanh": made("lenet5_tanh", "tiny"),
    "convae_t": made("convae_t", "tiny"),
    "espcn_tanh": made("espcn_tanh", "small"),
    "edsr": made("edsr", "medium"),
    "tcn_mean": made("tcn_mean", "medium"),
    "m5_audio": made("m5_audio", "small"),
    "siamese_absdiff": made("siamese_absdiff", "small"),
    "unet_transpose": made("unet_transpose", "medium"),
    "unet_bilinear": made("unet_bilinear", "medium"),
    "ssd_joined": made("ssd_joined", "medium"),
    "mobilenetv3_small_100": made("timm:mobilenetv3_small_100", "medium"),
    "yolov3_tiny_silu, 160x160": made("yolov3_tiny_silu", "medium", size=160, runs=1),
    "alexnet": made("alexnet", "medium", runs=1),
    "vgg16 (convolutions)": made("vgg16", "medium", "--features-only", runs=1, points=(USUAL,)),
    "resnet50": made("resnet50", "medium", runs=1),
}


def verify(network: Network, images: Given, config: str, points: tuple[Point, ...]) -> Iterator[list[object]]:
    """Run images on one configuration at several points; a row for each.  images: integers."""
    for point in points:
        start = time.monotonic()
        program = compile_timed(network, preset(config), memory=point.memory, keep_layers=point.keep)
        expected = execute(network, images, list(program.placements))
        result = run_rtl(program, images, point.memory)
        predicted = simulate(program, point.memory)
        differ = differing(result, predicted)
        bus = ", one bus" if point.memory.shared else ""
        yield [config, f"{point.memory.latency}, {point.memory.beat_every}{bus}", point.keep.value, len(images),
               *_compared(expected, result), f"{result.cycles[0]:,}", f"{predicted.cycles:,}",
               ", ".join(differ) or "0", f"{time.monotonic() - start:.0f}"]  # fmt: skip


def _compared(expected: dict[str, np.ndarray], result: RtlResult) -> list[object]:
    elements = sum(values.size for values in expected.values())
    wrong = sum(int((result.tensors[name] != values).sum()) for name, values in expected.items())
    return [len(expected), f"{elements:,}", wrong]


def differing(result: RtlResult, predicted: Timeline) -> list[str]:
    """Names of the counters that differ in any image."""
    return sorted(
        {name for counted in result.counters for name in counted if counted[name] != predicted.counters[name]}
    )


def rows(names: list[str], configs: list[str] | None, count: int | None) -> Iterator[list[object]]:
    """All rows asked for."""
    for name in names:
        case = NETWORKS[name]
        try:
            path = case.file()
        except BadInput as error:
            print(f"{error}; left out", file=sys.stderr)
            continue
        graph = onnx_import.load(path)
        if case.raw:
            graph = take_pixels(graph)
        calibration, images = case.images(graph)
        network = quantize_network(graph, calibration, effort=case.effort, weight_bits=case.weight_bits)
        integers = quantize_input(network, images[: count or case.runs])
        for config in configs or case.configs:
            for row in verify(network, integers, config, case.points):
                yield [name, *row]


def renewed(before: list[str], lines: list[str]) -> list[str]:
    """A table's rows with those of the same networks and configurations anew, in the order of NETWORKS."""

    def key(line: str) -> tuple[str, str]:
        name, config, _ = line.removeprefix("| ").split(" | ", 2)
        return name, config

    again = {key(line) for line in lines}
    kept = [line for line in before if key(line) not in again and key(line)[0] in NETWORKS]
    names, configs = list(NETWORKS), list(PRESETS)
    return sorted(kept + lines, key=lambda line: (names.index(key(line)[0]), configs.index(key(line)[1])))


def main() -> int:
    """Run and print; exit code 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), help="networks")
    parser.add_argument("--configs", nargs="+", choices=list(PRESETS), help="configurations")
    parser.add_argument("--images", type=int, help="images of each network (default 2, 1 of large ones)")
    parser.add_argument("--write", type=Path, help="file with the markers to write the table between")
    arguments = parser.parse_args()
    if arguments.write:
        marked.check(arguments.write, MARKERS)  # before minutes of running
    print(HEAD, end="")
    lines, good = [], True
    for row in rows(arguments.only, arguments.configs, arguments.images):
        lines.append("| " + " | ".join(str(cell) for cell in row) + " |\n")
        print(lines[-1], end="", flush=True)
        good &= row[7] == 0 and row[10] == "0"
    if arguments.write:
        if arguments.configs or len(arguments.only) < len(NETWORKS):
            lines = renewed(marked.read(arguments.write, MARKERS).removeprefix(HEAD).splitlines(keepends=True), lines)
        marked.write(arguments.write, MARKERS, HEAD + "".join(lines))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
