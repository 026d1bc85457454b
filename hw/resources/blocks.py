"""Multipliers and block RAMs of an engine, counted from its configuration.

Every memory of an engine that is in block RAM, as its block makes it: the width that it is read and written by, and
its words.  Tests hold the list to the Verilog, and the counts to what synthesis made of many configurations.
"""

from __future__ import annotations

from dataclasses import dataclass

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Unit
from hw.contract.table import TABLE_PORT_BITS
from hw.contract.timing import table_cycles
from hw.gateware.array import products
from hw.gateware.queue import queue_bits
from hw.gateware.table import TABLE_SETS

AVERAGE_MULTIPLIERS = 4
"""Of the division of averages: two halves of a sum by a factor that is wider than a multiplier."""
PIXEL_MULTIPLIERS = 2
"""One each for the pixels of a CONV and of a POOL."""
LISTED_MULTIPLIERS = 2
"""Of the address of a listed block: its group and its row."""
BLOCK_RAM_BITS = 16384
"""Of a DP16KD where words have 1, 2 or 4 bits; wider ones have a ninth bit for each eight."""
BLOCK_RAM_WIDTHS = (1, 2, 4, 9, 18, 36)


@dataclass(frozen=True)
class Memory:
    """Memories that are alike.  width: in bits.  number: how many there are."""

    name: str
    width: int
    words: int
    number: int = 1


def memories(config: AcceleratorConfig) -> list[Memory]:
    """All memories of an engine that are in block RAM, by the buffer that they make up."""
    c, d = config, config.derived
    beat, word, wide = c.axi_bits, c.ic_lanes * c.data_bits, c.oc_lanes * c.data_bits
    narrow, together, parts = min(beat, word), d.words_per_beat, d.beats_per_word
    queues = [Memory("queues", queue_bits(unit), c.queue_depth) for unit in Unit]
    tables = [Memory("tables", TABLE_PORT_BITS, TABLE_SETS * table_cycles(c), c.oc_lanes)] if c.tables else []
    return [
        Memory("activation", narrow, c.activation_depth // d.banks, d.banks * parts),
        Memory("weight", beat, c.weight_depth),
        Memory("residual", narrow, c.residual_depth // together, d.planes * max(together, parts)),
        Memory("partial sums", c.acc_bits * c.oc_lanes, c.partial_sum_depth, 2 if c.packed else 1),
        Memory("output", wide, c.output_depth // together, together),
        Memory("pool", wide, c.pool_depth),
        Memory("pooled", wide, c.pooled_depth // together, together),
        *tables,
        *queues,
    ]


def cells_of(memory: Memory) -> int:
    """DP16KD that one of these memories takes: of the widths that a cell can have, the one that takes the fewest."""
    found = []
    for width in BLOCK_RAM_WIDTHS:
        words = BLOCK_RAM_BITS // (width if width < 9 else width * 8 // 9)
        found.append(-(-memory.width // width) * -(-memory.words // words))
    return min(found)


def block_rams(config: AcceleratorConfig) -> dict[str, int]:
    """DP16KD by buffer."""
    found: dict[str, int] = {}
    for memory in memories(config):
        found[memory.name] = found.get(memory.name, 0) + memory.number * cells_of(memory)
    return found


def multipliers(config: AcceleratorConfig) -> dict[str, int]:
    """MULT18X18D by what they are for, as `benchmarks/synthesis.py` calls that."""
    return {
        "array": products(config),
        "residuals": config.oc_lanes,
        "average": AVERAGE_MULTIPLIERS,
        "other": PIXEL_MULTIPLIERS + LISTED_MULTIPLIERS * config.skip_blocks,
    }
