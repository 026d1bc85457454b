"""Tables and enlargements as integers: the executor, bounds, and the quantized file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from quant import qdq
from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.bounds import accumulator_bound, tensor_bounds
from quant.ir.digest import digest
from quant.ir.fixedpoint import QFormat
from quant.ir.functions import SILU, X, apply, table
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.conv import Conv
from quant.kinds.resize import Resize
from quant.kinds.table import Table
from quant.qdq import run_layers
from quant.run.execute import execute
from quant.run.fast_execute import FastExecutor

IN, MID, OUT = QFormat(8, 5, True), QFormat(8, 6, True), QFormat(8, 4, False)
GATE = apply("Sigmoid", X)


def network(rng: np.random.Generator, source: QFormat = IN, middle: QFormat = MID, out: QFormat = OUT) -> Network:
    """A table of the input, a convolution, a table of its result, an enlargement, a fully connected layer, a table."""
    entries = table(SILU, source, middle)
    weight = rng.integers(-100, 100, (4, 3, 3, 3))
    dense = rng.integers(-100, 100, (5, 4, 6, 12))
    layers: tuple[Layer, ...] = (
        Table("silu", "x", "a", entries, str(SILU)),
        Conv("conv", "a", "b", weight, np.full(4, 9), 8, rng.integers(-999, 999, 4), Window((3, 3)), 1, (-128, 127)),
        Table("gate", "b", "c", table(GATE, IN, out), str(GATE)),
        Resize("grow", "c", "d", (2, 3)),
        Conv("fc", "d", "e", dense, np.full(5, 12), 8, np.zeros(5, np.int64), Window((6, 12)), 1, (-128, 127),
             op="Gemm"),
        Table("last", "e", "f", table(apply("Tanh", X), QFormat(8, 2), QFormat(16, 14)), "Tanh(x)"),
    )  # fmt: skip
    shapes = {"x": (3, 5, 6), "a": (3, 5, 6), "b": (4, 3, 4), "c": (4, 3, 4), "d": (4, 6, 12), "e": (5, 1, 1)}
    formats = {"x": source, "a": middle, "b": IN, "c": out, "d": out, "e": QFormat(8, 2), "f": QFormat(16, 14)}
    shapes["f"] = (5, 1, 1)
    tensors = {name: Tensor(name, shape, formats[name]) for name, shape in shapes.items()}
    return Network("net", tensors, layers, ("x",), ("f",), output_shapes={"f": (5,)})


FORMATS = [(IN, MID, OUT), (QFormat(8, 5, False), QFormat(6, 3, True), QFormat(4, 4, False)),
           (QFormat(16, 10, True), QFormat(16, 9, True), QFormat(8, 6, True)), (QFormat(5, 2), MID, OUT)]  # fmt: skip


def test_the_executor_looks_up_and_copies(rng: np.random.Generator) -> None:
    net = network(rng)
    x = rng.integers(-128, 128, (3, 3, 5, 6))
    found = execute(net, x, net.tensors)
    real = x / 32
    assert np.array_equal(found["a"], np.clip(np.rint(real / (1 + np.exp(-real)) * 64), -128, 127))
    assert np.array_equal(found["d"], found["c"].repeat(2, axis=2).repeat(3, axis=3))
    assert found["c"].dtype == np.uint8 and found["d"].dtype == np.uint8
    fast = FastExecutor(net).run(x, net.tensors)
    assert all(digest(fast[name]) == digest(found[name]) for name in net.tensors)


def test_bounds_are_those_of_the_entries_that_can_be_met(rng: np.random.Generator) -> None:
    net = network(rng)
    bounds = tensor_bounds(net)
    entries = net.layers[0].entries  # type: ignore[union-attr]
    assert (bounds["a"].low, bounds["a"].high) == (entries.min(), 127)
    assert (bounds["c"].low, bounds["c"].high) == (0, 16)
    assert bounds["d"] == bounds["c"]
    clipped = replace(net.layers[1], clip=(-10, 20))
    found = tensor_bounds(replace(net, layers=(net.layers[0], clipped, *net.layers[2:])))["c"]
    expected = table(GATE, IN, OUT)[128 - 10 : 128 + 21]
    assert (found.low, found.high) == (expected.min(), expected.max())
    assert accumulator_bound(net, net.layers[2]).bits <= 8


@pytest.mark.parametrize("formats", FORMATS, ids=str)
def test_the_file_gives_the_same_integers_and_reads_back(
    formats: tuple[QFormat, QFormat, QFormat], rng: np.random.Generator
) -> None:
    net = network(rng, *formats)
    source = formats[0]
    model = qdq.to_model(net)
    images = rng.normal(0, 2, (4, 3, 5, 6)).astype(np.float32)
    integers = np.clip(np.rint(images * 2.0**source.frac), source.low, source.high).astype(np.int64)
    expected = execute(net, integers, net.tensors)
    wide = qdq.beyond_float32(net)
    assert set(wide) <= {"conv", "fc"}
    found = run_layers(model, images, wide=wide)
    assert set(found) == set(net.tensors)
    for name, values in found.items():
        assert np.array_equal(values, expected[name]), name
    again = qdq.load(model)
    assert qdq.to_model(again).SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in net.layers]
    for one, other in zip(net.layers, again.layers, strict=True):
        if isinstance(one, Table) and isinstance(other, Table):
            assert (one.name, one.inputs, one.function) == (other.name, other.inputs, other.function)
            assert np.array_equal(one.entries, other.entries)
        elif isinstance(one, Resize):
            assert one == other or (one.factors, one.inputs) == (other.factors, other.inputs)  # type: ignore[union-attr]


def test_default_optimizations_change_nothing(rng: np.random.Generator) -> None:
    import onnxruntime

    net = network(rng)
    images = rng.normal(0, 2, (4, 3, 5, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(qdq.to_model(net).SerializeToString())
    [found] = session.run(None, {"x": images})
    expected = execute(net, np.clip(np.rint(images * 32), -128, 127).astype(np.int64))["f"]
    assert np.array_equal(found.reshape(4, 5, 1, 1), expected / 2.0**14)


def test_networks_that_contradict_themselves(rng: np.random.Generator) -> None:
    net = network(rng)
    first, grow = net.layers[0], net.layers[3]
    assert isinstance(first, Table) and isinstance(grow, Resize)
    x = np.zeros((1, 3, 5, 6), np.int64)
    with pytest.raises(ValueError, match="^layer silu: 255 entries, but 8 bits of input$"):
        execute(replace(net, layers=(replace(first, entries=first.entries[1:]), *net.layers[1:])), x)
    with pytest.raises(ValueError, match="^layer silu: entries beyond the output's format s8.6$"):
        execute(replace(net, layers=(replace(first, entries=first.entries + 100), *net.layers[1:])), x)
    with pytest.raises(ValueError, match="^layer silu: 255 entries, but 8 bits of input$"):
        qdq.to_model(replace(net, layers=(replace(first, entries=first.entries[1:]), *net.layers[1:])))
    other = net.tensors | {"d": Tensor("d", (4, 6, 12), QFormat(8, 2))}
    with pytest.raises(ValueError, match="^layer grow: computes nothing, so its input and output need one format$"):
        execute(replace(net, tensors=other), x)
    with pytest.raises(ValueError, match="^layer grow: computes nothing, so its input and output need one format$"):
        qdq.to_model(replace(net, tensors=other))


def test_files_that_are_not_as_written(rng: np.random.Generator) -> None:
    def changed(op: str, change) -> onnx.ModelProto:
        model = qdq.to_model(network(rng))
        change(model, next(node for node in model.graph.node if node.op_type == op))
        return model

    def shorter(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name == node.input[0]:
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros(255, np.float32), tensor.name))

    def factors(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name == node.input[2]:
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.array([1, 1, 1.5, 2], np.float32), tensor.name))

    def linear(_: onnx.ModelProto, node: onnx.NodeProto) -> None:
        next(a for a in node.attribute if a.name == "mode").s = b"linear"

    def by_float(_: onnx.ModelProto, node: onnx.NodeProto) -> None:
        node.input[0] = "x"

    for op, change, text in (
        ("Gather", shorter, "silu .* is no table with an entry for each integer of x"),
        ("Resize", factors, "resizes by .*1.5"),
        ("Resize", linear, "does not just copy"),
        ("Cast", by_float, "looks up by something else"),
    ):
        with pytest.raises((BadInput, UnsupportedNetwork), match=text):
            qdq.load(changed(op, change))
