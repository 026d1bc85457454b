"""A float convolution: in ONNX Runtime as in Python, and what it takes into itself is what stood beside it."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest

from quant.ir.fixedpoint import QFormat
from quant.ir.graph import FloatGraph
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.add import FloatAdd
from quant.kinds.conv import FloatConv, float_convolution, float_convolutions, rules
from quant.run.float_onnx import float_model
from quant.run.float_run import FloatRunner

SHAPE = (4, 6, 5)


def conv(rng: np.random.Generator, groups: int = 1, window: Window = Window((3, 2)), **fields) -> FloatConv:  # noqa: B008
    weight = rng.normal(size=(4, 4 // groups, *window.kernel)).astype(np.float32)
    return FloatConv("c", "x", "y", weight, rng.normal(size=4).astype(np.float32), window, groups, **fields)


def graph_of(layer: FloatConv, source: tuple[int, int, int]) -> FloatGraph:
    return FloatGraph("net", (layer,), {"x": source, "y": layer.output_shape({"x": source})}, ("x",), ("y",))


def model_of(layer: FloatConv) -> onnx.ModelProto:
    return float_model(graph_of(layer, SHAPE))


def run(layer: FloatConv, x: np.ndarray) -> np.ndarray:
    graph = graph_of(layer, x.shape[1:])
    return np.concatenate([tensors["y"] for _, tensors in FloatRunner(graph).run(x)])


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(3, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_scalings_before_and_behind(rng: np.random.Generator, x: np.ndarray, groups: int) -> None:
    layer, (scale, shift) = conv(rng, groups), rng.normal(size=(2, 4))
    column = [part.reshape(-1, 1, 1) for part in (scale, shift)]
    behind, before = layer.scaled(scale, shift), layer.of_scaled(scale, shift)
    assert behind is not None and before is not None
    np.testing.assert_allclose(run(behind, x), run(layer, x) * column[0] + column[1], atol=1e-4)
    np.testing.assert_allclose(run(before, x), run(layer, (x * column[0] + column[1]).astype(np.float32)), atol=1e-4)


def test_channels_and_padding(rng: np.random.Generator, x: np.ndarray) -> None:
    layer, order = conv(rng), np.array([2, 0, 3])
    some = layer.only(order)
    assert some is not None
    np.testing.assert_allclose(run(some, x), run(layer, x)[:, order], atol=1e-5)
    wider = layer.of_channels(np.array([5, 0, -1, 5]), 6)
    assert wider is not None
    six = np.concatenate([x, x[:, :2]], 1)
    four = np.stack([six[:, 5], six[:, 0], 0 * six[:, 0], six[:, 5]], 1)
    np.testing.assert_allclose(run(wider, six), run(layer, four), atol=1e-5)
    padded = layer.padded((1, 0, 2, 1), 0.0, False)
    assert padded is not None and layer.padded((1, 0, 0, 0), -np.inf, True) is None
    np.testing.assert_allclose(run(padded, x), run(layer, np.pad(x, ((0, 0), (0, 0), (1, 2), (0, 1)))), atol=1e-5)


def test_what_it_cannot_take(rng: np.random.Generator) -> None:
    clipped, joined = conv(rng, clip=(0, None)), conv(rng, residual="r")
    one = np.ones(4)
    assert clipped.scaled(one, one) is None and joined.scaled(one, one) is None
    assert clipped.with_residual("r") is None and joined.with_residual("s") is None
    assert joined.only(np.array([0])) is None
    taken = conv(rng).with_residual("r")
    assert taken is not None and taken.inputs == ("x", "r") and taken.tied({}) == (("r", 0),)


def test_a_fold_beyond_float32_is_found_afterwards(rng: np.random.Generator) -> None:
    layer = conv(rng)
    scaled = layer.scaled(np.full(4, 1e300), np.zeros(4))
    assert scaled is not None and layer.finite and not scaled.finite
    with pytest.raises(ValueError, match="NaN or infinite"):
        scaled.check_numbers()


@pytest.mark.parametrize(
    ("weight", "bias", "known", "found"),
    [(1, 0, {"x"}, True), (1, 0, set(), False), (-1, 0, {"x"}, False), (1, -1, {"x"}, False)],
)
def test_when_no_result_is_negative(weight: int, bias: int, known: set[str], found: bool) -> None:
    one = np.ones((1, 1, 1, 1), np.float32)
    layer = FloatConv("c", "x", "y", weight * one, np.full(1, bias, np.float32), Window(), 1)
    assert layer.never_negative(known) == found
    assert not dataclasses.replace(layer, residual="r").never_negative({"x"})


def test_a_stand_in_has_the_shape_and_no_zeros(rng: np.random.Generator) -> None:
    layer = conv(rng, 2, residual="r")
    fmt = QFormat(8, 3)
    tensors = {name: Tensor(name, SHAPE, fmt) for name in ("x", "y", "r")}
    made = layer.stand_in(tensors)
    made.check_numbers()
    made.check(tensors)
    assert (made.weight.shape, made.window, made.groups, made.inputs) == ((4, 2, 3, 2), layer.window, 2, ("x", "r"))
    assert made.weight.all() and made.clip == (-128, 127)


def test_in_a_few_words_and_among_others(rng: np.random.Generator) -> None:
    assert conv(rng).description == "3x2 convolution, 4 to 4 channels"
    assert conv(rng, 2).description == "3x2 convolution in 2 groups, 4 to 4 channels"
    assert conv(rng, 4).description == "depthwise 3x2 convolution of 4 channels"
    assert conv(rng, op="Gemm").description == "fully connected, 24 to 4"
    layer, other = conv(rng), FloatAdd("a", ("x", "y"), "z")
    assert float_convolutions([layer, other, layer]) == [layer, layer]
    assert float_convolution(other) is None and float_convolution(None) is None


def test_large_fully_connected_layers_run_as_matrix_products(
    rng: np.random.Generator, x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = conv(rng, window=Window(SHAPE[1:]), op="Gemm", clip=(0, None))
    wanted = run(layer, x)
    assert "Gemm" not in {node.op_type for node in model_of(layer).graph.node}
    monkeypatch.setattr(rules, "MATRIX", layer.weight.size)
    assert "Gemm" in {node.op_type for node in model_of(layer).graph.node}
    assert np.allclose(run(layer, x), wanted, rtol=1e-4, atol=1e-5)
