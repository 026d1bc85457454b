"""The picture of a scan: a row a layer, a colour a rate."""

from __future__ import annotations

from host.report.sensitivity import picture
from quant.compress import RATES, Sensitivity


def test_every_layer_and_rate_is_named() -> None:
    noise = tuple(10.0**-n for n in range(len(RATES)))
    found = picture([Sensitivity("first", 9, noise), Sensitivity("second", 8, (0.0,) * len(RATES))])
    assert found.startswith("<svg")
    for text in ("first", "second", *(f"{rate:.0%} pruned" for rate in RATES)):
        assert f">{text}</text>" in found
    assert found == picture([Sensitivity("first", 9, noise), Sensitivity("second", 8, (0.0,) * len(RATES))])
