"""What few different weights save: bytes of weights and cycles, on an engine with codebooks beside one without.

    python benchmarks/codebooks.py NET.onnx --config medium [--values 16] [--kept 0.1] [--seed 1] [--latency 64]
                                   [--beat-every 4] [--engine rtl]

The network is as benchmarks/engine.py takes it, with the weights that it has; with --values each layer has so many
different ones instead, drawn from its own, and with --kept so much of its blocks, drawn as benchmarks/skipping.py does.
The first row is the network as it came, on an engine without codebooks.  With --engine rtl the Verilog runs one image
of each, and the exit code is 1 where a counter differs from the model's.
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
from benchmarks.skipping import thinned
from host.configuration import configuration
from host.target import engine_block
from hw.contract.isa import Buffer, LoadInstruction
from hw.contract.program import Program
from quant.base.errors import ShiftpointError
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.kinds.conv import Conv


def shared(network: Network, values: int, seed: int) -> Network:
    """The network whose convolutions have so many different weights each, zero among them where they had zeros."""
    rng = np.random.default_rng(seed)

    def layer(one: Layer) -> Layer:
        if not isinstance(one, Conv):
            return one
        known = np.unique(one.weight[one.weight != 0])
        number = values - bool((one.weight == 0).any())
        chosen = rng.choice(known, min(number, len(known)), replace=False)
        return replace(one, weight=np.where(one.weight == 0, 0, rng.choice(chosen, one.weight.shape)))

    return replace(network, layers=tuple(map(layer, network.layers)))


def weight_bytes(program: Program) -> int:
    """Bytes of weights that a run reads, and of all that lies among them."""
    loads = [i for i in program.decode() if isinstance(i, LoadInstruction) and i.target == Buffer.WEIGHT]
    return sum(i.rows * i.beats for i in loads) * program.config.derived.beat_bytes


def main() -> int:
    """Measure and print; exit code 1 where a counter differs, 2 with one line for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    counting.add_options(parser)
    parser.add_argument("--values", type=int, help="different weights of each layer; those that it has, if not given")
    parser.add_argument("--kept", type=float, help="share of the blocks; all, if not given")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    try:
        return measure(parser.parse_args())
    except ShiftpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def measure(arguments: argparse.Namespace) -> int:
    """A line without codebooks, one with; 1 where a counter differs, else 0."""
    config, memory = configuration(arguments.config), counting.memory_of(arguments)
    plain, images = integers(arguments.network, None)
    network, said, wrong = plain, "as they are", 0
    if arguments.kept is not None:
        network = thinned(network, engine_block(network, config, memory), arguments.kept, arguments.seed)
    if arguments.values is not None:
        network, said = shared(network, arguments.values, arguments.seed), f"{arguments.values} values"
    said += "" if arguments.kept is None else f", {arguments.kept:g} of the blocks"
    print("| network | engine | weights | codebooks | cycles | bytes of weights | fewer cycles | fewer bytes | by |")
    print("|---|---|---|---|--:|--:|--:|--:|---|")
    first: tuple[int, int] | None = None
    for one, words, codebooks in ((plain, "as they came", False), (network, said, True)):
        engine, rtl = replace(config, codebooks=codebooks), arguments.engine == "rtl"
        found = counting.counted(one, images, engine, memory, rtl)
        cycles, moved = found.timeline.cycles, weight_bytes(found.program)
        first, wrong = first or (cycles, moved), wrong or int(bool(found.differ))
        cells = (arguments.network.stem, config.name, words, "yes" if codebooks else "no", f"{cycles:,}")
        gains = (f"{first[0] / cycles:.3f}x", f"{first[1] / moved:.3f}x")
        print(f"| {' | '.join((*cells, f'{moved:,}', *gains, found.by))} |", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
