"""Logic and flip-flops of an engine on an ECP5, linear in what it is made of: fitted to engines that were measured.

ecp5.json has them as nextpnr packs them into the cells of the part (`benchmarks/resources.py`): placement and routing
add none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hw.contract.config import AcceleratorConfig
from hw.gateware.array import products

COUNTS = {"logic": "TRELLIS_COMB", "flip-flops": "flip-flops"}
"""What is estimated, and what the measurements call it."""
KEPT = Path(__file__).with_name("ecp5.json")


PARTS: Mapping[str, Callable[[AcceleratorConfig], int]] = {
    "every engine": lambda c: 1,
    "an input lane, 8 bits": lambda c: c.ic_lanes * c.derived.lane_bytes,
    "an output lane": lambda c: c.oc_lanes,
    "an output lane of 16 bits, more": lambda c: c.oc_lanes * (c.derived.lane_bytes - 1),
    "a multiplier of the array": products,
    "a multiplier that takes two weights, more": lambda c: products(c) * c.packed,
    "a bit of the port": lambda c: c.axi_bits,
    "a bit of the port where there are codebooks, more": lambda c: c.axi_bits * c.codebooks,
}
"""What is counted of a configuration; each has as much logic, and as many flip-flops, wherever it is."""


def row(config: AcceleratorConfig) -> list[int]:
    """How many of each of PARTS."""
    return [of(config) for of in PARTS.values()]


def fit(rows: Sequence[Sequence[int]], counts: Sequence[float]) -> np.ndarray:
    """(PARTS,) float64, what one of each part takes; the relative errors' sum of squares is least.

    rows: of engines, as `row`.  counts: what they take.
    """
    measured = np.array(counts, np.float64)
    found, *_ = np.linalg.lstsq(np.array(rows, np.float64) / measured[:, None], np.ones(len(measured)), rcond=None)
    return found


@cache
def measured() -> tuple[tuple[AcceleratorConfig, dict[str, int]], ...]:
    """The engines that were measured, and their COUNTS."""
    held: list[dict[str, Any]] = json.loads(KEPT.read_text())["measured"]
    return tuple(
        (AcceleratorConfig.from_json(one["config"]), {name: one["cells"][cell] for name, cell in COUNTS.items()})
        for one in held
    )


@cache
def fitted(count: str) -> dict[str, float]:
    """What one of each of PARTS takes, of one of COUNTS."""
    rows, counts = [row(config) for config, _ in measured()], [found[count] for _, found in measured()]
    return dict(zip(PARTS, fit(rows, counts).tolist(), strict=True))


def estimate(config: AcceleratorConfig, count: str) -> int:
    """One of COUNTS."""
    return round(sum(take * number for take, number in zip(fitted(count).values(), row(config), strict=True)))


def errors(count: str) -> dict[AcceleratorConfig, float]:
    """By engine that was measured what is fitted to all others says of it, over what was counted, less 1.

    Engines that alone have one of PARTS are not in it: no other says what that takes.
    """
    rows, counts = [row(config) for config, _ in measured()], [found[count] for _, found in measured()]
    found = {}
    for i, (config, took) in enumerate(measured()):
        others = rows[:i] + rows[i + 1 :]
        if np.linalg.matrix_rank(np.array(others)) == len(PARTS):
            found[config] = float(fit(others, counts[:i] + counts[i + 1 :]) @ rows[i]) / took[count] - 1
    return found
