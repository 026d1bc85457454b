"""What weight blocks that are zeros save: cycles where a share of them stays, drawn at random in each layer.

    python benchmarks/skipping.py NET.onnx --config small [--kept 0.75 0.5 0.25] [--seed 1] [--latency 64]
                                  [--beat-every 4] [--engine rtl]

The network is as benchmarks/engine.py takes it; its weights that are zeros are made ones, so that only the blocks that
are drawn are left out.  *ideal* is MACs over those that are kept, *of it* the share of that by which cycles get fewer.
With --engine rtl the Verilog runs one image of each, and the exit code is 1 where a counter differs from the model's.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import counting
from benchmarks.engine import integers
from host.configuration import configuration
from host.target import engine_block
from quant.base.errors import ShiftpointError
from quant.compress.blocks import Block
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.kinds.conv import Conv


def thinned(network: Network, block: Block, kept: float, seed: int) -> Network:
    """The network with so much of the blocks of each convolution, none of them zero."""
    rng = np.random.default_rng(seed)

    def layer(one: Layer) -> Layer:
        if not isinstance(one, Conv) or one.groups > 1:
            return one
        weight, own = np.where(one.weight == 0, 1, one.weight), block.of(one.name)
        stay = rng.random(own.sizes(weight.shape).shape) < kept
        return replace(one, weight=weight * own.spread(stay, weight.shape))

    return replace(network, layers=tuple(map(layer, network.layers)))


def macs(network: Network) -> float:
    """Multiplications by weights that are not zero."""
    found = 0.0
    for layer in network.layers:
        share = np.mean(layer.weight != 0) if isinstance(layer, Conv) else 1.0
        found += float(share) * layer.macs(network.tensors[layer.output].shape)
    return found


def main() -> int:
    """Measure and print; exit code 1 where a counter differs, 2 with one line for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    counting.add_options(parser)
    parser.add_argument("--kept", type=float, nargs="+", default=[0.75, 0.5, 0.25], help="shares of the blocks")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    try:
        return measure(parser.parse_args())
    except ShiftpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def measure(arguments: argparse.Namespace) -> int:
    """A line for each share; 1 where a counter differs, else 0."""
    config, memory = configuration(arguments.config), counting.memory_of(arguments)
    network, images = integers(arguments.network, None)
    block, wrong = engine_block(network, config, memory), 0
    print("| network | configuration | kept | cycles | bytes read | fewer cycles | ideal | of it | counted by |")
    print("|---|---|--:|--:|--:|--:|--:|--:|---|")
    whole: tuple[float, float] | None = None
    for kept in (1.0, *arguments.kept):
        thin = thinned(network, block, kept, arguments.seed)
        found = counting.counted(thin, images, config, memory, arguments.engine == "rtl")
        timeline, wrong = found.timeline, wrong or int(bool(found.differ))
        whole = whole or (timeline.cycles, macs(thin))
        gain, ideal = whole[0] / timeline.cycles, whole[1] / macs(thin)
        cells = (arguments.network.stem, config.name, f"{kept:g}", f"{timeline.cycles:,}")
        more = (
            f"{timeline.counters['BYTES_READ']:,}",
            f"{gain:.3f}x",
            f"{ideal:.3f}x",
            f"{gain / ideal:.3f}",
            found.by,
        )
        print(f"| {' | '.join((*cells, *more))} |", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
