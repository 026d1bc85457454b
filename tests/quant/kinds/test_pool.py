"""Pools: against loops over Python's integers, and means that ONNX Runtime rounds as the integers do."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from quant import qdq
from quant.base.errors import UnsupportedNetwork
from quant.ir.fixedpoint import EXACT_BITS, QFormat, average
from quant.ir.well_formed import Malformed, well_formed
from quant.ir.window import Window
from quant.kinds.pool import Pool, check_whole_map
from quant.onnx_file.view import View
from tests.quant.integer_nets import Net, check, operators
from tests.quant.reference import S8, U8, WINDOWS, agrees, images, one_layer


@pytest.mark.parametrize("window", [w for w in WINDOWS if w.pads != (1, 1, 1, 1) or w.kernel != (1, 1)])
@pytest.mark.parametrize("fmt", [U8, S8, QFormat(16, 9)])
def test_max_pooling(seed, window, fmt):
    rng = np.random.default_rng(seed)
    layer = Pool("pool", "x", "y", "max", window, (max(fmt.low, -100), min(fmt.high, 200)))
    network = one_layer(layer, (3, 9, 7), (3, *window.output_size(9, 7)), fmt, fmt)
    agrees(network, images(rng, network))


@pytest.mark.parametrize("window", [w for w in WINDOWS if w.pads != (1, 1, 1, 1) or w.kernel != (1, 1)])
@pytest.mark.parametrize("include_pad", [True, False])
@pytest.mark.parametrize(
    ("fmt", "out"), [(U8, U8), (S8, QFormat(8, 6)), (U8, QFormat(16, 11, signed=False)), (S8, QFormat(8, 2))]
)
def test_average_pooling(seed, window, include_pad, fmt, out):
    rng = np.random.default_rng(seed)
    layer = Pool("pool", "x", "y", "average", window, (out.low, out.high), include_pad)
    network = one_layer(layer, (3, 9, 7), (3, *window.output_size(9, 7)), fmt, out)
    agrees(network, images(rng, network))


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("window", [
    Window((2, 2), (2, 2)), Window((3, 3), (2, 2), (1, 1, 1, 1)), Window((3, 2), (2, 1), (2, 1, 1, 0)),
    Window((2, 3), (1, 2), (0, 2, 1, 1), (2, 1)), Window((7, 7)), Window((5, 3), (1, 1), (4, 2, 4, 2)),
])  # fmt: skip
@pytest.mark.parametrize("frac", [2, 4, 7])
def test_average_pools(window: Window, include: bool, frac: int) -> None:
    net = Net((3, 9, 8), S8)
    y = net.pool("x", "average", window, QFormat(8, frac), include)
    assert operators(check(net.network(y))) == ["AveragePool"]


@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("shift", [*range(-70, -40), *range(40, 70), -126, 126])
def test_averages_of_far_formats_are_exact_or_refused(seed: int, kernel: tuple[int, int], shift: int) -> None:
    """A shift that int64 cannot hold would wrap in silence: to other numbers than those of the file."""
    rng = np.random.default_rng(seed)
    layer = Pool("pool", "x", "y", "average", Window(kernel), (-128, 127))
    network = one_layer(layer, (2, 6, 6), (2, 7 - kernel[0], 7 - kernel[1]), QFormat(8, shift), QFormat(8, 0))
    count = kernel[0] * kernel[1]
    if 8 + (count - 1).bit_length() + max(-shift, 0) <= EXACT_BITS and (
        1 + count.bit_length() + max(shift, 0) <= EXACT_BITS
    ):
        agrees(well_formed(network), images(rng, network))
    else:
        with pytest.raises(Malformed, match=r"^layer pool: the (sum|number of elements) of \d+ bits is shifted"):
            well_formed(network)


@pytest.mark.parametrize("kernel", [(1, 2), (3, 1), (2, 2), (5, 1), (3, 3), (7, 7), (8, 8), (25, 5), (13, 13)])
@pytest.mark.parametrize("frac", [-2, 0, 3])
def test_every_average_of_8_bit_maps_is_exact(kernel: tuple[int, int], frac: int) -> None:
    """ONNX Runtime sums and divides in float32; rounding its quotient gives the exact result for every sum."""
    count = kernel[0] * kernel[1]
    totals = np.arange(-128 * count, 127 * count + 1)
    share, rest = np.divmod(totals, count)
    x = np.repeat(share[:, None], count, axis=1) + (np.arange(count) < rest[:, None])
    net = Net((len(totals), *kernel), QFormat(8, 0))
    y = net.pool("x", "average", Window(kernel), QFormat(16, frac))
    integers = qdq.run_layers(qdq.to_model(net.network(y)), x.reshape(1, -1, *kernel).astype(np.float32))
    np.testing.assert_array_equal(integers["x"].sum((0, 2, 3)), totals)
    np.testing.assert_array_equal(integers[y].reshape(-1), average(totals, count, -frac))


@pytest.mark.parametrize("kernel", [(7, 7), (3, 5), (16, 12)])
@pytest.mark.parametrize("frac", [-3, 0, 1])
def test_average_ties_and_their_neighbours_at_the_largest_sums(kernel: tuple[int, int], frac: int) -> None:
    count = kernel[0] * kernel[1]
    top = (1 << 23 - max(frac, 0)) - 1
    halves = np.arange(1, 4000) * (2 * (top // 4000) // 2) + 1
    totals = np.unique(np.clip(np.concatenate([halves * count // 2 + d for d in (-1, 0, 1)]), -top, top))
    share, rest = np.divmod(totals, count)
    x = np.repeat(share[:, None], count, axis=1) + (np.arange(count) < rest[:, None])
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=list(kernel))
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "g", infos[:1], infos[1:]), ir_version=10,
                              opset_imports=[helper.make_opsetid("", 21)])  # fmt: skip
    mean = qdq.run.plain_session(model, "g").run(None, {"x": x.reshape(1, -1, *kernel).astype(np.float32)})[0]
    rounded = np.rint(np.ldexp(mean.reshape(-1).astype(np.float64), frac)).astype(np.int64)
    np.testing.assert_array_equal(rounded, average(totals, count, -frac))


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("pad", range(5))
def test_padding_is_smaller_than_the_kernel(pad: int, dilation: int) -> None:
    """ONNX Runtime refuses the others, and so do we: whatever the dilation."""
    net = Net((2, 9, 9), S8)
    model = qdq.to_model(net.network(net.pool("x", "max", Window((2, 2), (1, 1), (0, 0, 0, 0), (dilation, dilation)))))
    (pool,) = (node for node in model.graph.node if node.op_type == "MaxPool")
    kept = [attribute for attribute in pool.attribute if attribute.name != "pads"]
    del pool.attribute[:]
    pool.attribute.extend([*kept, helper.make_attribute("pads", [0, pad, pad, 0])])
    if pad < 2:
        assert qdq.load(model).layers[0].window.pads == (0, pad, pad, 0)  # type: ignore[union-attr]
    else:
        with pytest.raises(UnsupportedNetwork, match=rf"its padding \[0, {pad}, {pad}, 0\] is as large as its kernel$"):
            qdq.load(model)


@pytest.mark.parametrize(("axes", "taken"), [([2, 3], True), ([-1, -2], True), ([6, 3], False), ([2, -5], False)])
def test_a_mean_is_over_axes_that_are_there(axes: list[int], taken: bool) -> None:
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=axes)
    view = View(helper.make_model(helper.make_graph([node], "g", [], [])))
    if taken:
        check_whole_map(view, node)
    else:
        with pytest.raises(UnsupportedNetwork, match="is over other axes than rows and columns$"):
            check_whole_map(view, node)
