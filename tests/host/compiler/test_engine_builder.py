"""How layers add to a builder."""

from __future__ import annotations

import numpy as np
import pytest

from host.compiler.engine_builder import EngineBuilder
from host.compiler.engine_layer import OutputPooling, View, unchanged
from host.compiler.errors import CannotCompile
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
    pooling = OutputPooling("layer1", net.tensors["t1"], "max", Window((2, 2), (2, 2)), (-128, 127), None)
    builder = EngineBuilder(net, CONFIG, {"t0": pooling}, {})
    builder.append_pooled(unchanged("layer0", "Conv", builder.source("x"), net.tensors["t0"], WEIGHTS))
    (layer,) = builder.lowered.layers
    assert layer.keep is keep and layer.pooling is pooling and builder.fused == {"t1"}
    assert ("t0" in builder.lowered.tensors) is keep and "t1" in builder.lowered.tensors


def test_the_input_is_read_through_a_view() -> None:
    builder = EngineBuilder(network(), CONFIG, {}, {})
    assert builder.source("t0") == "t0" and not builder.lowered.views
    assert builder.source("x") == "x" and builder.lowered.views == {"x": View("x")}
    assert builder.view("x again", "x") == "x again"
    assert builder.lowered.tensors["x again"].shape == network().tensors["x"].shape


def test_weights_that_no_format_holds_are_refused() -> None:
    with pytest.raises(CannotCompile, match=r"^layer conv: 16-bit weights, and .* does not hold them"):
        EngineBuilder(network(), CONFIG, {}, {}).weights("conv", 16)
