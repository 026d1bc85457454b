"""Enlargements by copies in a quantized file: whole factors of rows and columns, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from quant import qdq
from quant.base.errors import UnsupportedNetwork
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.kinds.resize import Resize

S8 = QFormat(8, 4)


def enlarged() -> onnx.ModelProto:
    tensors = {"x": Tensor("x", (2, 3, 4), S8), "y": Tensor("y", (2, 6, 12), S8)}
    return qdq.to_model(Network("net", tensors, (Resize("grow", "x", "y", (2, 3)),), ("x",), ("y",)))


def changed(values: list[float] | None = None, sizes: list[int] | None = None, **attributes: Any) -> onnx.ModelProto:
    model = enlarged()
    node = next(node for node in model.graph.node if node.op_type == "Resize")
    if values is not None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(values, np.float32), "other"))
        node.input[2] = "other"
    if sizes is not None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(sizes), "sizes"))
        node.input[2] = ""
        node.input.append("sizes")
    kept = [one for one in node.attribute if one.name not in attributes]
    del node.attribute[:]
    node.attribute.extend(kept + [helper.make_attribute(key, value) for key, value in attributes.items()])
    return model


@pytest.mark.parametrize("model", [enlarged(), changed([1, 1, 2, 3]), changed(sizes=[1, 2, 6, 12])])
def test_factors_by_scales_or_sizes(model: onnx.ModelProto) -> None:
    [layer] = qdq.load(model).layers
    assert (layer.name, layer.factors) == ("grow", (2, 3))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (changed([1, 1, 1.5, 2]), r"grow \(Resize\) resizes by \[1.0, 1.0, 1.5, 2.0\], not rows and columns by whole"),
        (changed([1, 2, 1, 1]), "not rows and columns by whole factors"),
        (changed([2, 2]), "not rows and columns by whole factors"),
        (changed(mode="linear"), "does not just copy"),
        (changed(nearest_mode="ceil"), "does not just copy"),
    ],
)
def test_what_does_not_copy_whole_blocks(model: onnx.ModelProto, reason: str) -> None:
    with pytest.raises(UnsupportedNetwork, match=reason):
        qdq.load(model)
