"""The boards and their parts, from boards.toml and parts.toml, and whether what an engine needs fits them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from quant.base.errors import BadInput


@dataclass(frozen=True)
class Part:
    """What an FPGA has: see parts.toml."""

    name: str
    family: str
    logic: int
    flip_flops: int
    multipliers: int
    block_rams: int
    nextpnr: str = ""


@dataclass(frozen=True)
class Board:
    """A board: see boards.toml."""

    name: str
    title: str
    part: Part
    package: str
    speed: int
    platform: str
    revision: str
    clock_mhz: float
    baud: int
    sdram: str
    sdram_bits: int
    latency: int

    def memory(self, config: AcceleratorConfig) -> Memory:
        """The memory of the cycle model that stands for the board's SDRAM behind an engine's port.

        LiteDRAM's converter between a port and a narrower SDRAM takes each beat in a cycle of its own, and gives the
        SDRAM a command in each of those after it.  Row misses and refresh are hidden behind it for the most part.
        """
        commands = config.axi_bits // self.sdram_bits
        return Memory(self.latency, commands + 1 if commands > 1 else 1, shared=True)


@cache
def parts() -> dict[str, Part]:
    """All parts by name."""
    return {name: Part(name=name, **facts) for name, facts in _table("parts.toml").items()}


@cache
def boards() -> dict[str, Board]:
    """All boards by name."""
    return {
        name: Board(name=name, **{**facts, "part": parts()[facts["part"]]})
        for name, facts in _table("boards.toml").items()
    }


def board(name: str) -> Board:
    """A board by name.  Raises BadInput for another one."""
    if name not in boards():
        raise BadInput(f"no board {name!r:.80}; there are {', '.join(boards())}")
    return boards()[name]


def part(name: str) -> Part:
    """A part by name.  Raises BadInput for another one."""
    if name not in parts():
        raise BadInput(f"no part {name!r:.80}; there are {', '.join(parts())}")
    return parts()[name]


@dataclass(frozen=True)
class Needs:
    """What an engine takes of a part: see `Part`."""

    logic: int
    flip_flops: int
    multipliers: int
    block_rams: int

    def beyond(self, part: Part) -> list[str]:
        """What the part has too little of, in words; nothing where the engine fits by these counts."""
        names = {"logic": "logic", "flip_flops": "flip-flops", "multipliers": "multipliers", "block_rams": "block RAM"}
        needed = {words: (getattr(self, name), getattr(part, name)) for name, words in names.items()}
        return [f"{words} {mine} of {has}" for words, (mine, has) in needed.items() if mine > has]


def _table(name: str) -> dict[str, dict]:
    return tomllib.loads(Path(__file__).with_name(name).read_text())
