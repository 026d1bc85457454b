"""Tables and flip-flops of an engine on an ECP5, linear in its output lanes: fitted to the presets that were placed.

placed.json has them as nextpnr counted them (docs/synthesis.md, "The clock": the last engine of which three were
placed).  They differ in input lanes and in the port, too, and yet a line through two of them meets the third.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from hw.contract.config import PRESETS, AcceleratorConfig

COUNTS = ("logic", "flip-flops")
"""TRELLIS_COMB, TRELLIS_FF."""
PLACED = Path(__file__).with_name("placed.json")


@cache
def placed() -> dict[str, dict[str, int]]:
    """Counts by preset."""
    held: dict[str, dict[str, int]] = json.loads(PLACED.read_text())
    return held


def fit(counts: Mapping[str, int]) -> tuple[float, float]:
    """What all engines have, and what an output lane adds; the relative errors' sum of squares is least.

    counts: by preset.
    """
    measured = np.array(list(counts.values()), float)
    rows = np.array([(1, PRESETS[name].oc_lanes) for name in counts], float)
    (engine, lane), *_ = np.linalg.lstsq(rows / measured[:, None], np.ones(len(measured)), rcond=None)
    return float(engine), float(lane)


@cache
def _fitted(count: str) -> tuple[float, float]:
    return fit({name: one[count] for name, one in placed().items()})


def estimate(config: AcceleratorConfig, count: str) -> int:
    """One of COUNTS."""
    engine, lane = _fitted(count)
    return round(engine + lane * config.oc_lanes)


def errors(count: str) -> dict[str, float]:
    """By preset what is fitted to all others says of it, over what was counted, less 1."""
    counts = {name: one[count] for name, one in placed().items()}
    found = {}
    for name in counts:
        engine, lane = fit({other: value for other, value in counts.items() if other != name})
        found[name] = (engine + lane * PRESETS[name].oc_lanes) / counts[name] - 1
    return found
