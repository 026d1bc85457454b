"""Rounding and clipping as ONNX Runtime computes them exactly, in float32 and from float64."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quant.ir.bounds import tensor_bounds
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.run.fast_onnx import ROUND_EXACT, FloatWriter, is_exact
from quant.run.session import Session
from tests.quant.integer_nets import S8, Net


def writer(fmt: QFormat) -> FloatWriter:
    return FloatWriter(Network("net", {name: Tensor(name, (1, 1, 4096), fmt) for name in "xy"}, (), ("x",), ()))


def run(made: FloatWriter, x: np.ndarray) -> np.ndarray:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 1, x.size]) for name in "xy"]
    graph = helper.make_graph(made.nodes, "net", values[:1], values[1:], list(made.constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model)
    found = Session(model, "net").run(["y"], {"x": x.reshape(1, 1, 1, -1)})[0]
    return np.asarray(found).reshape(-1)


def halves(limit: int) -> np.ndarray:
    """Ties and their neighbours, up to a magnitude."""
    whole = np.unique(np.geomspace(1, limit, 600).astype(np.int64))
    values = np.concatenate([whole - 0.5, whole - 0.25, whole, -whole + 0.5, -whole - 0.5])
    return values.astype(np.float32)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("clip", [(-128, 127), (-3, 900), (0, ROUND_EXACT - 1)])
def test_a_result_is_clipped_and_rounded_half_to_even(wide: bool, clip: tuple[int, int]) -> None:
    made, x = writer(QFormat(24, 0)), halves(ROUND_EXACT)
    if wide:
        made.finish_wide(made.wide("x"), clip, "y")
    else:
        made.finish("x", clip, "y")
    np.testing.assert_array_equal(run(made, x), np.rint(np.clip(x.astype(np.float64), *clip)))


@pytest.mark.parametrize("shift", [-6, 5])
def test_integers_times_a_power_of_two(shift: int) -> None:
    made, x = writer(QFormat(16, 0)), np.arange(-64, 64, dtype=np.float32)
    name = made.real("x", shift)
    assert made.real("x", shift) == name and made.real("x") == "x" and len(made.nodes) == 1
    made.node("Identity", [name], "y")
    np.testing.assert_array_equal(run(made, x), np.ldexp(x, shift))


def test_what_is_made_once() -> None:
    made = writer(S8)
    assert made.wide("x") == made.wide("x") and len(made.nodes) == 1
    assert made.standing("x") == (0, np.float32) and not made.in_bytes("x") and made.plain("x") == "x"


def test_exactness_ends_where_rounding_does() -> None:
    for bits, exact in ((22, True), (24, False)):
        net = Net((1, 2, 2), QFormat(bits, 0))
        network = net.network(net.add("x", "x", QFormat(bits, 0)))
        assert is_exact(network, network.layers[0], tensor_bounds(network)) == exact
