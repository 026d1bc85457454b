"""How full buffers are, against sets of words kept cycle by cycle."""

from __future__ import annotations

import numpy as np
import pytest

from hw.contract.config import preset
from hw.contract.isa import ConvInstruction, SetupInstruction
from hw.contract.memory import Memory
from hw.contract.program import Program
from sim.cycles import Timeline, simulate
from sim.cycles.occupancy import PARTIAL_SUMS, Occupancy, occupancy
from sim.hazards import pieces_of, touches
from tests.sim.handmade import CASES, build


def cycle_by_cycle(program: Program, timeline: Timeline) -> dict[str, np.ndarray]:
    """Pieces of each buffer occupied in each cycle: until the last instruction that writes or reads each ends."""
    writes: dict[tuple[str, int], list[list[int]]] = {}  # spans of each piece, in the order of its writers
    setup = None
    for k, instruction in enumerate(program.decode()):
        if isinstance(instruction, SetupInstruction):
            setup = instruction
        found = [(t.space, t.pieces.tolist(), t.writes) for t in touches(program.config, instruction, setup)]
        if isinstance(instruction, ConvInstruction):
            base, depth = instruction.partial_base, program.config.partial_sum_depth
            sums = [(base + p) % depth for p in range(instruction.out_rows * instruction.out_columns)]
            found.append((PARTIAL_SUMS, sums, bool(instruction.first)))
        for space, pieces, writing in found:
            for piece in pieces if space != "memory" else []:
                if writing:
                    writes.setdefault((space, piece), []).append([int(timeline.start[k]), int(timeline.end[k])])
                else:
                    writes[space, piece][-1][1] = int(timeline.end[k])
    occupied: dict[str, np.ndarray] = {}
    for (space, _), spans in writes.items():
        mine = np.zeros(timeline.cycles, bool)
        for start, end in spans:
            mine[start : end + 1] = True
        occupied[space] = occupied.get(space, np.zeros(timeline.cycles, np.int64)) + mine
    return occupied


def measured(name: str, config: str) -> tuple[dict[str, Occupancy], dict[str, np.ndarray], Program, np.ndarray]:
    program = build(preset(config), CASES[name]).program
    timeline = simulate(program, Memory(20, 2))
    edges = np.append(np.arange(0, timeline.cycles, 41), timeline.cycles)
    found = {buffer.buffer: buffer for buffer in occupancy(program, timeline, edges)}
    return found, cycle_by_cycle(program, timeline), program, edges


@pytest.mark.parametrize("name", ["tiles", "wide", "residual", "max_pool", "average_padded"])
@pytest.mark.parametrize("config", ["small", "medium"])
def test_cycle_by_cycle(name: str, config: str) -> None:
    found, expected, program, edges = measured(name, config)
    pieces = {**pieces_of(program.config), PARTIAL_SUMS: program.config.partial_sum_depth}
    assert list(found) == list(pieces) and set(expected) <= set(found)
    for buffer, seen in found.items():
        occupied = expected.get(buffer, np.zeros(edges[-1], np.int64))
        each = pieces[buffer] // seen.depth
        assert seen.peak == -(-int(occupied.max()) // each) <= seen.depth
        for low, high, mean in zip(edges[:-1].tolist(), edges[1:].tolist(), seen.mean.tolist(), strict=True):
            exact = occupied[low:high].mean() / each
            assert abs(mean - exact) <= 0.5, (buffer, low)


def test_unused_buffers_are_empty() -> None:
    found, _, program, _ = measured("pointwise", "small")
    assert {name for name, buffer in found.items() if not buffer.peak} == {"residual", "pool", "pooled"}
    assert found["activation"].peak == 25 and found["activation"].depth == program.config.activation_depth
