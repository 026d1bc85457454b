"""Which channels have one free scale."""

from __future__ import annotations

from quant.ir.functions import X, apply
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.kinds.table import FloatTable
from quant.search.ties import Ties
from tests.quant.float_graphs import Builder, branches


def tied(ties: Ties, one: tuple[str, int], other: tuple[str, int]) -> bool:
    return bool(ties.channels[one[0]][one[1]] == ties.channels[other[0]][other[1]])


def test_channels_meet_one_by_one():
    ties = Ties(branches())
    assert tied(ties, ("stem.y", 3), ("joined.y", 3)) and not tied(ties, ("stem.y", 3), ("joined.y", 4))
    assert tied(ties, ("right.y", 2), ("cat.y", 6)) and tied(ties, ("left.y", 2), ("cat.y", 2))  # left has 4 channels
    assert not tied(ties, ("left.y", 2), ("right.y", 2))
    assert tied(ties, ("cat.y", 11), ("added.y", 11)) and tied(ties, ("added.y", 0), ("mean.y", 0))


def test_a_convolution_ties_its_residual_alone():
    ties = Ties(branches())
    assert sorted(map(sorted, ties.components())) == [
        ["added.y", "cat.y", "half.y", "left.y", "mean.y", "right.y", "signed.y"],
        ["body.y"],
        ["fc.y"],
        ["joined.y", "stem.y"],
        ["x"],
    ]


def test_what_is_not_linear_ties_nothing():
    net = Builder(0)
    net.conv("one", "x", 4)
    net.layers.append(FloatTable("table", "one.y", "table.y", apply("Sigmoid", X)))
    net.shapes["table.y"] = net.shapes["one.y"]
    ties = Ties(net.graph(net.conv("two", "table.y", 4, Window())))
    assert isinstance(net.layers[0], FloatConv) and all(len(names) == 1 for names in ties.components())
