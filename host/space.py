"""Which engines there are for a part: arrays of multipliers, and buffers as deep as its block RAM allows.

Everything here is of a part and of configurations; what a network makes of them is measured elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from hw.board.catalogue import Needs, Part
from hw.contract.config import AcceleratorConfig, ConfigError
from hw.resources.blocks import block_rams
from hw.resources.model import needs

PORTS = (32, 64, 128, 256)
"""Bits of the memory port."""
LANES = tuple(1 << power for power in range(9))
DEPTHS = {
    "activation_depth": "activation",
    "weight_depth": "weight",
    "residual_depth": "residual",
    "partial_sum_depth": "partial sums",
    "output_depth": "output",
    "pool_depth": "pool",
    "pooled_depth": "pooled",
}
"""Depths that are chosen, and the buffer that each is of."""
LEAST_DEPTH = 64
"""No buffer is made less deep: the block RAM that it takes does not become less then."""
USABLE = 0.85
"""Of a part's logic and flip-flops: the rest is for the system around the engine, and for place and route."""
FACTORS = (2, 4)
"""By which one buffer becomes deeper at once, at the cost of others."""


@dataclass(frozen=True)
class Space:
    """The engines for a part.  name: theirs.  port: bits of the memory port, None for any.  clock_mhz: theirs."""

    name: str
    part: Part
    port: int | None = None

    def fits(self, config: AcceleratorConfig) -> bool:
        """Whether an engine fits, and a system around it."""
        return not self._lacks(needs(config, self.part.family))

    def _lacks(self, wanted: Needs) -> list[str]:
        """As of `Needs.beyond`."""
        logic, flip_flops = (int(USABLE * has) for has in (self.part.logic, self.part.flip_flops))
        return wanted.beyond(replace(self.part, logic=logic, flip_flops=flip_flops))

    def holds(self, config: AcceleratorConfig) -> bool:
        """Whether it is an engine of this space or could be: it fits, and has such a port."""
        return config.axi_bits in self.ports and self.fits(config)

    def arrays(self) -> list[tuple[int, int]]:
        """(N, M) of all arrays of which an engine fits, the largest first, of those as large the one with more N."""
        found = [
            (n, m)
            for n, m in product(LANES, LANES)
            if n <= m and any(self.engine(n, m, port) is not None for port in self.ports)
        ]
        return sorted(found, key=lambda array: (-array[0] * array[1], -array[0]))

    @property
    def ports(self) -> tuple[int, ...]:
        """Widths that the memory port may have."""
        return PORTS if self.port is None else (self.port,)

    def engine(self, ic_lanes: int, oc_lanes: int, port: int, tables: bool = True) -> AcceleratorConfig | None:
        """An engine of an array with buffers as deep as the defaults, or as there is room for; None where none fits.

        Blocks of zeros and codebooks are in it where they can be, as they are in presets.
        """
        for rich in (True, False):
            config = AcceleratorConfig(
                name=self.name, ic_lanes=ic_lanes, oc_lanes=oc_lanes, axi_bits=port, tables=tables,
                skip_blocks=rich, codebooks=rich,
            )  # fmt: skip
            found = self.cut(config, {}) if legal(config) else None
            if found is not None:
                return self.filled(found)
        return None

    def cut(self, config: AcceleratorConfig, losses: Mapping[str, float], kept: str = "") -> AcceleratorConfig | None:
        """A configuration with buffers halved until it fits; None where that does not help.

        losses: what a block RAM less of a buffer costs, by depth: the cheapest is halved first, and is twice as dear
        after that; without them the one that has most block RAM.  kept: a depth that stays.
        """
        price = dict(losses)
        if self._lacks(replace(needs(config, self.part.family), block_rams=0)):
            return None  # buffers that are less deep take no less of anything else
        while not self.fits(config):
            taken = block_rams(config)
            by_depth = {depth: taken[buffer] for depth, buffer in DEPTHS.items() if depth != kept}
            able = {}
            for depth in by_depth:
                less = changed(config, depth, 0.5)
                if less is not None and sum(block_rams(less).values()) < sum(taken.values()):
                    able[depth] = less
            if not able:
                return None
            least = min(able, key=lambda depth: (price.get(depth, 0.0), -by_depth[depth]))
            config = able[least]
            price[least] = 2 * price.get(least, 0.0)
        return config

    def filled(self, config: AcceleratorConfig) -> AcceleratorConfig:
        """The same with every buffer as deep as the block RAM that it takes allows."""
        for depth in DEPTHS:
            more = changed(config, depth, 2)
            while more is not None and block_rams(more) == block_rams(config) and self.fits(more):
                config, more = more, changed(more, depth, 2)
        return config

    def halved(self, config: AcceleratorConfig) -> dict[str, AcceleratorConfig]:
        """By depth the configuration with that alone halved, where it then takes less block RAM."""
        found = {}
        for depth in DEPTHS:
            less = changed(config, depth, 0.5)
            if less is not None and sum(block_rams(less).values()) < sum(block_rams(config).values()):
                found[depth] = less
        return found

    def exchanged(self, config: AcceleratorConfig, losses: Mapping[str, float]) -> Iterator[AcceleratorConfig]:
        """Configurations with one buffer deeper, and others cut for it where there is no room.  losses: as of `cut`."""
        seen = {config.hash}
        for depth, factor in product(DEPTHS, FACTORS):
            more = changed(config, depth, factor)
            fitting = None if more is None else self.cut(more, losses, depth)
            if fitting is not None and (full := self.filled(fitting)).hash not in seen:
                seen.add(full.hash)
                yield full


def legal(config: AcceleratorConfig) -> bool:
    """Whether it can be built at all."""
    try:
        return config.derived is not None
    except ConfigError:
        return False


def changed(config: AcceleratorConfig, depth: str, factor: float) -> AcceleratorConfig | None:
    """A configuration with one depth multiplied; None where that cannot be built."""
    value = int(getattr(config, depth) * factor)
    fields: dict[str, Any] = {depth: value}
    found = replace(config, **fields)
    return found if value >= LEAST_DEPTH and legal(found) else None
