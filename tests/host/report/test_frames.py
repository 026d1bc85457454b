"""The picture of a search for an engine."""

from __future__ import annotations

from host.engine_search import Engine
from host.report.frames import picture
from hw.contract.config import preset
from hw.resources.model import needs


def test_presets_are_named_and_the_same_search_gives_the_same_picture() -> None:
    engines = [Engine(preset(name), 50.0, cycles, 1, needs(preset(name), "ecp5")) for name, cycles in
               (("tiny", 4000), ("small", 1000), ("medium", 600))]  # fmt: skip
    text = picture(engines, engines[:2], {"small": engines[1]}, engines[2], "LFE5U-85F")
    assert text.startswith("<svg")
    assert text == picture(engines, engines[:2], {"small": engines[1]}, engines[2], "LFE5U-85F")
    assert ">small<" in text and ">tiny<" not in text and "LFE5U-85F" in text
    assert all(f">{word}<" in text for word in ("engines measured", "no other is faster", "presets", "written"))
