"""What ONNX's checker lets through: tensors that do not hold what they say, functions without end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quant.base.errors import BadInput
from quant.onnx_file.valid import asked
from tests.quant.onnx_nets import Net, checked, message


def test_a_tensor_holds_as_many_numbers_as_its_shape() -> None:
    net = Net(2, 4, 4)
    model = net.model(net.node("Add", "x", net.constant(np.ones(1))))
    held = model.graph.initializer[0]
    held.ClearField("raw_data")
    held.float_data.extend([1, 2, 3])
    assert message(model).startswith("net: tensor c0 holds other data than its shape [1] says: ")


def test_only_what_is_read_must_be_dense_and_of_numbers() -> None:
    net = Net(2, 4, 4)
    y = net.node("Add", "x", "sparse")
    net.node("Constant", name="text", value_string="unread")
    values = numpy_helper.from_array(np.ones(1, np.float32), "sparse")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "places")
    model = net.model(net.node("Relu", "x"))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [1]))
    assert message(model) == "net: tensor sparse is sparse; only dense ones are read"
    model.graph.node.remove(next(node for node in model.graph.node if node.output[0] == y))
    checked(model)


@pytest.mark.parametrize("name", ["tttt", "nnnn", "NNNN", "dddd"], ids=["tensor", "node", "batch", "domain"])
@pytest.mark.parametrize("bad", [b"a\0bc", b"\xff\xfe\xfd\xfc"], ids=["zero", "no UTF-8"])
def test_names_are_texts(name: str, bad: bytes, tmp_path: Path) -> None:
    net = Net(2, 4, 4)
    model = net.model(net.node("Odd", net.node("Relu", "x", name="tttt"), domain="dddd"), domain="dddd", batch="NNNN")
    model.graph.node[0].name = "nnnn"
    path = tmp_path / "net.onnx"
    shown = bad.decode() if bad[0] < 128 else bad
    path.write_bytes(model.SerializeToString().replace(name.encode(), bad))
    assert message(path) == f"net.onnx: name {shown!r} is no text"


def with_function(model: onnx.ModelProto, name: str, body: list[onnx.NodeProto]) -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model.functions.append(helper.make_function("own", name, ["a"], ["b"], body, opsets))


def test_functions_that_double_at_every_level() -> None:
    net = Net(2, 4, 4)
    model = net.model(net.node("F0", "x", domain="own"), domain="own")
    for level in range(40):
        inner = [
            helper.make_node(f"F{level + 1}", ["a"], ["c"], domain="own"),
            helper.make_node(f"F{level + 1}", ["c"], ["b"], domain="own"),
        ]
        with_function(model, f"F{level}", inner)
    with_function(model, "F40", [helper.make_node("Relu", ["a"], ["b"])])
    assert message(model) == "net: has 1,099,511,627,776 nodes with its functions in place; 100,000 are the most"


def test_functions_are_put_in_place() -> None:
    net = Net(2, 4, 4)
    model = net.model(net.node("F", "x", domain="own"), domain="own")
    with_function(model, "F", [helper.make_node("Relu", ["a"], ["b"])])
    model.graph.output[0].type.CopyFrom(model.graph.input[0].type)
    assert [layer.operator for layer in checked(model).layers] == ["Conv"]
    model.graph.node[0].input.append("x")
    assert message(model) == (
        "net: its functions cannot be put in place: "
        "Number of actual parameters cannot exceed number of formal parameters"
    )


def test_whatever_onnx_raises_is_one_line() -> None:
    with pytest.raises(BadInput, match="^it fails: RuntimeError$"):
        asked(lambda: (_ for _ in ()).throw(RuntimeError()), "it fails")


def test_types_that_onnx_has_not() -> None:
    net = Net(2, 4, 4)
    model = net.model(net.node("Relu", "x"))
    model.graph.input[0].type.tensor_type.elem_type = 99
    assert message(model) == "net: input x is of type number 99, which ONNX has not, only float32 is supported"
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    assert message(model) == "net: input x is of type double, only float32 is supported"


@pytest.mark.parametrize("shape", [(2, 100_000, 100_000), (2, 1 << 62, 8)])
def test_inputs_too_large_to_be_worked_on(shape: tuple[int, ...]) -> None:
    net = Net(*shape)
    text = "x".join(map(str, shape))
    assert message(net.model(net.node("Relu", "x"))) == (
        f"net: input x is {text}, more than 33,554,432 elements, the most that can be worked on"
    )
