"""What test_memory.py runs: random writes and reads of all memories, at every cycle."""

from __future__ import annotations

import random

import cocotb

from hw.contract.config import PRESETS, AcceleratorConfig
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.cycles import Cycles

WORDS = settings()["words"]


class Plain:
    """A `DualPort`: contents by address."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.width = 24
        self.writes = self.reads = WORDS
        self.planes = 1
        self.strobes = 1
        self.contents: dict[tuple[int, int], int] = {}

    def written(self, address: int) -> list[tuple[int, int]]:
        """Cells of a write; each of them holds a byte, or all that is read together."""
        return [(address, 0)]

    def read(self, address: int, plane: int) -> list[tuple[int, int]]:
        return [(address, 0)]

    cell_bits = 24


class Banked(Plain):
    """A memory of words of channels: a cell is one channel of one word."""

    cell_bits = 8

    def __init__(self, name: str, config: AcceleratorConfig, to_beat: bool) -> None:
        super().__init__(name)
        self.d, self.n, self.m, self.to_beat = config.derived, config.ic_lanes, config.oc_lanes, to_beat
        beats = WORDS * self.d.beats_per_word // self.d.words_per_beat
        self.writes, self.reads = (WORDS, beats) if to_beat else (beats, WORDS)
        self.planes = self.d.planes if to_beat else 1
        self.width = 8 * (self.m if to_beat else self.d.beat_bytes)
        self.strobes = 1 if to_beat else self.d.words_per_beat

    def word(self, word: int, channels: range) -> list[tuple[int, int]]:
        return [(word, channel) for channel in channels]

    def beat(self, beat: int, plane: int) -> list[tuple[int, int]]:
        first = beat * self.d.beat_bytes
        places = [divmod(byte, self.n) for byte in range(first, first + self.d.beat_bytes)]
        return [(word, plane * self.n + channel) for word, channel in places]

    def written(self, address: int) -> list[tuple[int, int]]:
        return self.word(address, range(self.m)) if self.to_beat else self.beat(address, 0)

    def read(self, address: int, plane: int) -> list[tuple[int, int]]:
        return self.beat(address, plane) if self.to_beat else self.word(address, range(self.n))


@cocotb.test()
async def random_accesses(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    memories = [Plain("plain")]
    for name in ("tiny", "medium", "large"):
        memories.append(Banked(f"{name}_to_word", PRESETS[name], False))
        memories.append(Banked(f"{name}_to_beat", PRESETS[name], True))
    bench = Cycles(dut)
    await bench.reset()
    # What is read, by memory, when known: in the memory's own output, and in the register behind, which is seen.
    found: dict[str, tuple[str, int]] = {}
    seen: dict[str, tuple[str, int]] = {}
    for _ in range(1500):
        checks, found_before = dict(seen), found
        found = {}
        for memory in memories:
            write, address, plane = rng.random() < 0.7, rng.randrange(memory.writes), rng.randrange(memory.planes)
            data = rng.getrandbits(memory.width)
            strobe = rng.getrandbits(memory.strobes) if memory.strobes > 1 else 1
            fresh = memory.written(address) if write else []
            each = len(fresh) // memory.strobes
            kept = [bool(strobe >> i // each & 1) for i in range(len(fresh))]
            inputs = {"write__enable": write, "write__address": address, "write__data": data}
            if memory.strobes > 1:
                inputs["write__strobe"] = strobe
            read_address = rng.randrange(memory.reads)
            cells = memory.read(read_address, plane)
            inputs["read_address"] = read_address
            if memory.planes > 1:
                inputs["read_plane"] = plane
            taken = True
            if type(memory) is Plain:
                inputs["take"] = taken = rng.random() < 0.7
            bench.set(**{f"{memory.name}__{key}": value for key, value in inputs.items()})
            if taken:
                seen.pop(memory.name, None)
                if memory.name in found_before:
                    seen[memory.name] = found_before[memory.name]
            if all(cell in memory.contents for cell in cells) and not set(cells) & set(fresh):
                value = sum(memory.contents[cell] << memory.cell_bits * i for i, cell in enumerate(cells))
                found[memory.name] = (f"{memory.name} at {read_address}, plane {plane}", value)
            for i, cell in enumerate(fresh):
                if kept[i]:
                    memory.contents[cell] = data >> memory.cell_bits * i & (1 << memory.cell_bits) - 1
        await bench.settle()
        for name, (what, value) in checks.items():
            bench.expect(what, value, bench.get(f"{name}__read_data"))
        await bench.clock()
