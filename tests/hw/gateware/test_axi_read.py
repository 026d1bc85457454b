"""The read port alone: who goes first, what AR shows, whose beats they are; behind it the load unit: test_load.py."""

from amaranth.lib import data

from hw.contract.config import PAGE_BYTES, AcceleratorConfig
from hw.gateware.axi_read import ReadPort
from tests.hw.gateware.helpers.simulate import Bench, simulate

CONFIG = AcceleratorConfig("port", 4, 4, 32, read_outstanding=2)
TAG = data.StructLayout({"mark": 8})
BASE, PAGES = 5, 3
"""The memory window, in pages."""


async def offer(context: Bench, block: ReadPort, fetch: int | None = None, load: tuple[int, int] | None = None) -> None:
    """Requests at these offsets, of fetch for 8 beats, of load with a mark for 3; None: no request.  What they say is
    there a cycle before."""
    offset, mark = load or (0, 0)
    context.set(block.fetch.valid, 0)
    context.set(block.load.valid, 0)
    context.set(block.fetch.payload, {"offset": fetch or 0, "beats": 8})
    context.set(block.load.payload, {"offset": offset, "beats": 3, "tag": {"mark": mark}})
    await context.tick()
    context.set(block.fetch.valid, fetch is not None)
    context.set(block.load.valid, load is not None)


def address_channel(context: Bench, block: ReadPort) -> tuple[int, int] | None:
    """Byte address and beats of the burst that AR offers."""
    axi = block.axi
    return (context.get(axi.araddr), context.get(axi.arlen) + 1) if context.get(axi.arvalid) else None


async def prepare(context: Bench, block: ReadPort) -> None:
    context.set(block.window_base, BASE)
    context.set(block.window_pages, PAGES)


def test_fetch_goes_first_and_two_bursts_are_under_way() -> None:
    block = ReadPort(CONFIG, TAG)

    async def bench(context: Bench) -> None:
        await prepare(context, block)
        context.set(block.axi.arready, 1)
        await offer(context, block, fetch=256, load=(PAGE_BYTES + 8, 7))
        assert (context.get(block.fetch.ready), context.get(block.load.ready)) == (1, 0)
        await context.tick()
        assert address_channel(context, block) == (BASE * PAGE_BYTES + 256, 8)
        # Incrementing bursts of whole beats of 4 bytes, ID 0, normal memory: not cached, bufferable.
        axi = block.axi
        constants = (axi.arid, axi.arsize, axi.arburst, axi.arlock, axi.arcache, axi.arprot, axi.arqos, axi.rready)
        assert tuple(context.get(wire) for wire in constants) == (0, 2, 1, 0, 0b0011, 0, 0, 1)
        await offer(context, block, load=(PAGE_BYTES + 8, 7))
        assert context.get(block.load.ready)
        await context.tick()
        assert address_channel(context, block) == ((BASE + 1) * PAGE_BYTES + 8, 3)
        assert context.get(block.outstanding) == 2
        await offer(context, block, fetch=512, load=(0, 9))
        for _ in range(3):
            assert (context.get(block.fetch.ready), context.get(block.load.ready)) == (0, 0)
            await context.tick()
        assert address_channel(context, block) is None

    simulate(block, bench)


def test_what_ar_offers_stays_until_it_is_taken() -> None:
    block = ReadPort(CONFIG, TAG)

    async def bench(context: Bench) -> None:
        await prepare(context, block)
        await offer(context, block, load=(64, 1))
        await context.tick()
        await offer(context, block, load=(128, 2))
        for _ in range(3):
            assert address_channel(context, block) == (BASE * PAGE_BYTES + 64, 3)
            assert not context.get(block.load.ready)
            await context.tick()
        context.set(block.axi.arready, 1)
        assert context.get(block.load.ready)
        await context.tick()
        assert address_channel(context, block) == (BASE * PAGE_BYTES + 128, 3)

    simulate(block, bench)


def test_beats_go_to_whom_asked_for_them() -> None:
    block = ReadPort(CONFIG, TAG)

    async def bench(context: Bench) -> None:
        await prepare(context, block)
        context.set(block.axi.arready, 1)
        await offer(context, block, load=(64, 42))
        await context.tick()
        await offer(context, block, fetch=256)
        await context.tick()
        await offer(context, block)
        await context.tick()
        context.set(block.axi.rvalid, 1)
        for whose, beats, first in (("load", 3, 64), ("fetch", 8, 256)):
            for beat in range(beats):
                broken = 1 <= beat <= 3  # with each of the responses that is not OKAY
                context.set(block.axi.rdata, beat)
                context.set(block.axi.rresp, beat * broken)
                context.set(block.axi.rlast, beat == beats - 1)
                seen = (context.get(block.load_beat), context.get(block.fetch_beat), context.get(block.data))
                assert seen == (whose == "load", whose == "fetch", beat)
                assert whose == "fetch" or context.get(block.tag).mark == 42
                assert context.get(block.bus).valid == broken
                assert not broken or context.get(block.bus).address == BASE * PAGE_BYTES + first
                await context.tick()
        context.set(block.axi.rvalid, 0)
        assert context.get(block.outstanding) == 0
        assert (context.get(block.load_beat), context.get(block.fetch_beat)) == (0, 0)

    simulate(block, bench)


def test_nothing_outside_the_window_and_nothing_under_halt() -> None:
    block = ReadPort(CONFIG, TAG)

    async def bench(context: Bench) -> None:
        await prepare(context, block)
        context.set(block.axi.arready, 1)
        beyond = PAGES * PAGE_BYTES
        for fetch, load in ((None, (beyond, 1)), (beyond, None), (beyond, (0, 1))):
            context.set(block.halt, 0)
            await offer(context, block, fetch, load)
            for halt, outside in ((0, 1), (1, 0)):
                context.set(block.halt, halt)
                assert context.get(block.outside).valid == outside
                assert context.get(block.outside).address == (BASE + PAGES) * PAGE_BYTES
                assert not context.get(block.load.ready) and not (fetch and context.get(block.fetch.ready))
                await context.tick()
                assert address_channel(context, block) is None
        await offer(context, block, load=(0, 1))
        assert not context.get(block.load.ready)

    simulate(block, bench)
