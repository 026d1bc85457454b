"""Networks on the engine at memories with a beat every cycle, every fourth, every eighth: shares of the roofline.

    python benchmarks/rooflines.py [--only squeezenet1.1 ...] [--json FILE] [--write docs/rooflines.md]
    python benchmarks/rooflines.py --saved FILE ...         # the table of rows that --json kept

Shares are those of benchmarks/engine.py, which tells of one network by layer what the rest is lost to: cycles of the
cycle model at a latency of 64, with the results of all layers kept, and of none but the outputs.  Networks are
quantized with the effort `fast` on seeded random images; those without trained weights have seeded random ones.
Those whose files are absent are left out with a line (benchmarks/architectures.py).

Bytes: what a run moves with only the outputs kept, at a beat every four cycles, over those of weights, input, output.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby, product
from math import prod
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import report
from benchmarks.architectures import architecture
from benchmarks.engine import integers
from benchmarks.losses import accounts
from host.compiler import KeepLayers
from host.timed import compile_timed
from hw.contract.config import preset
from hw.contract.memory import Memory
from hw.contract.widths import bytes_of
from quant.base.errors import BadInput
from quant.ir.network import Network
from quant.kinds.conv.layer import convolution
from sim.cycles import simulate

MODE = "rooflines"
EVERY = (1, 4, 8)
"""Cycles from beat to beat."""
MOVED_AT = 4
"""The one of them at which bytes are told."""


class Wanted(NamedTuple):
    """A configuration of a network, and the shares to reach: at a beat every cycle, and at slower ones."""

    config: str
    fast: float
    slow: float


SUITE = {
    "vgg16": [Wanted("medium", 0.99, 0.95)],
    "resnet50": [Wanted("medium", 0.99, 0.95), Wanted("large", 0.97, 0.90)],
    "timm:densenet121": [Wanted("medium", 0.97, 0.95)],
    "resnet18": [Wanted("medium", 0.99, 0.95)],
    "squeezenet1.1": [Wanted("small", 0.98, 0.95), Wanted("medium", 0.98, 0.95), Wanted("large", 0.90, 0.90)],
    "mobilenet_v1_0.75": [Wanted("medium", 0.93, 0.93)],
    "mobilenet_v2_1.0": [Wanted("medium", 0.93, 0.93), Wanted("large", 0.88, 0.90)],
    "timm:tf_efficientnet_lite0": [Wanted("medium", 0.93, 0.93)],
    "kws_dscnn": [Wanted("small", 0.90, 0.90)],
    "vww96": [Wanted("small", 0.90, 0.90), Wanted("medium", 0.90, 0.90)],
    "tcn_mean": [Wanted("medium", 0.90, 0.90)],
    "small_cnn": [Wanted("medium", 0.92, 0.85), Wanted("large", 0.35, 0.30)],
    "resnet20_cifar10": [Wanted("medium", 0.99, 0.95)],
}


def compulsory(network: Network) -> int:
    """Bytes of weights, input and output, each once."""
    weights = sum(conv.weight.size for conv in map(convolution, network.layers) if conv is not None)
    ends = [network.tensors[name] for name in (*network.inputs, *network.outputs)]
    return weights + sum(prod(tensor.shape) * bytes_of(tensor.fmt.bits) for tensor in ends)


def measured(names: Sequence[str]) -> Iterator[report.Row]:
    """A row for each network, configuration, memory and what is kept."""
    for name in names:
        try:
            path = architecture(name)
        except BadInput as error:
            print(f"{error}; left out", file=sys.stderr)
            continue
        network, _ = integers(path, None)
        for wanted, every, keep in product(SUITE[name], EVERY, KeepLayers):
            memory = Memory(beat_every=every)
            program = compile_timed(network, preset(wanted.config), memory=memory, keep_layers=keep)
            timeline = simulate(program, memory)
            roofline = sum(account.roofline.cycles for account in accounts(program, timeline))
            print(f"{name} {wanted.config} {every} {keep.value}: {roofline / timeline.cycles:.3f}", file=sys.stderr)
            yield {
                "network": name,
                "config": wanted.config,
                "beat_every": every,
                "keep": keep.value,
                "cycles": timeline.cycles,
                "roofline": roofline,
                "moved": timeline.counters["BYTES_READ"] + timeline.counters["BYTES_WRITTEN"],
                "compulsory": compulsory(network),
            }


def table(rows: Sequence[report.Row]) -> str:
    """A line for each network and configuration; a dash for what is not among the rows, bold where less than wanted."""
    kept = [keep.value for keep in KeepLayers]
    heads = [f"every {every}, {keep}" for every in EVERY for keep in kept]
    lines = [
        f"| network | configuration | {' | '.join(heads)} | wanted: every 1, every 4 | bytes |",
        f"|---|---|{'--:|' * len(heads)}---|--:|",
    ]
    for (name, config), group in groupby(rows, key=lambda row: (row["network"], row["config"])):
        found = {(row["beat_every"], row["keep"]): row for row in group}
        wanted = next(wanted for wanted in SUITE[name] if wanted.config == config)
        cells = []
        for every, keep in product(EVERY, kept):
            row = found.get((every, keep))
            share = f"{row['roofline'] / row['cycles']:.3f}" if row else "-"
            least = wanted.fast if every == 1 else wanted.slow
            short = row and every <= MOVED_AT and round(row["roofline"] / row["cycles"], 3) < least
            cells.append(f"**{share}**" if short else share)
        row = found.get((MOVED_AT, KeepLayers.NONE.value))
        moved = f"{row['moved'] / row['compulsory']:.2f}" if row else "-"
        lines.append(f"| {name} | {config} | {' | '.join(cells)} | {wanted.fast}, {wanted.slow} | {moved} |")
    return "".join(f"{line}\n" for line in lines)


def main() -> int:
    """Measure and print; exit code 2 with one line for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SUITE), default=list(SUITE), help="networks")
    report.add_options(parser)
    arguments = parser.parse_args()
    return report.show(arguments, MODE, {MODE: table}, measured(arguments.only))


if __name__ == "__main__":
    sys.exit(main())
