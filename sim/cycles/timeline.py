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
    `split`; they add up to `cycles`.  layer_read, layer_written: bytes, by instructions' layer, each with the
    fetch of its own instructions; they add up to BYTES_READ and BYTES_WRITTEN.
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


def layer_count(program: Program, layer: np.ndarray) -> int:
    """Layers of a program, those that only instructions name included."""
    return max(len(program.layers), int(layer.max(initial=-1)) + 1)
