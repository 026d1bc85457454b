"""The quantizer's options: what can be seen to be wrong at once, and what a result depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from host.options import MemoryOptions
from host.quantization import QuantizeOptions, quantize
from host.terminal import Reporter
from hw.contract.config import preset
from quant import qdq
from quant.base.errors import BadInput
from quant.ir.target import Target
from quant.kinds.conv import convolution
from tests.host.onnx_networks import images, small_cnn

QUIET = Reporter(quiet=True)


@pytest.fixture
def asked(tmp_path: Path) -> QuantizeOptions:
    network, calibration = small_cnn(tmp_path / "net.onnx"), images(tmp_path / "images.npz")
    return QuantizeOptions(network=network, calibration=calibration, effort="fast")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_bits": 12}, "data can have 8 or 16 bits, not 12"),
        ({"weight_bits": 3}, "weights can have 4, 8 or 16 bits, not 3"),
        ({"weight_budget": 1, "cycle_budget": 1}, "one budget at a time: bytes of weights or cycles"),
        (
            {"published": True, "effort": "best"},
            "the published method has no effort: leave out --effort or --published",
        ),
        ({"layer_bits": ("fc",)}, "--layer-bits takes NAME=BITS, not 'fc'"),
    ],
)
def test_what_can_be_seen_to_be_wrong(asked: QuantizeOptions, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        replace(asked, **changes).check()
    assert str(caught.value) == message


def test_widths_of_single_layers(asked: QuantizeOptions, tmp_path: Path) -> None:
    options = replace(asked, layer_bits=("fc=4", "odd=name=16"))
    assert options.widths() == {"fc": 4, "odd=name": 16}
    quantize(replace(asked, layer_bits=("fc=4",)), tmp_path / "q.onnx", QUIET)
    found = {
        layer.name: conv.weight_bits for layer in qdq.load(tmp_path / "q.onnx").layers if (conv := convolution(layer))
    }
    assert found == {"conv": 8, "fc": 4}


def test_as_many_bits_as_the_engine_has(asked: QuantizeOptions, tmp_path: Path) -> None:
    """What is asked for comes first; without an engine it is 8."""
    wide = replace(asked, config=preset("small16"))
    assert asked.bits == replace(asked, config=preset("small")).bits == (8, 8)
    assert wide.bits == (16, 16) and replace(wide, data_bits=8, weight_bits=4).bits == (8, 4)
    quantize(wide, tmp_path / "q.onnx", QUIET)
    network = qdq.load(tmp_path / "q.onnx")
    assert {tensor.fmt.bits for tensor in network.tensors.values()} == {16}
    assert {conv.weight_bits for layer in network.layers if (conv := convolution(layer))} == {16}


def test_the_target_is_the_engine_that_was_named(asked: QuantizeOptions) -> None:
    assert asked.target == Target()
    wide = replace(preset("tiny"), acc_bits=48)
    assert replace(asked, config=wide).target.acc_bits == 48
    counted = [replace(asked, config=wide, memory=MemoryOptions(latency=n)).target.cycles for n in (1, 200)]
    assert None not in counted


def test_a_budget_of_cycles_needs_an_engine(asked: QuantizeOptions, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a budget of cycles needs a configuration of the engine: --config"):
        quantize(replace(asked, cycle_budget=900), tmp_path / "q.onnx", QUIET)
    assert not (tmp_path / "q.onnx").exists()
