"""Networks with large maps that one pointwise layer reads: some channels of these at a time stay on the chip."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hw.contract.isa import ConvInstruction
from hw.contract.program import Program
from quant.ir.network import Network
from quant.ir.window import Window
from tests.host.networks import SAME, Builder


def by_channel_network(number: int, rng: np.random.Generator) -> Network:
    """By `number`, parts of a concatenation, a convolution, a pooling, a depthwise layer, or parts that are pooled and
    read the network's input; behind it a pointwise layer, whose input takes 2200 words of 4 lanes and more."""
    rows, columns = (int(size) for size in rng.integers(8, 11, 2))
    kind, scale = number % 5, 2 if number % 5 in (2, 4) else 1
    channels = 4 * -(-2200 // (rows * columns))
    b = Builder(rng, (8 if kind == 4 else int(rng.integers(4, 9)), scale * rows, scale * columns))
    if kind < 4:
        first = b.conv("x", int(rng.integers(12, 20)), Window())
    if kind == 0:
        left = b.conv(first, channels // 8 * 4, Window())
        made = b.concat(left, b.conv(first, channels - channels // 8 * 4, SAME, fmt=b.tensors[left].fmt))
    elif kind == 1:
        made = b.conv(first, channels, SAME)
    elif kind == 2:
        made = b.pool(b.conv(first, channels, Window()), "max", Window((2, 2), (2, 2)))
    elif kind == 4:
        left = b.conv("x", channels // 8 * 4, Window())
        whole = b.concat(left, b.conv("x", channels - channels // 8 * 4, SAME, fmt=b.tensors[left].fmt))
        made = b.pool(whole, "max", Window((3, 3), (2, 2), (1, 1, 0, 0)))
    else:
        made = b.conv(b.conv(first, channels, Window()), channels, SAME, groups=channels)
    b.conv(b.conv(made, int(rng.integers(4, 9)), Window()), 4, SAME)
    return b.network()


def by_channel(program: Program) -> bool:
    """Whether any CONV goes on from sums after those of another layer."""
    convs = [i for i in program.decode() if isinstance(i, ConvInstruction)]
    return any(not i.first and i.layer != before.layer for before, i in pairwise(convs))
