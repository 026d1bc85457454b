"""Networks that end on the host, for tests: small, each with another reason."""

from __future__ import annotations

import numpy as np
import onnx

from quant.ir.graph import FloatGraph
from quant.run.float_run import FloatRunner
from quant.run.tail import Returned, TailRunner
from tests.quant.onnx_nets import Net


def images(graph: FloatGraph, count: int = 3, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *graph.shapes[graph.inputs[0]])).astype(np.float32)


def float_returned(graph: FloatGraph, x: np.ndarray) -> list[Returned]:
    """What a float graph and its tail return, image by image."""
    assert graph.tail is not None
    [(_, tensors)] = FloatRunner(graph).run(x, graph.outputs)
    return TailRunner(graph.tail, graph.name).run([tensors[name] for name in graph.outputs])


def joined_heads(batch: int | str = 1, opset: int = 17) -> onnx.ModelProto:
    """A detector: maps of two heads flattened channels last, joined, scored; boxes beside."""
    net = Net(3, 8, 8, opset=opset)
    a = net.node("Relu", net.conv("x", 6, 3, (3, 3), pads=[1] * 4))
    b = net.node("Relu", net.conv(a, 6, 6, (3, 3), pads=[1] * 4, strides=[2, 2]))

    def flat(*maps: str, size: int, name: str) -> str:
        rows = [net.node("Transpose", y, perm=[0, 2, 3, 1]) for y in maps]
        rows = [net.node("Reshape", y, net.ints(batch if batch == 1 else 0, -1, size)) for y in rows]
        return net.node("Concat", *rows, axis=1, name=name)

    classes = flat(net.conv(a, 4, 6, name="ca"), net.conv(b, 4, 6, name="cb"), size=2, name="classes")
    boxes = flat(net.conv(a, 8, 6, name="ba"), net.conv(b, 8, 6, name="bb"), size=4, name="boxes")
    return net.model(net.node("Softmax", classes, axis=-1, name="scores"), boxes, batch=batch)


def best_three(sigmoid: bool = True) -> onnx.ModelProto:
    """The three largest scores, their places, and the logits as they are."""
    net = Net(3, 6, 6)
    y = net.node("Flatten", net.conv("x", 5, 3, (6, 6), name="head"), name="logits")
    k = net.node("TopK", net.node("Sigmoid", y) if sigmoid else y, net.ints(3), outputs=2, name="values", axis=1)
    return net.model(k, f"{k}_1", y, batch=1)


def suppressed() -> onnx.ModelProto:
    """Boxes that NonMaxSuppression leaves: how many depends on the image."""
    net = Net(3, 5, 5)
    y = net.node("Relu", net.conv("x", 6, 3, (3, 3), pads=[1] * 4))
    boxes = net.node("Reshape", net.node("Transpose", net.conv(y, 4, 6), perm=[0, 2, 3, 1]), net.ints(1, 25, 4))
    scores = net.node("Reshape", net.node("Sigmoid", net.conv(y, 2, 6)), net.ints(1, 2, 25))
    limits = [net.ints(5), net.constant([0.3]), net.constant([0.4])]
    return net.model(net.node("NonMaxSuppression", boxes, scores, *limits, name="kept"), batch=1)


def normalized_head() -> onnx.ModelProto:
    """A LayerNormalization before a small classifier."""
    net = Net(3, 12, 12)
    y = net.node("Relu", net.conv("x", 16, 3, (3, 3), pads=[1] * 4))
    y = net.node("Flatten", net.node("GlobalAveragePool", net.conv(y, 8, 16, (3, 3), pads=[1] * 4), name="pool"))
    y = net.node("LayerNormalization", y, net.constant(np.ones(8)), net.constant(np.zeros(8)), name="norm")
    return net.model(net.node("Gemm", y, net.constant(net.random.normal(size=(8, 4))), name="fc"), batch=1)
