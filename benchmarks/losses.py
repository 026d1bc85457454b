"""Where each layer's cycles beyond its roofline went, from the cycle model's account of a run.

Where both directions of the memory share a bus, what both ports have to do is the bus's, and LOAD says why it idles.
A layer's time begins when the layers before it are complete, and ends when it is.  That of array, read port, write port
and pool unit which has most to do for the layer is its bottleneck, and should work all that time.  A cycle in which it
does not has one cause; cycles in which it does are lost where they are more than the roofline, or another layer's.  So,
with nothing left over,

    cycles - roofline = idle cycles, by cause + surplus + others
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from host.report.roofline import Roofline, roofline
from hw.contract.isa import StoreInstruction, Target, Unit
from hw.contract.program import LayerEntry, Program
from hw.contract.registers import STALL_CAUSES
from sim.cycles import Timeline
from sim.cycles.bursts import store_bursts
from sim.cycles.traffic import Bursts, traffic

CAUSES = {
    "surplus": "the bottleneck's work beyond the roofline: of the array zeros of depthwise layers and lanes without a "
    "channel, of the read port bytes read again and instructions; of a layer without a roofline all its work",
    "others": "the bottleneck's work for later layers, less that for this one before its time began; negative where it "
    "was ahead",
    "instruction": "the next instruction is not in its unit's queue",
    "bandwidth": "the array waits for data, and they arrive at the speed of the memory",
    "latency": "data are asked for or sent, and the port has nothing to transfer",
    "load": "the unit waits for LOAD, which neither waits nor has anything under way",
    "compute": "the unit waits for COMPUTE",
    "pool": "the unit, or LOAD for it, waits for POOL",
    "store": "the unit, or LOAD for it, waits for STORE: results are stored before they are read again",
    "other": "between instructions: weights and parameters into the array, the way through the pipeline, the end",
}
"""What a cycle is lost to."""
_NAMES = tuple(CAUSES)
_WORK = {Unit.COMPUTE: "array", Unit.LOAD: "read port", Unit.STORE: "write port", Unit.POOL: "pool unit"}
"""What a unit keeps at work."""
_BUS = "bus"
"""What LOAD and STORE keep at work where they share it."""


class Account(NamedTuple):
    """A layer's cycles, its roofline, what had most to do for it, and the difference of cycles by cause."""

    layer: LayerEntry
    cycles: int
    roofline: Roofline
    bottleneck: str
    lost: dict[str, float]


def accounts(program: Program, timeline: Timeline) -> list[Account]:
    """One for each layer of the program, in order, for all images of a run."""
    own = _own(program, timeline)
    each = range(len(program.layers))
    units = [max((unit for unit in _WORK if unit in own), key=lambda unit: own[unit][k]) for k in each]
    idle, busy = _idle(program, timeline, units)
    found = []
    for layer, turns in program.turns:
        limit, mine = roofline(program.config, layer, timeline.memory), sum(int(own[units[k]][k]) for k in turns)
        unit = units[max(turns, key=lambda k: timeline.layer_cycles[k])]
        name = _BUS if timeline.memory.shared and unit == Unit.LOAD else _WORK[unit]
        lost = {"surplus": mine - limit.cycles, "others": int(busy[turns].sum()) - mine}
        lost |= {cause: int(cycles) for cause, cycles in zip(_NAMES[2:], idle[turns].sum(axis=0)[2:], strict=True)}
        found.append(Account(layer, int(timeline.layer_cycles[turns].sum()), limit, name, lost))
    return found


def _own(program: Program, timeline: Timeline) -> Mapping[Unit, np.ndarray]:
    """Cycles that each layer's instructions keep array, pool unit, read and write port, or bus, at work, whenever."""
    every, beat = timeline.memory.beat_every, program.config.derived.beat_bytes
    written = [
        every * sum(store_bursts(program.config, i))
        if isinstance(i, StoreInstruction) and i.target == Target.MEMORY
        else 0
        for i in program.decode()
    ]

    def by_layer(cycles: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        return np.bincount(timeline.layer[chosen], cycles, len(program.layers)).astype(np.int64)

    compute, pool = timeline.unit == Unit.COMPUTE, timeline.unit == Unit.POOL
    found = {
        Unit.LOAD: every * timeline.layer_read // beat,
        Unit.COMPUTE: by_layer(np.diff(timeline.passes)[:, 0], compute),
        Unit.POOL: by_layer((timeline.end - timeline.start)[pool], pool),
        Unit.STORE: by_layer(np.array(written, np.int64), np.full(len(written), True)),
    }
    if timeline.memory.shared:
        found[Unit.LOAD] += found.pop(Unit.STORE)
    return found


def _beats(bursts: Bursts, every: int) -> np.ndarray:
    """Spans of the cycles in which a port transfers: a beat takes those that end with its own."""
    return np.stack([bursts.last + 1 - every * bursts.beats, bursts.last + 1], 1)


def _idle(program: Program, timeline: Timeline, units: Sequence[Unit]) -> tuple[np.ndarray, np.ndarray]:
    """For each layer the idle cycles of its unit's work by cause, int64 (layers, causes), and those at work, (layers,).

    Time is cut wherever anything begins or ends; in the pieces between nothing changes.
    """
    reads, writes = (_beats(bursts, timeline.memory.beat_every) for bursts in traffic(program, timeline))
    underway = np.stack([timeline.start, timeline.end], 1)
    if timeline.memory.shared:
        reads = writes = np.concatenate([reads, writes])
    work = {
        Unit.LOAD: reads,
        Unit.COMPUTE: timeline.passes,
        Unit.POOL: underway[timeline.unit == Unit.POOL],
        Unit.STORE: writes,
    }
    complete = np.cumsum(timeline.layer_cycles)
    stalls = {unit: _stalls(timeline, unit) for unit in Unit}
    loads, stores = (underway[timeline.unit == unit] for unit in (Unit.LOAD, Unit.STORE))
    spans = [*work.values(), loads, stores, *(span for found in stalls.values() for span in found.values())]
    cuts = np.unique(np.concatenate([[0], complete, *(span.ravel() for span in spans)]))
    at, length = cuts[:-1], np.diff(cuts)
    layer = np.searchsorted(complete, at, side="right")

    def within(span: np.ndarray) -> np.ndarray:
        begun, ended = (np.searchsorted(np.sort(side), at, side="right") for side in span.T)
        return np.asarray(begun > ended)

    of_load = np.full(len(at), _NAMES.index("load"))
    for cause, span in stalls[Unit.LOAD].items():
        of_load[within(span)] = _NAMES.index(cause)
    of_load[within(loads)] = _NAMES.index("latency")
    of_load[within(work[Unit.LOAD])] = _NAMES.index("bandwidth")
    causes = np.full(len(at), _NAMES.index("other"))
    busy = np.zeros(len(at), bool)
    chosen = np.array(units, np.int64)[layer]
    for unit in Unit:
        here = chosen == unit
        mine = np.full(len(at), _NAMES.index("other"))
        if unit in (Unit.LOAD, Unit.STORE):
            mine[within(loads if unit == Unit.LOAD else stores)] = _NAMES.index("latency")
        for cause, span in stalls[unit].items():
            inside = within(span)
            mine[inside] = of_load[inside] if cause == "load" else _NAMES.index(cause)
        causes[here] = mine[here]
        busy[here] = within(work[unit])[here]
    layers, names = len(timeline.layer_cycles), len(_NAMES)
    idle = np.bincount((layer * names + causes)[~busy], length[~busy], layers * names)
    return idle.reshape(layers, names).astype(np.int64), np.bincount(layer, length * busy, layers).astype(np.int64)


def _stalls(timeline: Timeline, unit: Unit) -> dict[str, np.ndarray]:
    """The spans of cycles in which a unit waited with an instruction, by cause: one after the other, as it takes
    tokens."""
    mine = timeline.unit == unit
    stalls = timeline.stalls[mine]
    ends = timeline.ready[mine, None] + np.cumsum(stalls, 1)
    spans = np.stack([ends - stalls, ends], 2)
    return {cause: spans[stalls[:, k] > 0, k] for k, cause in enumerate(STALL_CAUSES) if cause != unit.name.lower()}
