"""Networks of layers whose input exceeds the activation buffer: output groups share a reading of it, and keep their
partial sums at once."""

from __future__ import annotations

import numpy as np

from hw.contract.isa import ConvInstruction
from hw.contract.program import Program
from quant.ir.network import Network
from quant.ir.window import Window
from tests.host.networks import SAME, Builder


def blocked_network(number: int, rng: np.random.Generator) -> Network:
    """By `number`, a layer of 3 x 3, or a pointwise one with a residual, a pooling or 16 bits.  Its input takes 4200
    words of 4 lanes and more."""
    rows, columns = (int(size) for size in rng.integers(6, 10, 2))
    channels, outputs = 4 * -(-4200 // (rows * columns)), int(rng.integers(30, 50))
    b, kind = Builder(rng, (channels, rows, columns)), number % 5
    if kind == 0:
        made = b.conv("x", outputs, SAME if rows * columns > 48 else Window())
    elif kind == 1:
        made = b.conv("x", outputs, Window(), residual=b.conv("x", outputs, Window()))
    elif kind == 2:
        made = b.pool(b.conv("x", outputs, Window()), "average", Window((rows, columns)))
    elif kind == 3:
        b.conv("x", outputs, Window(), bits=16)
        return b.network()
    else:
        made = b.pool(b.conv("x", outputs, Window()), "max", Window((2, 2), (2, 2)))
    b.conv(made, 4, Window())
    return b.network()


def in_blocks(program: Program) -> bool:
    """Whether any CONV goes on from sums that others of its layer came after."""
    return any(i.reload for i in program.decode() if isinstance(i, ConvInstruction))
