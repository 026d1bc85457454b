"""The formats that there are, and which one is meant."""

from __future__ import annotations

import pytest

from hw.contract.config import PRESETS, AcceleratorConfig
from hw.contract.weights import FORMATS, WeightFormat, gateware_format, narrowest, weight_format
from quant.base.errors import BadInput

ALL = pytest.mark.parametrize("weights", FORMATS, ids=lambda weights: weights.name)


@ALL
def test_the_narrowest_that_holds_them(weights: WeightFormat) -> None:
    assert narrowest(FORMATS, weights.bits) is weights
    assert narrowest((weights,), 1) is weights
    assert narrowest(FORMATS, 33) is None


def test_numbers_mean_formats() -> None:
    assert [weight_format(weights.number) for weights in FORMATS] == list(FORMATS)
    assert len({weights.name for weights in FORMATS}) == len(FORMATS)
    with pytest.raises(BadInput, match="^no weight format has the number 15$"):
        weight_format(15)


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_the_gateware_multiplies_what_its_format_holds(config: AcceleratorConfig) -> None:
    assert gateware_format(config).bits == config.weight_bits
