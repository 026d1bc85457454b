"""Networks with a map that does not fit the activation buffer: what is behind its first planes waits as results."""

from __future__ import annotations

import numpy as np

from hw.contract.isa import ConvInstruction, Source, StoreInstruction, Target
from hw.contract.program import Program
from quant.ir.network import Network
from quant.ir.window import Window
from tests.host.networks import SAME, Builder


def in_part_network(number: int, rng: np.random.Generator) -> Network:
    """By `number`, a convolution, or parts of a concatenation, that write a map of little more than 4096 words of 4
    lanes, which a pointwise layer with a pooling reads."""
    rows, columns = (int(size) for size in rng.integers(7, 10, 2))
    channels = 4 * (4096 // (rows * columns) + int(rng.integers(1, 3)))
    b = Builder(rng, (int(rng.integers(4, 9)), rows, columns))
    first = b.conv("x", int(rng.integers(1, 5)), Window())
    if number % 2:
        left = b.conv(first, channels // 8 * 4, Window())
        made = b.concat(left, b.conv(first, channels - channels // 8 * 4, SAME, fmt=b.tensors[left].fmt))
    else:
        made = b.conv(first, channels, SAME)
    kind, pool = (("average", Window((rows, columns))), ("max", Window((2, 2), (2, 2))))[number // 2 % 2]
    b.conv(b.pool(b.conv(made, int(rng.integers(9, 40)), Window()), kind, pool), 4, Window())
    return b.network()


def in_part(program: Program) -> bool:
    """Whether results are copied into the activation buffer for a layer that does not write them."""
    decoded = list(program.decode())
    writers = {i.layer for i in decoded if isinstance(i, ConvInstruction) and i.to_output}
    copies = [i for i in decoded if isinstance(i, StoreInstruction) and i.source == Source.OUTPUT]
    return any(i.target == Target.ACTIVATION and i.layer not in writers for i in copies)
