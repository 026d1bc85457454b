"""Which configurations are measured in a search for the fastest engine, and which of them are worth having."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from host.space import Space
from hw.board.catalogue import Needs
from hw.contract.config import AcceleratorConfig
from hw.resources.blocks import block_rams

SMALLEST = 8
"""Arrays are looked at down to the largest one's multipliers by this."""
CLIMBED = 2
"""Arrays whose buffers are exchanged."""
GAIN = 0.002
"""Share of cycles that an exchange must save for another round of them."""


@dataclass(frozen=True)
class Engine:
    """An engine that was measured.

    clock_mhz: at which it runs.  cycles, bytes_moved: of an image.  needs: of the part.
    """

    config: AcceleratorConfig
    clock_mhz: float
    cycles: int
    bytes_moved: int
    needs: Needs

    @property
    def frames_per_second(self) -> float:
        """One image after the other."""
        return 1e6 * self.clock_mhz / self.cycles

    def row(self) -> dict[str, Any]:
        """Of a table."""
        c = self.config
        return {
            "array": f"{c.ic_lanes} x {c.oc_lanes}",
            "port": c.axi_bits,
            "frames/s": round(self.frames_per_second, 3),
            "MHz": self.clock_mhz,
            "cycles": self.cycles,
            "bytes moved": self.bytes_moved,
            "logic": self.needs.logic,
            "multipliers": self.needs.multipliers,
            "block RAM": self.needs.block_rams,
        }

    def to_json(self) -> dict[str, Any]:
        """Field by field, as JSON values."""
        return {
            "config": self.config.to_json(),
            "clock_mhz": self.clock_mhz,
            "frames_per_second": self.frames_per_second,
            "cycles": self.cycles,
            "bytes_moved": self.bytes_moved,
            "needs": asdict(self.needs),
        }


def front(engines: Sequence[Engine]) -> list[Engine]:
    """Those that no other beats in frames a second with as little logic; the least logic first."""
    found: list[Engine] = []
    for engine in sorted(engines, key=lambda one: (one.needs.logic, time_of(one), one.config.hash)):
        if not found or engine.frames_per_second > found[-1].frames_per_second:
            found.append(engine)
    return found


Measure = Callable[[Sequence[AcceleratorConfig]], list[Engine | None]]
"""Engines of configurations; None for one that cannot run the network."""


class Search:
    """Which configurations are measured.

    First engines of each array, the largest with each width of the port; then, of the CLIMBED fastest arrays, each
    buffer is halved alone, which says what a block RAM less of it costs, and buffers become deeper at the cost of those
    for which it costs least, as long as that pays.  The same measurements give the same search.

    space: of the part.  measure: see `Measure`.  tables: whether the network needs them.  most: engines measured.
    """

    def __init__(self, space: Space, measure: Measure, tables: bool, most: int) -> None:
        self.space, self.tables, self.most = space, tables, most
        self._measure = measure
        self._found: dict[str, Engine | None] = {}

    @property
    def engines(self) -> list[Engine]:
        """Those that were measured and run the network."""
        return [engine for engine in self._found.values() if engine is not None]

    def measured(self, configs: Sequence[AcceleratorConfig]) -> list[Engine]:
        """Engines of configurations that run the network; of those above the bound the last are left out."""
        wanted = list({config.hash: config for config in configs if config.hash not in self._found}.values())
        wanted = wanted[: max(0, self.most - len(self._found))]
        for config, engine in zip(wanted, self._measure(wanted) if wanted else [], strict=True):
            self._found[config.hash] = engine
        return [engine for config in configs if (engine := self._found.get(config.hash)) is not None]

    def run(self) -> None:
        """Measure them all."""
        arrays = self.space.arrays()
        if not arrays:
            return
        most = arrays[0][0] * arrays[0][1]
        largest = [array for array in arrays if array[0] * array[1] == most]
        others = [array for array in arrays if most > array[0] * array[1] >= most / SMALLEST]
        begun = self.measured(self._engines(largest, self.space.ports))
        port = min(begun, key=time_of).config.axi_bits if begun else self.space.ports[-1]
        widths = sorted(self.space.ports, key=lambda width: (width > port, abs(width - port)))
        firsts = [self._engines([array], widths)[:1] for array in others]
        begun += self.measured([config for first in firsts for config in first])
        fastest: dict[tuple[int, int], Engine] = {}
        for engine in sorted(begun, key=time_of):
            fastest.setdefault((engine.config.ic_lanes, engine.config.oc_lanes), engine)
        for engine in list(fastest.values())[:CLIMBED]:
            self.climb(engine)

    def _engines(self, arrays: Sequence[tuple[int, int]], ports: Sequence[int]) -> list[AcceleratorConfig]:
        found = [self.space.engine(*array, port, self.tables) for array in arrays for port in ports]
        return [config for config in found if config is not None]

    def climb(self, engine: Engine) -> Engine:
        """The fastest that exchanges of buffers lead to."""
        while True:
            losses = self._losses(engine)
            tried = self.measured(list(self.space.exchanged(engine.config, losses)))
            best = min([engine, *tried], key=time_of)
            if time_of(best) > (1 - GAIN) * time_of(engine):
                return best
            engine = best

    def _losses(self, engine: Engine) -> Mapping[str, float]:
        """Time that a block RAM less of each buffer costs; what cannot be halved is not named."""
        halved = self.space.halved(engine.config)
        self.measured(list(halved.values()))
        before, found = sum(block_rams(engine.config).values()), {}
        for depth, config in halved.items():
            less = self._found.get(config.hash)
            freed = before - sum(block_rams(config).values())
            found[depth] = float("inf") if less is None else (time_of(less) - time_of(engine)) / freed
        return found


def time_of(engine: Engine) -> float:
    """Microseconds of an image."""
    return engine.cycles / engine.clock_mhz
