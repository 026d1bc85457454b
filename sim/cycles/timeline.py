"""What the cycle model says of a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.contract.isa import Unit
from hw.contract.memory import Memory
from hw.contract.program import Program


@dataclass(frozen=True, eq=False)
class Timeline:
    """The course of one run.  Cycles count from the first one in which STATUS.busy is 1.

    memory: what it ran on.  cycles: of the run, as the register CYCLES.
    counters: every counter of the engine by the name of its register.
    One entry for each instruction, in program order, all int64:
    unit, layer: as the instruction says.  dispatched: cycle in which it moved to its unit's queue.  ready:
    the first cycle in which its unit could have started it.  start: cycle in which it left the queue.
    end: cycle in which it was done.  stalls: (instructions, causes), cycles from `ready` to `start` by cause,
    in the order of registers.STALL_CAUSES.
    One entry for each layer:
    layer_cycles: cycles from the completion of the layers before to the completion of this one, as in
    `split`, and `share` where layers take turns; they add up to `cycles`.  layer_read, layer_written: bytes, by
    instructions' layer, each with the fetch of its own instructions; they add up to BYTES_READ and BYTES_WRITTEN.
    One entry for each burst, in the order of addresses on the port (`sim/cycles/traffic.py` says what they move):
    reads, writes: (bursts, 2), cycle of the address's handshake and of the last beat's.  fetches: which of the reads
    are of instructions, ascending.
    passes: (instructions of COMPUTE, 2), the cycles in which the array multiplies, from and up to (not included);
    none in those of a SETUP.
    """

    memory: Memory
    cycles: int
    counters: dict[str, int]
    unit: np.ndarray
    layer: np.ndarray
    dispatched: np.ndarray
    ready: np.ndarray
    start: np.ndarray
    end: np.ndarray
    stalls: np.ndarray
    layer_cycles: np.ndarray
    layer_read: np.ndarray
    layer_written: np.ndarray
    reads: np.ndarray
    writes: np.ndarray
    fetches: np.ndarray
    passes: np.ndarray

    @property
    def busy(self) -> dict[Unit, int]:
        """Cycles in which each unit had work under way."""
        return {unit: self.counters[f"BUSY_{unit.name}"] for unit in Unit}

    def stall(self, unit: Unit, cause: str) -> int:
        """Cycles in which a unit could have started and waited for a cause of registers.STALL_CAUSES."""
        return self.counters.get(f"STALL_{unit.name}_{cause.upper()}", 0)


def split(end: np.ndarray, layer: np.ndarray, layers: int, cycles: int) -> np.ndarray:
    """The cycles of a run, divided among its layers: int64 (layers,), sum = cycles.

    A layer is complete in the cycle after its last instruction is done, and not before the layers in front of
    it are.  Its share is the time from their completion to its own; the last one's goes on to the end.
    end, layer: int64 (instructions,).  A layer without instructions gets 0.
    """
    complete = np.zeros(layers, np.int64)
    np.maximum.at(complete, layer, end + 1)
    complete = np.maximum.accumulate(complete)
    if layers:
        complete[-1] = cycles
    return np.diff(complete, prepend=0)


def share(cycles: np.ndarray, layer: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """The cycles of layers, int64 (layers,), where some take turns shared anew: int64 (layers,), the same sum.

    Layers that run band by band are complete one right after the other, and the first would have all that they take
    together.  Each gets its part of the cycles in which the array multiplies.
    layer, taken: int64 (instructions of COMPUTE,), in order, and how long the array multiplies for each.
    """
    shared, multiplied = cycles.copy(), np.zeros(len(cycles), np.int64)
    np.add.at(multiplied, layer, taken)
    for first, last in _turns(layer):
        own = multiplied[first : last + 1]
        if own.any():
            edges = np.cumsum(own) * int(cycles[first : last + 1].sum()) // int(own.sum())
            shared[first : last + 1] = np.diff(edges, prepend=0)
    return shared


def _turns(layer: np.ndarray) -> list[tuple[int, int]]:
    """First and last of layers that take turns: one goes on after a later one began."""
    found: list[list[int]] = []
    numbers, firsts = np.unique(layer, return_index=True)
    lasts = len(layer) - 1 - np.unique(layer[::-1], return_index=True)[1]
    behind = -1
    for number, first, last in zip(numbers, firsts, lasts, strict=True):
        if first < behind:
            found[-1][1] = int(number)
        else:
            found.append([int(number), int(number)])
        behind = max(behind, int(last))
    return [(first, last) for first, last in found if first < last]


def layer_count(program: Program, layer: np.ndarray) -> int:
    """Layers of a program, those that only instructions name included."""
    return max(len(program.layers), int(layer.max(initial=-1)) + 1)
