"""Networks with maps too large for the chip that one pointwise layer reads: these run band by band."""

from __future__ import annotations

import numpy as np

from hw.contract.isa import ConvInstruction, StoreInstruction, Target
from hw.contract.program import Program
from quant.ir.network import Network
from quant.ir.window import Window
from tests.host.networks import SAME, Builder


def banded_network(number: int, rng: np.random.Generator) -> Network:
    """Parts of a concatenation, a pooling, a depthwise layer or a sum, by `number`, and a pointwise layer behind it;
    another such pair behind that.  Their maps take 4608 words of 4 lanes and more."""
    rows, columns = (int(size) for size in rng.integers(24, 30, 2))
    kind, channels = number % 4, int(rng.integers(32, 49))
    if kind == 1:
        rows, columns = 2 * rows, 2 * columns
    b = Builder(rng, (int(rng.integers(3, 9)), rows, columns))
    if kind == 0:
        left = b.conv("x", channels // 2, Window())
        made = b.concat(left, b.conv("x", channels, SAME, fmt=b.tensors[left].fmt))
    elif kind == 1:
        made = b.pool(b.conv("x", channels, Window()), "max", Window((2, 2), (2, 2)))
    elif kind == 2:
        made = b.conv(b.conv("x", channels, Window()), channels, SAME, groups=channels)
    else:
        first = b.conv("x", channels, Window())
        made = b.conv(b.conv("x", 8, Window()), channels, SAME, residual=first)
    if kind == 2:  # the pointwise layer's results go where the depthwise layer reads, but for its bands
        b.conv(b.conv(b.conv(made, channels, Window()), channels, SAME, groups=channels), 4, Window())
    else:
        b.conv(b.conv(b.conv(made, int(rng.integers(4, 9)), Window()), channels, SAME), 4, Window())
    return b.network()


def by_bands(program: Program) -> bool:
    """Whether any layer goes on after one behind it began."""
    layers = [i.layer for i in program.decode() if isinstance(i, ConvInstruction)]
    return layers != sorted(layers)


def on_memory(program: Program) -> int:
    """STOREs to memory, in the place of cycles: so as much stays on the chip as can."""
    return len([i for i in program.decode() if isinstance(i, StoreInstruction) and i.target == Target.MEMORY])
