"""Channels that become blocks, in a quantized file and against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from quant import qdq
from quant.base.errors import UnsupportedNetwork
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.kinds.depth_to_space import DepthToSpace, Mode
from quant.run.execute import execute
from quant.run.fast_execute import FastExecutor

S8 = QFormat(8, 4)


def network(mode: Mode, block: int = 2) -> Network:
    tensors = {"x": Tensor("x", (2 * block**2, 3, 4), S8), "y": Tensor("y", (2, 3 * block, 4 * block), S8)}
    return Network("net", tensors, (DepthToSpace("shuffle", "x", "y", block, mode),), ("x",), ("y",))


@pytest.mark.parametrize(("mode", "block"), [("DCR", 2), ("CRD", 2), ("CRD", 3)])
def test_all_ways_to_run_it(mode: Mode, block: int, rng: np.random.Generator) -> None:
    net = network(mode, block)
    x = rng.integers(-128, 128, (3, *net.tensors["x"].shape))
    real = np.ldexp(x.astype(np.float32), -S8.frac)
    [layer] = qdq.load(qdq.to_model(net)).layers
    assert isinstance(layer, DepthToSpace) and (layer.block, layer.mode) == (block, mode)
    wanted = qdq.run_layers(qdq.to_model(net), real)["y"]
    np.testing.assert_array_equal(execute(net, x)["y"], wanted)
    for in_bytes in (True, False):
        np.testing.assert_array_equal(FastExecutor(net, in_bytes=in_bytes).run(x)["y"], wanted)


def test_channels_that_are_no_blocks() -> None:
    model = qdq.to_model(network("DCR"))
    node = next(node for node in model.graph.node if node.op_type == "DepthToSpace")
    attributes = [helper.make_attribute("blocksize", 3)]
    del node.attribute[:]
    node.attribute.extend(attributes)
    with pytest.raises((UnsupportedNetwork, onnx.checker.ValidationError), match="makes no blocks of 8 channels"):
        qdq.load(model)
