"""The picture of a search for an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from host.artefacts import read_json
from host.engine_search import Engine
from host.report.frames import picture
from hw.board import catalogue
from hw.contract.config import AcceleratorConfig, preset
from hw.resources.model import needs

DOCUMENTS = Path(__file__).parents[3] / "docs"


def engine(kept: dict[str, Any]) -> Engine:
    """As `Engine.to_json` left it, with what it takes of a part by today's estimate."""
    config = AcceleratorConfig.from_json(kept["config"])
    return Engine(config, kept["clock_mhz"], kept["cycles"], kept["bytes_moved"], needs(config, "ecp5"))


def test_presets_are_named_and_the_same_search_gives_the_same_picture() -> None:
    engines = [Engine(preset(name), 50.0, cycles, 1, needs(preset(name), "ecp5")) for name, cycles in
               (("tiny", 4000), ("small", 1000), ("medium", 600))]  # fmt: skip
    text = picture(engines, engines[:2], {"small": engines[1]}, engines[2], "LFE5U-85F")
    assert text.startswith("<svg")
    assert text == picture(engines, engines[:2], {"small": engines[1]}, engines[2], "LFE5U-85F")
    assert ">small<" in text and ">tiny<" not in text and "LFE5U-85F" in text
    assert all(f">{word}<" in text for word in ("engines measured", "no other is faster", "presets", "written"))


def test_the_picture_of_the_document_is_of_todays_estimates() -> None:
    kept = read_json(DOCUMENTS / "explore.json")
    presets = {name: engine(one) for name, one in kept["presets"].items()}
    front, measured = ([engine(one) for one in kept[name]] for name in ("front", "measured"))
    part = catalogue.board("ulx3s-85").part.name
    drawn = picture([*presets.values(), *measured], front, presets, engine(kept["best"]), part)
    assert drawn == (DOCUMENTS / "explore.svg").read_text(), "make it again by the command that docs/explore.md names"
