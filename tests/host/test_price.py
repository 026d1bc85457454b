from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from host.price import cycles
from host.target import engine_target
from hw.contract.config import PRESETS, preset
from quant.ir.window import Window
from quant.rewrite.channels import left_by, sets, thinned
from quant.search import quantize_network
from tests.quant.float_graphs import Builder, branches, images


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_shapes_alone_tell_the_cycles_of_the_quantized_network(name: str):
    graph, config = branches(), preset(name)
    counted = engine_target(config).cycles
    assert counted is not None
    network = quantize_network(graph, images(4), effort="fast")
    # Formats say which operand of the addition is read as its residual, and with that what stays on the chip.
    assert cycles(config).network(graph) == pytest.approx(counted(network), rel=0.03)


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_only_whole_groups_of_lanes_save_passes(config):
    price, n, m = cycles(config), config.ic_lanes, config.oc_lanes
    of = price.convolution
    assert of(m, n, 9, 100) == 900 and of(1, 1, 9, 100) == 900
    assert of(m + 1, n, 9, 100) == of(2 * m, n, 9, 100) == 1800 == of(m, n + 1, 9, 100)
    assert of(2 * m, 2 * n, 1, 1) == 4 * of(m, n, 1, 1) > 4  # no pass is shorter than its weights take to load
    assert price.unit == "cycles"


def test_fewer_channels_take_fewer_cycles_on_small():
    net = Builder(0)
    graph = net.graph(net.conv("last", net.conv("two", net.conv("one", "x", 24), 24), 8, Window()))
    channels, price = sets(graph), cycles(preset("small"))
    found = []
    for left in (24, 17, 16, 8):
        gone = [*channels["one.y"][left:], *channels["two.y"][left:]]
        found.append(price.network(thinned(graph, left_by(channels, np.array(gone).tolist()))))
    assert found[0] >= found[1] > found[2] > found[3] and found[2] < 0.6 * found[0]
    assert price.network(replace(graph, name="other")) == found[0]
