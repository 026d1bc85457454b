"""The pads of a Pad of a quantized file."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from quant import qdq
from quant.base.errors import UnsupportedNetwork
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.kinds.constant_pad import ConstantPad
from quant.kinds.edge_pad import EdgePad
from quant.kinds.padding import Padding

S8 = QFormat(8, 4)


def network(layer: Padding) -> Network:
    """Of the layer alone, from "x" to "y"."""
    shape = (2, 3, 4)
    tensors = {"x": Tensor("x", shape, S8), "y": Tensor("y", layer.output_shape({"x": shape}), S8)}
    return Network("net", tensors, (layer,), ("x",), ("y",))


@pytest.mark.parametrize("ends", [[0, 1, 1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0, 1, -1], [1, 1, 1, 1]])
@pytest.mark.parametrize(
    "layer",
    [
        EdgePad("pad", "x", "y", (1, 1, 1, 1)),
        ConstantPad("pad", "x", "y", (1, 1, 1, 1), np.array([3, 3])),
        ConstantPad("pad", "x", "y", (1, 1, 1, 1), np.array([3, -4])),
    ],
)
def test_what_does_not_pad_rows_and_columns(layer: Padding, ends: list[int]) -> None:
    model = qdq.to_model(network(layer))
    node = next(node for node in model.graph.node if node.op_type == "Pad")
    model.graph.initializer.append(numpy_helper.from_array(np.array(ends), "other"))
    node.input[1] = "other"
    with pytest.raises(UnsupportedNetwork, match="not rows and columns alone"):
        qdq.load(model)


@pytest.mark.parametrize("pads", [(0, 0, -1, 0), (-1, 0, 0, 0)])
def test_negative_pads_are_none(pads: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"^pads \("):
        EdgePad("pad", "x", "y", pads).check_numbers()
