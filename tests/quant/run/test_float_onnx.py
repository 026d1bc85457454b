"""The float graph as ONNX: names, clips, any part of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest

from quant.ir.layer import Clip
from quant.ir.window import Window
from quant.run.float_onnx import float_model, layers_model
from quant.run.session import Session
from tests.quant.float_graphs import Builder, branches, images


def test_every_tensor_is_an_output_under_its_name() -> None:
    graph = branches()
    model = float_model(graph)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.output] == [layer.output for layer in graph.layers]
    assert {layer.name for layer in graph.layers} <= {node.name for node in model.graph.node}
    assert model.opset_import[0].version == 17


def test_a_part_from_any_tensors_to_any_tensors() -> None:
    graph, x = branches(), images(2)
    names = [layer.output for layer in graph.layers]
    whole = dict(zip(names, Session(float_model(graph), "net").run(names, {"x": x}), strict=True))
    place = names.index("half.y")
    part = layers_model(graph, graph.layers[place + 1 :], ["half.y"], ["added.y", names[-1]])
    found = Session(part, "part").run(["added.y", names[-1]], {"half.y": whole["half.y"]})
    for name, values in zip(("added.y", names[-1]), found, strict=True):
        np.testing.assert_allclose(values, whole[name], atol=1e-5)


@pytest.mark.parametrize(
    ("clip", "op"),
    [((None, None), None), ((0, None), "Relu"), ((0, 6), "Clip"), ((None, 0.5), "Clip"), ((-1, None), "Clip")],
)
def test_clips(clip: Clip, op: str | None) -> None:
    net = Builder(0)
    y = net.conv("c", "x", 2, clip=clip)
    model = float_model(net.graph(y))
    assert [node.op_type for node in model.graph.node][1:] == ([] if op is None else [op])
    bare = net.graph(y)
    bare = dataclasses.replace(bare, layers=(bare.layers[0].with_clip((None, None)),))
    found, wanted = (Session(made, "net").run([y], {"x": images(1)})[0] for made in (model, float_model(bare)))
    np.testing.assert_array_equal(found, np.clip(wanted, *clip) if op else wanted)


def test_a_dilated_average_takes_a_later_opset() -> None:
    net = Builder(0)
    model = float_model(net.graph(net.pool("p", "x", "average", Window((2, 2), dilation=(2, 2)))))
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == 19
