"""Multipliers and block RAMs by formula, against the Verilog and against what synthesis made of it."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks import resources, synthesis
from hw import verilog
from hw.contract.config import AcceleratorConfig
from hw.resources.blocks import Memory, block_rams, cells_of, memories, multipliers

KEPT = resources.kept()
ENGINES = {
    "several words a beat": AcceleratorConfig("a", 2, 4, 64, output_depth=1024),
    "packed": AcceleratorConfig("c", 4, 8, 64, packed=True),
    "several beats a word": AcceleratorConfig("b", 8, 8, 32, tables=False, activation_depth=4096),
}


@pytest.mark.parametrize("config", ENGINES.values(), ids=ENGINES)
def test_the_memories_are_those_of_the_verilog(config: AcceleratorConfig) -> None:
    places = {**synthesis.BUFFERS, **synthesis.OTHERS}
    in_verilog = Counter(
        (buffer, width, words)
        for path, words, width in synthesis.memories_of(verilog.contents(config)["engine.v"])
        for buffer, prefix in places.items()
        if path.startswith(prefix)
    )
    counted: Counter[tuple[str, int, int]] = Counter()
    for memory in memories(config):
        counted[memory.name, memory.width, memory.words] += memory.number
    assert counted == in_verilog


def test_there_are_measurements() -> None:
    assert KEPT and {one["yosys"] for one in KEPT} == {"Yosys 0.70"}


@pytest.mark.parametrize("one", KEPT, ids=lambda one: AcceleratorConfig.from_json(one["config"]).hash[:8])
def test_counts_are_those_of_synthesis(one: resources.Measurement) -> None:
    config = AcceleratorConfig.from_json(one["config"])
    assert multipliers(config) == one["multipliers"]
    assert block_rams(config) == {buffer: count for buffer, count in one["block RAM"].items() if count}
    assert sum(multipliers(config).values()) == one["cells"]["multipliers"]
    assert sum(block_rams(config).values()) == one["cells"]["block RAM"]


@pytest.mark.parametrize(
    ("width", "words", "cells"),
    [(1, 16384, 1), (1, 16385, 2), (36, 512, 1), (37, 512, 2), (64, 2048, 8), (128, 512, 4), (246, 4, 7), (8, 2048, 1)],
)
def test_a_memory_takes_the_fewest_cells(width: int, words: int, cells: int) -> None:
    assert cells_of(Memory("m", width, words)) == cells
