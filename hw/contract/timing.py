"""Latencies and durations: the one place where time is defined.

The gateware builds its pipelines from these constants and its tests assert them; the cycle model
calls the same functions.  docs/architecture.md, "Timing", says what each event is.
All figures are cycles.
"""

from __future__ import annotations

from hw.contract.config import CODEBOOK_ENTRIES, SHORTEST_BLOCK, AcceleratorConfig
from hw.contract.depthwise import positions, slides
from hw.contract.isa import ConvInstruction, Mode, SetupInstruction
from hw.contract.table import TABLE_PORT_BITS
from hw.contract.weights import WeightFormat
from hw.contract.widths import BYTE_BITS

DISPATCH_LATENCY = 3
"""From the last beat of an instruction to the first cycle in which it can be dispatched: the beat, the fetch buffer,
its head."""
DISPATCH_INTERVAL = 2
"""From the dispatch of an instruction to the first cycle in which the next one can be: there is no head, the next
one."""
QUEUE_LATENCY = 4
"""From the dispatch of an instruction to the first cycle in which its unit can start it: the queue's memory, its
output, the head, the gate."""
QUEUE_INTERVAL = 3
"""From an instruction's start to the first cycle in which its unit can start the next one: there is no head, the next
head, the gate."""
FRONT_LATENCY = 1
"""From the first cycle in which a unit has a place for an instruction to the first one in which it can start it: the
place takes what the queue's head says, whether it starts or not."""
TOKEN_LATENCY = 2
"""From the end of an instruction to the first cycle in which one that waits for its token can start: the semaphore, the
gate."""
REQUEST_LATENCY = 2
"""From a LOAD's or STORE's start, or the acceptance of the burst that LOAD or the fetch asked for before, to the first
cycle in which the next one can be accepted: the burst, and whether it is in the window."""
STORE_REQUEST_INTERVAL = 3
"""From the acceptance of a burst of a STORE to the first cycle in which the next one can be accepted, if it is read by
then: the row, the burst, whether it is in the window."""
END_LATENCY = 3
"""From the end of the last instruction to the first cycle in which the engine is not busy: what is in flight, whether
anything is, the run's end."""
ACCUMULATE_LATENCY = 4
"""A partial sum must not be revisited sooner: read, add, write."""
COMPUTE_LATENCY = 17
"""From issuing the address of a pixel's last words to the cycle in which its result is written to a buffer, without
tables."""
TABLE_LATENCY = 3
"""What the look-up in a table adds to it, in an engine that has tables."""
SWAP_DELAY = 3
"""From a pass's first address to the cycle in which its weights are on their way to their place in the array, where
they meet its first words; then the next ones come to the shadow registers."""
CODEBOOK_CYCLES = CODEBOOK_ENTRIES + 1
"""In which a codebook is read, an entry a cycle, whatever a beat holds, and its last entry gets to its place."""
POOL_LATENCY = 5
"""From issuing a pixel's last tap to the cycle in which a maximum is written."""
AVERAGE_LATENCY = 16
"""The same for an average, on top of one cycle a lane."""
STORE_READ_LATENCY = 3
"""From issuing a beat's read to the cycle in which the write channel can offer it."""
STORE_WRITE_LATENCY = 2
"""From issuing a beat's read to the cycle in which it is written to a buffer on the chip."""
STORE_AHEAD = 8
"""Beats that STORE reads before they are transferred, at most: so many the write port's queue holds."""


def stores_in_flight(config: AcceleratorConfig) -> int:
    """STOREs in flight with which another one still starts: one for each burst that may wait for its response."""
    return config.write_outstanding


def pass_positions(setup: SetupInstruction, conv: ConvInstruction) -> int:
    """Positions of one pass of a CONV under its SETUP: its pixels, and what else a depthwise pass reads
    (hw/contract/depthwise.py)."""
    if setup.mode == Mode.DEPTHWISE and slides(setup.kernel_rows, setup.dilation_rows):
        return positions(conv.out_rows, conv.out_columns, setup.stride_rows, conv.meet)
    return conv.out_rows * conv.out_columns


def pass_cycles(
    config: AcceleratorConfig,
    weights: WeightFormat,
    positions: int,
    wide: bool = False,
    mode: int = Mode.DENSE,
    listed: bool = False,
) -> int:
    """Duration of one pass: a position a cycle (two when wide results leave), but no less than the next weight block
    takes into the array, nor than a partial sum takes to come round; if blocks are listed, with a beat of tags, and no
    less than it takes to find the next one's place."""
    each = 2 if wide else 1
    least = max(weights.block_cycles(config, mode), SHORTEST_BLOCK if listed else ACCUMULATE_LATENCY) + listed
    return max(each * positions, least)


def compute_latency(config: AcceleratorConfig) -> int:
    """From issuing a pixel's address to the cycle in which its result is written to a buffer."""
    return COMPUTE_LATENCY + (TABLE_LATENCY if config.tables else 0)


def table_cycles(config: AcceleratorConfig) -> int:
    """Cycles in which a SETUP that loads a table reads it, and nothing else starts."""
    return config.derived.table_bytes * BYTE_BITS // TABLE_PORT_BITS


def compute_prepare(
    config: AcceleratorConfig,
    weights: WeightFormat,
    first: bool,
    mode: int = Mode.DENSE,
    listed: bool = False,
    codebook: bool = False,
    second: bool = False,
) -> int:
    """From a CONV's start (it leaves the queue) to the first address it can issue.  The CONV of a second output group
    has no weight blocks."""
    ahead = (config.derived.parameter_beats if first else 0) + (CODEBOOK_CYCLES if codebook else 0)
    return ahead + listed + (0 if second else weights.block_cycles(config, mode)) + 2


def compute_passes(
    config: AcceleratorConfig,
    weights: WeightFormat,
    passes: int,
    positions: int,
    last: bool,
    wide: bool,
    mode: int = Mode.DENSE,
    listed: bool = False,
) -> tuple[int, int]:
    """(cycles before the last pass, cycles of the last pass).  Only a last pass with results is wide."""
    return (
        (passes - 1) * pass_cycles(config, weights, positions, mode=mode, listed=listed),
        pass_cycles(config, weights, positions, last and wide, mode, listed),
    )


def pool_pixel_cycles(config: AcceleratorConfig, taps: int, average: bool, wide: bool) -> int:
    """Cycles from one output pixel of a POOL to the next: a tap a cycle; an average is divided lane by lane."""
    return max(taps, 2 if wide else 1, config.oc_lanes if average else 1)


def pool_tail(config: AcceleratorConfig, average: bool) -> int:
    """From the end of a POOL's last pixel slot to the cycle that signals it is done."""
    return config.oc_lanes + AVERAGE_LATENCY if average else POOL_LATENCY
