"""The formats that there are, and which one is meant."""

from __future__ import annotations

import pytest

from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.weights import FORMATS, gateware_format, known_formats, weight_format
from quant.base.errors import BadInput


def test_numbers_mean_formats() -> None:
    assert [weight_format(weights.number) for weights in FORMATS] == list(FORMATS)
    assert len({weights.name for weights in FORMATS}) == len(FORMATS)
    with pytest.raises(BadInput, match="^no weight format has the number 15$"):
        weight_format(15)


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_the_gateware_multiplies_what_its_format_holds(config: AcceleratorConfig) -> None:
    assert gateware_format(config).bits == config.weight_bits


def test_only_engines_with_codebooks_know_indices() -> None:
    assert [weights.name for weights in known_formats(preset("small"))] == ["int8", "indices4", "indices2"]
    assert [weights.name for weights in known_formats(preset("small16"))] == ["int16"]
    assert [weights.name for weights in known_formats(preset("zynq-hp"))] == ["int8"]
