"""The weight buffer's reader: what is read when, and where it goes."""

from hw.contract.config import AcceleratorConfig
from hw.contract.weights import gateware_format
from hw.gateware.weight_reader import WeightReader
from tests.hw.gateware.helpers.simulate import Bench, simulate

CONFIG = AcceleratorConfig("reader", 8, 8, 64, weight_depth=32)
PARAMETER_BEATS = CONFIG.derived.parameter_beats
BLOCK_BEATS = gateware_format(CONFIG).block_beats(CONFIG)
CONTENT = [0x0101010101010101 * (address + 1) for address in range(CONFIG.weight_depth)]
BASE = CONFIG.weight_depth - 3
"""Reading wraps around at the buffer's end."""


async def fill(context: Bench, block: WeightReader) -> None:
    context.set(block.write.enable, 1)
    for address, beat in enumerate(CONTENT):
        context.set(block.write.address, address)
        context.set(block.write.data, beat)
        await context.tick()
    context.set(block.write.enable, 0)


async def shifted(context: Bench, block: WeightReader, cycles: int) -> tuple[list[int], list[int]]:
    """The beats that the array is to shift in in these cycles, and the cycles with `last_read`."""
    beats, last = [], []
    for cycle in range(cycles):
        if context.get(block.shift):
            beats.append(CONTENT.index(int(context.get(block.beat))))
        if context.get(block.last_read):
            last.append(cycle)
        await context.tick()
    return beats, last


async def pulse(context: Bench, signal: object) -> None:
    context.set(signal, 1)
    await context.tick()
    context.set(signal, 0)


def places(start: int, count: int) -> list[int]:
    return [(BASE + start + k) % CONFIG.weight_depth for k in range(count)]


def test_parameters_then_blocks() -> None:
    block = WeightReader(CONFIG)

    async def bench(context: Bench) -> None:
        await fill(context, block)
        context.set(block.base, BASE)
        for with_parameters in (1, 0, 1):
            before = context.get(block.set)
            context.set(block.with_parameters, with_parameters)
            await pulse(context, block.start)
            ahead = PARAMETER_BEATS * with_parameters
            beats, last = await shifted(context, block, ahead + BLOCK_BEATS + 3)
            assert (beats, last) == (places(ahead, BLOCK_BEATS), [ahead + BLOCK_BEATS - 1])
            which = int(context.get(block.set))
            assert which == before ^ with_parameters
            if with_parameters:  # a beat holds a lane's parameters, all bytes of it alike
                lanes = context.get(block.sets)[which]
                for lane, address in enumerate(places(0, CONFIG.oc_lanes)):
                    assert lanes[lane].bias == CONTENT[address] & 0xFFFFFFFF
            await pulse(context, block.more)
            beats, _ = await shifted(context, block, BLOCK_BEATS + 3)
            assert beats == places(ahead + BLOCK_BEATS, BLOCK_BEATS)

    simulate(block, bench)


def test_what_is_read_next_follows_without_a_gap() -> None:
    block = WeightReader(CONFIG)

    async def bench(context: Bench) -> None:
        await fill(context, block)
        context.set(block.base, 0)
        await pulse(context, block.start)
        shifts = []
        for cycle in range(3 * BLOCK_BEATS + 1):
            context.set(block.more, cycle in (BLOCK_BEATS - 1, 2 * BLOCK_BEATS - 1))  # in the cycle of `last_read`
            shifts.append(int(context.get(block.shift)))
            await context.tick()
        assert shifts == [0] + [1] * 3 * BLOCK_BEATS

    simulate(block, bench)


def test_a_stop_reads_nothing_more() -> None:
    block = WeightReader(CONFIG)

    async def bench(context: Bench) -> None:
        await fill(context, block)
        context.set(block.with_parameters, 1)
        await pulse(context, block.start)
        await pulse(context, block.stop)
        beats, last = await shifted(context, block, PARAMETER_BEATS + BLOCK_BEATS + 3)
        assert (beats, last) == ([], [])

    simulate(block, bench)
