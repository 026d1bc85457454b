"""Repeated edges, in a quantized file and against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper, numpy_helper

from quant import qdq
from quant.base.errors import UnsupportedNetwork
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.kinds.edge_pad import EdgePad
from quant.run.execute import execute
from quant.run.fast_execute import FastExecutor

S8 = QFormat(8, 4)


def network(pads: tuple[int, int, int, int] = (1, 2, 0, 3)) -> Network:
    layer = EdgePad("edges", "x", "y", pads)
    tensors = {"x": Tensor("x", (2, 3, 4), S8)}
    return Network(
        "net", tensors | {"y": Tensor("y", layer.output_shape({"x": (2, 3, 4)}), S8)}, (layer,), ("x",), ("y",)
    )


@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (1, 2, 0, 3)])
def test_all_ways_to_run_it(pads: tuple[int, int, int, int], rng: np.random.Generator) -> None:
    net = network(pads)
    x = rng.integers(-128, 128, (3, 2, 3, 4))
    [layer] = qdq.load(qdq.to_model(net)).layers
    assert isinstance(layer, EdgePad) and layer.pads == pads
    wanted = qdq.run_layers(qdq.to_model(net), np.ldexp(x.astype(np.float32), -S8.frac))["y"]
    np.testing.assert_array_equal(execute(net, x)["y"], wanted)
    for in_bytes in (True, False):
        np.testing.assert_array_equal(FastExecutor(net, in_bytes=in_bytes).run(x)["y"], wanted)


@pytest.mark.parametrize(
    ("ends", "mode", "reason"),
    [
        ([0, 1, 1, 1, 0, 0, 1, 1], "edge", "not rows and columns alone"),
        ([0, 0, 1, 1, 0, 0, 1, 1], "reflect", "does not repeat edges"),
        ([0, 0, 1, 1, 0, 0, 1, -1], "edge", "not rows and columns alone"),
    ],
)
def test_what_does_not_repeat_edges(ends: list[int], mode: str, reason: str) -> None:
    model = qdq.to_model(network())
    node = next(node for node in model.graph.node if node.op_type == "Pad")
    model.graph.initializer.append(numpy_helper.from_array(np.array(ends), "other"))
    node.input[1] = "other"
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("mode", mode))
    with pytest.raises(UnsupportedNetwork, match=reason):
        qdq.load(model)
