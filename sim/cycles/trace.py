"""A run's memory trace as DRAMsim3 reads it: a transaction a line, `0xADDRESS READ|WRITE CYCLE`.

The form is that of DRAMsim3's trace front end (S. Li et al., "DRAMsim3: A Cycle-Accurate, Thermal-Capable DRAM
Simulator", IEEE CAL 2020; `dramsim3main CONFIG.ini -t FILE`): hexadecimal address, direction, decimal cycle.  A
transaction there moves what the memory moves at once (bus width times burst length: 64 bytes of a DIMM), so that each
of the engine's bursts becomes one for each such block it touches, all at the cycle in which its address was taken.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from hw.contract.program import Program
from sim.cycles.timeline import Timeline
from sim.cycles.traffic import traffic

TRANSACTION_BYTES = 64
"""What a transaction moves, if nothing else is said."""
_AT_ONCE = 1 << 12  # bursts between two writes to the file


def write_trace(file: BinaryIO, program: Program, timeline: Timeline, size: int = TRANSACTION_BYTES) -> None:
    """Write the trace of the run of a program that `simulate` made a timeline of.

    Addresses count from the start of the memory window, cycles from the first in which STATUS.busy is 1.  In a cycle
    with two addresses the read comes first.  size: bytes of a transaction, a power of two.
    """
    reads, writes = traffic(program, timeline)
    asked = np.concatenate([reads.asked, writes.asked])
    first = np.concatenate([reads.address, writes.address])
    end = first + np.concatenate([reads.beats, writes.beats]) * program.config.derived.beat_bytes
    order = np.argsort(asked, kind="stable")
    is_write = order >= len(reads.asked)
    table = np.stack([asked[order], first[order] // size * size, end[order], is_write], axis=1)
    for k in range(0, len(table), _AT_ONCE):
        lines = [
            f"0x{at:X} {'WRITE' if write else 'READ'} {cycle}\n"
            for cycle, low, high, write in table[k : k + _AT_ONCE].tolist()
            for at in range(low, high, size)
        ]
        file.write("".join(lines).encode())
