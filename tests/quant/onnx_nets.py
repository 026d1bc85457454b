"""ONNX models for the tests of the importer, built node by node, and what is checked of all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.graph import FloatGraph
from quant.ir.inputs import together
from quant.kinds.add import FloatAdd
from quant.kinds.conv import FloatConv
from quant.kinds.padding import Padding
from quant.kinds.pool import FloatPool
from quant.kinds.resize import Resize
from quant.kinds.table import FloatTable
from quant.onnx_import import load, load_whole, verify
from quant.run.float_onnx import float_model


class Net:
    """Builds an ONNX model node by node; each method returns the new tensor's name."""

    def __init__(self, *shape: int | str, opset: int = 17, seed: int = 0) -> None:
        self.shape, self.opset = shape, opset
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def node(self, op: str, *inputs: str, name: str | None = None, outputs: int = 1, **attributes: Any) -> str:
        output = name or f"{op.lower()}{len(self.nodes)}"
        rest = [f"{output}_{index}" for index in range(1, outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), [output, *rest], output, **attributes))
        return output

    def conv(
        self, x: str, out: int, into: int, kernel: tuple[int, int] = (1, 1), bias: bool = True, **attributes: Any
    ) -> str:
        arrays = [self.constant(self.random.normal(size=(out, into, *kernel)))]
        arrays += [self.constant(self.random.normal(size=out))] if bias else []
        return self.node("Conv", x, *arrays, **attributes)

    def conv1d(self, x: str, out: int, into: int, kernel: int, **attributes: Any) -> str:
        weight = self.constant(self.random.normal(size=(out, into, kernel)))
        return self.node("Conv", x, weight, self.constant(self.random.normal(size=out)), **attributes)

    def norm(self, x: str, channels: int) -> str:
        scale, offset, mean = (self.constant(self.random.normal(size=channels)) for _ in range(3))
        return self.node(
            "BatchNormalization",
            x,
            scale,
            offset,
            mean,
            self.constant(self.random.uniform(0.1, 2, channels)),
            epsilon=1e-3,
        )

    def model(
        self,
        *outputs: str,
        inputs: Collection[str] = ("x",),
        batch: int | str = "N",
        domain: str | None = None,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> onnx.ModelProto:
        """shapes: of inputs that have another than `self.shape`."""
        own = dict.fromkeys(inputs, self.shape) | dict(shapes or {})
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *own[name]]) for name in inputs]
        results = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", infos, results, self.constants)
        opsets = [helper.make_opsetid("", self.opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        inferred = {value.name: value for value in onnx.shape_inference.infer_shapes(model).graph.output}
        for value in model.graph.output:
            value.type.CopyFrom(inferred[value.name].type)
            if not value.type.tensor_type.HasField("shape"):  # what follows an operator that ONNX does not know
                value.type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", "?"]))
        return model


def checked(model: onnx.ModelProto, **options: Any) -> FloatGraph:
    """The graph, after a comparison with the model in ONNX Runtime on random images."""
    graph = load(model, **options)
    onnx.checker.check_model(float_model(graph), full_check=True)
    rng = np.random.default_rng(1)
    images = {name: rng.normal(size=(3, *shape)).astype(np.float32) for name, shape in graph.input_shapes.items()}
    assert verify(graph, model, together(images)) < 2e-4
    return graph


def kinds(graph: FloatGraph) -> str:
    """The layers in order: c(onvolution), g(emm), m(ax), a(verage), t(able), r(esize), p(adding), + and |
    (concatenation)."""
    letters = []
    for layer in graph.layers:
        if isinstance(layer, FloatConv):
            letters.append("g" if layer.op == "Gemm" else "c")
        elif isinstance(layer, FloatPool):
            letters.append(layer.kind[0])
        elif isinstance(layer, Padding):
            letters.append("p")
        elif isinstance(layer, FloatTable | Resize):
            letters.append("r" if isinstance(layer, Resize) else "t")
        else:
            letters.append("+" if isinstance(layer, FloatAdd) else "|")
    return "".join(letters)


def conv_at(graph: FloatGraph, place: int) -> FloatConv:
    layer = graph.layers[place]
    assert isinstance(layer, FloatConv)
    return layer


def message(model: onnx.ModelProto | Path, **options: Any) -> str:
    """Why a network is refused that layers have to compute to its end."""
    with pytest.raises((BadInput, UnsupportedNetwork)) as caught:
        load_whole(model, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def single(
    shape: tuple[int, ...],
    op: str,
    *,
    opset: int = 17,
    constants: tuple[Any, ...] = (),
    name: str = "n",
    **attributes: Any,
) -> onnx.ModelProto:
    """A model with one node."""
    net = Net(*shape, opset=opset)
    inputs = [net.constant(value, np.float32 if isinstance(value, np.ndarray) else np.int64) for value in constants]
    return net.model(net.node(op, "x", *inputs, name=name, **attributes))
