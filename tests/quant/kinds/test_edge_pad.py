"""Copied edges, in a quantized file and against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from quant import qdq
from quant.base.errors import UnsupportedNetwork
from quant.kinds.edge_pad import EdgeMode, EdgePad
from quant.run.execute import execute
from quant.run.fast_execute import FastExecutor
from tests.quant.kinds.test_padding import S8, network


@pytest.mark.parametrize("mode", ["edge", "reflect"])
@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (1, 2, 0, 3), (2, 0, 2, 1)])
def test_all_ways_to_run_it(pads: tuple[int, int, int, int], mode: EdgeMode, rng: np.random.Generator) -> None:
    net = network(EdgePad("edges", "x", "y", pads, mode))
    x = rng.integers(-128, 128, (3, 2, 3, 4))
    [layer] = qdq.load(qdq.to_model(net)).layers
    assert isinstance(layer, EdgePad) and (layer.pads, layer.mode) == (pads, mode)
    wanted = qdq.run_layers(qdq.to_model(net), np.ldexp(x.astype(np.float32), -S8.frac))["y"]
    np.testing.assert_array_equal(execute(net, x)["y"], wanted)
    for in_bytes in (True, False):
        np.testing.assert_array_equal(FastExecutor(net, in_bytes=in_bytes).run(x)["y"], wanted)
    rows, columns = (layer.origins(axis, size) for axis, size in ((0, 3), (1, 4)))
    np.testing.assert_array_equal(x[0].transpose(1, 2, 0)[np.ix_(rows, columns)].transpose(2, 0, 1), wanted[0])


def test_what_is_no_mode_of_copies() -> None:
    model = qdq.to_model(network(EdgePad("edges", "x", "y", (1, 1, 1, 1))))
    node = next(node for node in model.graph.node if node.op_type == "Pad")
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("mode", "wrap"))
    with pytest.raises(UnsupportedNetwork, match="mode wrap; constant, edge and reflect are supported"):
        qdq.load(model)


def test_a_mirror_needs_what_it_shows() -> None:
    EdgePad("edges", "x", "y", (2, 3, 2, 3), "reflect").output_shape({"x": (2, 3, 4)})
    with pytest.raises(ValueError, match="mirrors 3 rows or columns beside the edge, and the map has 3"):
        EdgePad("edges", "x", "y", (0, 0, 3, 0), "reflect").output_shape({"x": (2, 3, 4)})
