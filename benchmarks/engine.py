"""A network on the engine: the share of the roofline at that memory, and what each layer's other cycles are lost to.

    python benchmarks/engine.py NET.onnx --config medium [--latency 64] [--beat-every 4] [--shared-bus] [--batch 4]
                                [--weight-bits 4] [--engine rtl] [--json FILE]
    python benchmarks/engine.py --saved FILE ...        # a line for each run that --json kept

The network is quantized (QDQ or coded), or float: then it is quantized first, with the effort `fast` and weights of
--weight-bits, on the images of --calibration or on seeded random ones.  Cycles are those of the cycle model; with
--engine rtl the Verilog runs one image, and the exit code is 1 where one of its counters differs from the model's.

The roofline of a convolution or fully connected layer is the largest of MACs / multipliers, B * compulsory bytes read
/ bytes of a beat, and B * compulsory bytes written / bytes of a beat, with a beat every B cycles; where both share a
bus, B * all compulsory bytes / bytes of a beat stands for the last two; of others it is 0.
The network's share is the sum over all layers, over its cycles.  Lost cycles of a layer, its cycles less its roofline,
are divided among (benchmarks/losses.py; columns without any are left out):

"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import counting, report
from benchmarks.losses import CAUSES, accounts
from host.compiler import KeepLayers
from host.configuration import configuration
from hw.contract.memory import Memory
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.ir.inputs import Given, together
from quant.ir.network import Network
from quant.onnx_file.quantized import is_quantized
from quant.onnx_file.read import read_file
from quant.run.images import TakesImages, load_images
from quant.search import quantize_network

MODE = "engine"
"""What is measured, and the name of the place in a document that the table of runs is written to."""
RANDOM_IMAGES = 4
"""So many where none are given."""


def images_for(network: TakesImages, calibration: Path | None) -> Given:
    """Images that are given, or seeded random ones: float32 (N, C, H, W)."""
    if calibration is not None:
        return load_images(calibration, network)[0]
    rng, shapes = np.random.default_rng(1), network.input_shapes
    return together({n: rng.normal(0, 1, (RANDOM_IMAGES, *s)).astype(np.float32) for n, s in shapes.items()})


def integers(path: Path, calibration: Path | None, weight_bits: int = 8) -> tuple[Network, Given]:
    """The integer network of a file, quantized first where it is float; and images."""
    if is_quantized(read_file(path).graph):
        network = qdq.load(path)
        return network, images_for(network, calibration)
    graph = onnx_import.load(path)
    images = images_for(graph, calibration)
    return quantize_network(graph, images, effort="fast", weight_bits=weight_bits), images


def measure(arguments: argparse.Namespace) -> report.Row:
    """A run: what it was, its cycles and roofline, the counters that differ, and each layer."""
    memory, config = counting.memory_of(arguments), configuration(arguments.config)
    network, images = integers(arguments.network, arguments.calibration, arguments.weight_bits)
    kept, batch = KeepLayers(arguments.keep_layers), arguments.batch
    rtl = arguments.engine == "rtl"
    program, timeline, differ = counting.counted(network, images, config, memory, rtl, kept, batch)
    found = accounts(program, timeline)
    return {
        "network": arguments.network.stem,
        "config": config.name,
        "latency": memory.latency,
        "beat_every": memory.beat_every,
        "shared": memory.shared,
        "batch": batch,
        "engine": arguments.engine,
        "images": arguments.calibration.name if arguments.calibration else "seeded random",
        "cycles": timeline.cycles,
        "read": timeline.counters["BYTES_READ"],
        "written": timeline.counters["BYTES_WRITTEN"],
        "roofline": sum(account.roofline.cycles for account in found),
        "differing": differ,
        "layers": [
            {
                "name": account.layer.name,
                "op": account.layer.op,
                "bound": account.roofline.bound,
                "bottleneck": account.bottleneck,
                "cycles": account.cycles,
                "roofline": account.roofline.cycles,
                "lost": account.lost,
            }
            for account in found
        ],
    }


def share(row: report.Row) -> str:
    """Of the roofline, of a layer or a network; a dash where nothing counts, or takes any time."""
    return f"{row['roofline'] / row['cycles']:.3f}" if row["roofline"] and row["cycles"] else "-"


def _memory(row: report.Row) -> Memory:
    """That of a run; what was kept before a bus could be shared does not say so."""
    return Memory(row["latency"], row["beat_every"], row.get("shared", False))


def by_layer(row: report.Row) -> str:
    """A run, layer by layer."""
    total = {cause: sum(layer["lost"][cause] for layer in row["layers"]) for cause in CAUSES}
    causes = [cause for cause in CAUSES if any(round(layer["lost"][cause]) for layer in row["layers"])]
    lines = [
        f"{row['network']} on {row['config']}, {_memory(row)}; images: {row['images']}",
        f"{row['batch']} in a run: {row['cycles'] / row['batch']:,.0f} cycles an image, "
        f"{row['read'] / row['batch']:,.0f} bytes read, {row['written'] / row['batch']:,.0f} written",
        "",
        f"| layer | operator | bound | bottleneck | cycles | roofline | share | lost | {' | '.join(causes)} |",
        f"|---|---|---|---|{'--:|' * (4 + len(causes))}",
    ]
    for layer in [*row["layers"], {**row, "name": "all", "op": "", "bound": "", "bottleneck": "", "lost": total}]:
        lost = [layer["cycles"] - layer["roofline"], *(layer["lost"][cause] for cause in causes)]
        cells = [*(layer[key] for key in ("name", "op", "bound", "bottleneck")), f"{layer['cycles']:,}"]
        cells += [f"{layer['roofline']:,.0f}", share(layer), *(f"{cycles:,.0f}" for cycles in lost)]
        lines.append(f"| {' | '.join(cells)} |")
    return "".join(f"{line}\n" for line in [*lines, ""])


def table(rows: Sequence[report.Row]) -> str:
    """A line for each run, with the causes that take a hundredth of its cycles or more."""
    lines = [
        "| network | configuration | latency, beat every | batch | cycles an image | of the roofline | lost to | "
        "counted by |",
        "|---|---|---|--:|--:|--:|---|---|",
    ]
    for row in rows:
        total: dict[str, float] = {}
        for layer in row["layers"]:
            for cause, cycles in layer["lost"].items():
                name = f"{cause} ({layer['bottleneck']})" if cause == "surplus" else cause
                total[name] = total.get(name, 0) + cycles / row["cycles"]
        lost = [f"{name} {of:.3f}" for name, of in sorted(total.items(), key=lambda item: -item[1]) if of >= 0.01]
        counted = "the model"
        if row["differing"] is not None:
            counted = "the Verilog" + (
                f", DIFFERS: {', '.join(row['differing'])}" if row["differing"] else ", the same"
            )
        cells = (
            row["network"],
            row["config"],
            f"{row['latency']}, {row['beat_every']}{', one bus' if _memory(row).shared else ''}",
            str(batch := row.get("batch", 1)),  # of a run that was saved before there were any
            f"{row['cycles'] / batch:,.0f}",
            share(row),
        )
        lines.append(f"| {' | '.join([*cells, ', '.join(lost) or '-', counted])} |")
    return "".join(f"{line}\n" for line in lines)


def run(arguments: argparse.Namespace) -> Iterator[report.Row]:
    """The run that is asked for, printed layer by layer."""
    if arguments.network is None or arguments.config is None:
        raise BadInput("a network and its --config are needed, or --saved")
    row = measure(arguments)
    print(by_layer(row))
    yield row


def main() -> int:
    """Measure and print; exit code 1 where a counter differs, 2 with one line for bad input."""
    causes = "\n".join(textwrap.fill(f"{cause}: {what}", 116, initial_indent="    ", subsequent_indent=" " * 8)
                       for cause, what in CAUSES.items())  # fmt: skip
    parser = argparse.ArgumentParser(
        description=f"{(__doc__ or '').rstrip()}\n\n{causes}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    counting.add_options(parser, needed=False)
    kept = [kept.value for kept in KeepLayers]
    parser.add_argument("--keep-layers", choices=kept, default=kept[0], help="results left in memory after the run")
    parser.add_argument("--batch", type=int, default=1, help="images of a run")
    parser.add_argument("--weight-bits", type=int, choices=(4, 8), default=8, help="of a float network, as quantized")
    parser.add_argument("--calibration", type=Path, help=".npz with `images`; else seeded random ones")
    report.add_options(parser)
    shown: list[report.Row] = []

    def tables(rows: Sequence[report.Row]) -> str:
        shown.extend(rows)
        return table(rows)

    return report.show(arguments := parser.parse_args(), MODE, {MODE: tables}, run(arguments)) or int(
        any(row["differing"] for row in shown)
    )


if __name__ == "__main__":
    sys.exit(main())
