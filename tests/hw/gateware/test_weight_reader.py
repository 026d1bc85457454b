"""The weight buffer's reader: what is read when, and where it goes."""

from dataclasses import replace

import pytest

from hw.contract.config import AcceleratorConfig
from hw.contract.timing import table_cycles
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
        if context.get(block.stored.shift):
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


def test_parameters_without_blocks() -> None:
    """Of a second output group: the last beat of the parameters is the last one that is read."""
    block = WeightReader(replace(CONFIG, packed=True))

    async def bench(context: Bench) -> None:
        await fill(context, block)
        context.set(block.base, BASE)
        context.set(block.with_parameters, 1)
        context.set(block.without_blocks, 1)
        await pulse(context, block.start)
        beats, last = await shifted(context, block, PARAMETER_BEATS + BLOCK_BEATS + 3)
        assert (beats, last) == ([], [PARAMETER_BEATS - 1])
        lanes = context.get(block.sets)[int(context.get(block.set))]
        for lane, address in enumerate(places(0, CONFIG.oc_lanes)):
            assert lanes[lane].bias == CONTENT[address] & 0xFFFFFFFF
        context.set(block.without_blocks, 0)
        await pulse(context, block.start)
        _, last = await shifted(context, block, PARAMETER_BEATS + BLOCK_BEATS + 3)
        assert last == [PARAMETER_BEATS + BLOCK_BEATS - 1]

    simulate(block, bench)


def test_what_is_read_next_follows_without_a_gap() -> None:
    block = WeightReader(CONFIG)

    async def bench(context: Bench) -> None:
        await fill(context, block)
        context.set(block.base, 0)
        await pulse(context, block.start)
        shifts = []
        for cycle in range(3 * BLOCK_BEATS + 2):
            context.set(block.more, cycle in (BLOCK_BEATS - 1, 2 * BLOCK_BEATS - 1))  # in the cycle of `last_read`
            shifts.append(int(context.get(block.stored.shift)))
            await context.tick()
        assert shifts == [0, 0] + [1] * 3 * BLOCK_BEATS

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


@pytest.mark.parametrize("axi_bits", [32, 64, 128])
@pytest.mark.parametrize("at_once", [False, True])
def test_tags_come_ahead_of_their_blocks(axi_bits: int, at_once: bool) -> None:
    """at_once: each `more` comes as early as it may, a beat more than a block has after the one before."""
    config = AcceleratorConfig("reader", 8, 8, axi_bits, weight_depth=256, skip_blocks=True)
    block, each = WeightReader(config), gateware_format(config).block_beats(config)
    per_beat, ahead = axi_bits // 16, config.derived.parameter_beats
    content = [sum((address * per_beat + k) << 16 * k for k in range(per_beat)) for address in range(256)]

    async def bench(context: Bench) -> None:
        context.set(block.write.enable, 1)
        for address, beat in enumerate(content):
            context.set(block.write.address, address)
            context.set(block.write.data, beat)
            await context.tick()
        context.set(block.write.enable, 0)
        context.set(block.listed, 1)
        before = 0
        for with_parameters in (1, 0):
            place = ahead * with_parameters
            context.set(block.with_parameters, with_parameters)
            for number in range(2 * per_beat + 2):
                tagged = number % per_beat == 0
                tags, place = (place, place + 1) if tagged else (tags, place)  # noqa: F821
                await pulse(context, block.more if number else block.start)
                skipped = (0 if number else ahead * with_parameters) + tagged
                late = 0 if at_once and number else 3
                length = each + late if number else skipped + each + late
                for cycle in range(length):
                    assert context.get(block.last_read) == (cycle == skipped + each - 1)
                    shifted = context.get(block.stored.shift)
                    assert shifted == (skipped + 2 <= cycle < skipped + each + 2 or cycle < before)
                    if shifted and cycle >= before:
                        assert context.get(block.beat) == content[place + cycle - skipped - 2]
                    if cycle >= skipped - tagged + (2 if number else 3):
                        assert context.get(block.tag.as_value()) == tags * per_beat + number % per_beat
                    await context.tick()
                place += each
                before = skipped + each + 1 - length  # beats of this block that come after the next `more`

    simulate(block, bench)


def test_a_tag_of_short_blocks_comes_with_its_beat() -> None:
    """Behind a start; blocks of 4-bit indices have two beats."""
    config = AcceleratorConfig("reader", 4, 4, 32, weight_depth=256, skip_blocks=True, codebooks=True)
    block = WeightReader(config)

    async def bench(context: Bench) -> None:
        context.set(block.listed, 1)
        context.set(block.weight_format, 1)
        context.set(block.write.enable, 1)
        for address in range(5):
            context.set(block.write.address, address)
            context.set(block.write.data, 0x54320000 + address)
            await context.tick()
        context.set(block.write.enable, 0)
        for base in (1, 2):
            context.set(block.base, base)
            await pulse(context, block.start)
            last = []
            for cycle in range(6):
                last += [cycle] if context.get(block.last_read) else []
                if cycle >= 2:
                    assert context.get(block.tag.as_value()) == base
                await context.tick()
            assert last == [2]

    simulate(block, bench)


@pytest.mark.parametrize("axi_bits", [32, 128])
def test_a_table_in_pieces(axi_bits: int) -> None:
    """Into the other set, if a CONV came since the table before."""
    config = AcceleratorConfig("reader", 8, 8, axi_bits, weight_depth=256)
    block, count = WeightReader(config), table_cycles(config)
    pieces, base = axi_bits // 32, 250
    content = [sum((address * pieces + k) << 32 * k for k in range(pieces)) for address in range(config.weight_depth)]
    written = [(base * pieces + k) % (config.weight_depth * pieces) for k in range(count)]

    async def bench(context: Bench) -> None:
        context.set(block.write.enable, 1)
        for address, beat in enumerate(content):
            context.set(block.write.address, address)
            context.set(block.write.data, beat)
            await context.tick()
        context.set(block.write.enable, 0)
        context.set(block.table_base, base)
        for which, conv in ((0, False), (0, True), (1, True), (0, True)):
            await pulse(context, block.load_table)
            loading, found = 0, {}
            for _ in range(count + 2):
                loading += int(context.get(block.loading))
                if context.get(block.table_write.enable):
                    found[int(context.get(block.table_write.address))] = int(context.get(block.table_write.data))
                await context.tick()
            assert (loading, int(context.get(block.table_set))) == (count, which)
            assert found == {which * count + k: piece for k, piece in enumerate(written)}
            if conv:
                await pulse(context, block.start)
                for _ in range(config.ic_lanes * config.oc_lanes * 8 // axi_bits + 1):
                    await context.tick()

    simulate(block, bench)


@pytest.mark.parametrize("axi_bits", [32, 64, 128])
@pytest.mark.parametrize("weight_format", [0, 1, 2])
def test_what_beats_hold(axi_bits: int, weight_format: int) -> None:
    """Of a codebook an entry a cycle, whatever a beat holds, and a cycle without one; then weights in pairs of beats,
    or indices, of 2 bits from half a beat a cycle."""
    config = AcceleratorConfig("reader", 8, 8, axi_bits, weight_depth=256, codebooks=True)
    block, size, ahead = WeightReader(config), axi_bits // 8, config.derived.parameter_beats
    cycles = (64 if weight_format == 0 else 32) // size
    content = [int.from_bytes(bytes([address]) * size, "little") for address in range(256)]

    def expected(place: int, entries: int) -> list[dict[str, int]]:
        """Of a codebook, if there is one, and of two blocks: by cycle the beat, and what matters of what it holds."""
        found = [{"beat": place + k // size, "entry": 1, "number": k, "shift": 0} for k in range(16 * entries)]
        place += -(-16 // size) * entries
        found += [{"entry": 0, "shift": 0}] * entries
        for k in range(2 * cycles):
            if weight_format == 0:
                found.append({"beat": place + k, "entry": 0, "shift": k % 2, "indices": 0})
            elif weight_format == 1:
                found.append({"beat": place + k, "entry": 0, "shift": 1, "indices": 1, "narrow": 0})
            else:
                half = {"narrow": 1, "half": k % 2}
                found.append({"beat": place + k // 2, "entry": 0, "shift": 1, "indices": 1, **half})
        return found

    async def bench(context: Bench) -> None:
        context.set(block.write.enable, 1)
        for address, beat in enumerate(content):
            context.set(block.write.address, address)
            context.set(block.write.data, beat)
            await context.tick()
        context.set(block.write.enable, 0)
        context.set(block.weight_format, weight_format)
        context.set(block.base, 7)
        for parameters, entries in ((1, 1), (0, 1), (1, 0), (0, 0)):
            context.set(block.with_parameters, parameters)
            context.set(block.with_codebook, entries)
            await pulse(context, block.start)
            last = [ahead * parameters + 17 * entries + k * cycles - 1 for k in (1, 2)]
            holds = expected(7 + ahead * parameters, entries)
            for cycle in range(last[1] + 3):
                assert context.get(block.last_read) == (cycle in last)
                context.set(block.more, cycle == last[0])
                wanted = dict(holds[cycle - ahead * parameters - 2]) if cycle >= ahead * parameters + 2 else {}
                if "beat" in wanted:
                    assert context.get(block.beat) == content[wanted.pop("beat")]
                assert {name: context.get(block.stored[name]) for name in wanted} == wanted
                await context.tick()

    simulate(block, bench)
