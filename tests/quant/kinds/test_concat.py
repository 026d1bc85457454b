"""Concatenations in a quantized file: read where they join channels."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from quant import qdq
from quant.base.errors import UnsupportedNetwork
from quant.kinds.concat import Concat
from tests.quant.integer_nets import S8, Net, check, operators


def joined() -> onnx.ModelProto:
    net = Net((2, 4, 4), S8)
    return check(net.network(net.concat("x", net.conv("x", 3, S8))))


def test_parts_lie_behind_one_another(rng: np.random.Generator) -> None:
    parts = [rng.integers(-9, 9, (channels, 2, 3, 3)) for channels in (1, 4)]
    layer = Concat("join", ("a", "b"), "y")
    found = layer.prepare({}, {})(parts)
    assert found.shape == (*layer.output_shape({"a": (1, 3, 3), "b": (4, 3, 3)})[:1], 2, 3, 3)
    assert (found[0] == parts[0][0]).all() and (found[1:] == parts[1]).all()
    assert layer.tied({"a": (1, 3, 3), "b": (4, 3, 3)}) == (("a", 0), ("b", 1))


@pytest.mark.parametrize(("axis", "refused"), [(1, False), (-3, False), (2, True)])
def test_the_axis_is_that_of_the_channels(axis: int, refused: bool) -> None:
    model = joined()
    assert "Concat" in operators(model)
    node = next(node for node in model.graph.node if node.op_type == "Concat")
    node.attribute[0].CopyFrom(helper.make_attribute("axis", axis))
    if refused:
        with pytest.raises(UnsupportedNetwork, match="joins along another axis than the channels"):
            qdq.load(model)
    else:
        assert qdq.load(model).layers[-1].inputs[0] == "x"
