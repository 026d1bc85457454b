"""What ONNX Runtime refuses, when it opens a model and when it runs one, is one line."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quant.base.errors import BadInput
from quant.run.session import Session


def model(op: str = "Relu", **attributes) -> onnx.ModelProto:
    """One node over (N, 1, 4, 4)."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, 4, 4]) for name in "xy"]
    node = helper.make_node(op, ["x"], ["y"], "node", **attributes)
    graph = helper.make_graph([node], "net", infos[:1], infos[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_outputs_by_name_or_all() -> None:
    x = np.arange(-8, 8, dtype=np.float32).reshape(1, 1, 4, 4)
    for session in (Session(model(), "net"), Session(model(), "net", optimized=False, threads=1)):
        for names in (None, ["y"]):
            [found] = session.run(names, {"x": x})
            assert (found == np.maximum(x, 0)).all()


@pytest.mark.parametrize(
    ("made", "feed"),
    [
        (model("NoOperator"), None),
        (model(), {"x": np.zeros((1, 1, 3, 4), np.float32)}),
        (model(), {"x": np.zeros((1, 1, 4, 4))}),
        (model(), {"z": np.zeros((1, 1, 4, 4), np.float32)}),
    ],
)
def test_refusals_are_one_line(made: onnx.ModelProto, feed: dict[str, np.ndarray] | None) -> None:
    with pytest.raises(BadInput, match="^net: ONNX Runtime cannot run it: ") as error:
        Session(made, "net").run(None, feed or {})
    assert "\n" not in str(error.value)


def test_what_is_raised_is_not_printed_too(capfd: pytest.CaptureFixture[str]) -> None:
    made = model("Add")
    made.graph.node[0].input.append("three")
    made.graph.initializer.append(numpy_helper.from_array(np.zeros((3, 1, 1, 1), np.float32), "three"))
    with pytest.raises(BadInput, match="running Add node"):
        Session(made, "net").run(None, {"x": np.zeros((2, 1, 4, 4), np.float32)})
    assert capfd.readouterr().err == ""
