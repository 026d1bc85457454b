"""How layers add to a lowering."""

from __future__ import annotations

import numpy as np
import pytest

from host.compiler.engine_layer import Pooling, unchanged
from host.compiler.errors import CannotCompile
from host.compiler.lowering import Lowering
from hw.contract.config import preset
from hw.contract.weights import gateware_format
from quant.ir.network import Network
from quant.ir.window import Window
from tests.host.networks import Builder

CONFIG = preset("tiny")
WEIGHTS = gateware_format(CONFIG)


def network(outputs: tuple[str, ...] = (), again: bool = False) -> Network:
    b = Builder(np.random.default_rng(1), (4, 6, 6))
    b.pool(b.conv("x", 4), "max", Window((2, 2), (2, 2)))
    if again:
        b.conv("t0", 4)
    return b.network(*outputs)


@pytest.mark.parametrize(
    ("net", "keep"), [(network(), False), (network(("t0",)), True), (network(again=True), True)],
    ids=["only pooled", "an output", "read again"],
)  # fmt: skip
def test_results_that_only_a_pooling_reads_are_not_kept(net: Network, keep: bool) -> None:
    pooling = Pooling("layer1", net.tensors["t1"], "max", Window((2, 2), (2, 2)), (-128, 127), None)
    lowering = Lowering(net, CONFIG, {"t0": pooling}, (WEIGHTS,))
    lowering.append_pooled(unchanged("layer0", "Conv", lowering.source("x"), net.tensors["t0"], WEIGHTS))
    (layer,) = lowering.lowered.layers
    assert layer.keep is keep and layer.pooling is pooling and lowering.fused == {"t1"}
    assert ("t0" in lowering.lowered.tensors) is keep and "t1" in lowering.lowered.tensors


def test_the_input_is_read_through_a_view() -> None:
    lowering = Lowering(network(), CONFIG, {}, (WEIGHTS,))
    assert lowering.source("t0") == "t0" and not lowering.lowered.views
    assert lowering.source("x") == "x" and lowering.lowered.views == {"x": None}
    assert lowering.view("x again") == "x again"
    assert lowering.lowered.tensors["x again"].shape == network().tensors["x"].shape


def test_weights_that_no_format_holds_are_refused() -> None:
    with pytest.raises(CannotCompile, match=r"^layer conv: 16-bit weights, and .* does not hold them"):
        Lowering(network(), CONFIG, {}, (WEIGHTS,)).weights("conv", 16)
