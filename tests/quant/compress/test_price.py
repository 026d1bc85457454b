from __future__ import annotations

from quant.compress import MACS
from quant.ir.window import Window
from tests.quant.float_graphs import Builder


def test_macs_are_those_of_the_convolutions():
    net = Builder(0, size=6)
    wide = net.conv("wide", net.conv("own", net.conv("one", "x", 8), 8, groups=8), 4, Window())
    graph = net.graph(net.pool("mean", wide, "average", Window((6, 6))))
    assert MACS.network(graph) == 36 * (8 * 3 * 9 + 8 * 1 * 9 + 4 * 8)
    assert MACS.convolution(8, 3, 9, 36) == 36 * 8 * 3 * 9 and MACS.unit == "MACs"
