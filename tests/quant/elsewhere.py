"""Quantized files as other tools make them, and what every one of them that is read must show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quant import qdq
from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.network import Network
from quant.onnx_file import form
from quant.onnx_file.view import View
from quant.qdq.read import NOTES
from quant.qdq.run import plain_session
from quant.run.execute import execute, quantize_input
from tests.quant.integer_nets import assert_same


class Graph:
    """Builds a model; every method appends a node and returns its output."""

    def __init__(self, shape: tuple[int, ...] = (3, 9, 8), seed: int = 0) -> None:
        self.random, self.shape = np.random.default_rng(seed), shape
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, array: Any, dtype: Any = np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array).astype(dtype), name))
        return name

    def node(self, op: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        out = out or f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], f"{out}.node", **attributes))
        return out

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 1, **attributes: Any) -> str:
        k = len(self.nodes)
        shape = (outputs, inputs // attributes.get("group", 1), kernel, kernel)
        weight = self.constant(f"w{k}", self.random.normal(size=shape) / np.sqrt(np.prod(shape[1:])))
        return self.node("Conv", x, weight, self.constant(f"b{k}", self.random.normal(size=outputs) / 4), **attributes)

    def quantized(self, x: str, frac: int, dtype: Any = np.int8, zero: int = 0) -> str:
        """QuantizeLinear and DequantizeLinear."""
        k = len(self.nodes)
        numbers = [self.constant(f"s{k}", 2.0**-frac), self.constant(f"z{k}", zero, dtype)]
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *numbers), *numbers)

    def weight(self, shape: tuple[int, ...], frac: int = 6, dtype: Any = np.int8, half: int = 128) -> str:
        """A quantized weight."""
        k = len(self.nodes)
        integers = self.constant(f"q{k}", self.random.integers(-half, half, shape), dtype)
        return self.node("DequantizeLinear", integers, self.constant(f"qs{k}", 2.0**-frac))

    def model(self, *outputs: str, opset: int = 17) -> onnx.ModelProto:
        source = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *self.shape])
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "elsewhere", [source], results, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model)
        return model


def images(network: Network, count: int = 16, spread: float = 1.0) -> np.ndarray:
    return (
        np.random.default_rng(5).normal(0, spread, (count, *network.input_shapes[network.inputs[0]])).astype(np.float32)
    )


def runtime_integers(model: onnx.ModelProto, x: np.ndarray) -> dict[str, np.ndarray]:
    """What ONNX Runtime, optimizations disabled, quantizes, by the name of the real tensor; with zero point 0."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    view = View(copy)
    chosen = [n for n in copy.graph.node if n.op_type == "QuantizeLinear" and not view.is_constant(n.input[0])]
    for node in chosen:
        kind = form.integer_type(node, view.constants)
        copy.graph.node.append(
            helper.make_node("Cast", [node.output[0]], [f"{node.output[0]}/int"], to=TensorProto.INT32)
        )
        copy.graph.output.append(helper.make_tensor_value_info(f"{node.output[0]}/int", TensorProto.INT32, None))
        assert kind in form.STORED
    session = plain_session(copy, "elsewhere")
    found = session.run([f"{node.output[0]}/int" for node in chosen], {copy.graph.input[0].name: x})
    return {
        node.input[0]: view.scheme(node, "").integers(array)
        for node, array in zip(chosen, found, strict=True)
        if view.narrowed(node.output[0]) is None
    }


def assert_read(model: onnx.ModelProto, complete: bool = False, spread: float = 1.0) -> Network:
    """Every integer and every output as ONNX Runtime has them; written and read again it is the same network."""
    network = qdq.load(model, complete)
    x = images(network, spread=spread)
    ours = execute(network, quantize_input(network, x), network.tensors)
    theirs = runtime_integers(model, x)
    compared = set(theirs) & set(ours)
    assert compared
    for name in compared:
        np.testing.assert_array_equal(ours[name].reshape(-1), theirs[name].reshape(-1), name)
    results = plain_session(model, "elsewhere").run(None, {network.inputs[0]: x})
    for name, result in zip(network.outputs, results, strict=True):
        real = ours[name] * network.tensors[name].fmt.step
        assert result.shape == (len(x), *network.output_shapes[name])
        if network.tensors[name].fmt.bits == 16 and NOTES in network.metadata:
            assert np.abs(real.reshape(result.shape) - result).max() <= network.tensors[name].fmt.step
        else:
            np.testing.assert_array_equal(real.reshape(result.shape), result)
    assert_same(qdq.load(qdq.to_model(network)), network)
    return network


def conv_body(g: Graph, x: str, **options: Any) -> str:
    return g.node("Conv", x, g.weight((4, 3, 3, 3), **options), pads=[1] * 4)


def refusal(body: Callable[[Graph, str], str]) -> str:
    """The one line with which a file is refused, without its name."""
    g = Graph()
    with pytest.raises((BadInput, UnsupportedNetwork)) as caught:
        qdq.load(g.model(body(g, g.quantized("x", 5))))
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix("elsewhere: ")
