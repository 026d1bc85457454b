"""The write port alone: AW, the queue before W, answers and their tags; behind the store unit: test_store.py."""

from amaranth.lib import data

from hw.contract.config import PAGE_BYTES, AcceleratorConfig
from hw.gateware.axi_write import WRITE_BEATS, WritePort
from tests.hw.gateware.helpers.simulate import Bench, simulate

CONFIG = AcceleratorConfig("port", 4, 4, 32, write_outstanding=2)
TAG = data.StructLayout({"mark": 8})
BASE, PAGES = 5, 3
"""The memory window, in pages."""


async def offer(context: Bench, block: WritePort, offset: int | None, mark: int = 0) -> None:
    """A request of 2 beats; None: no request.  What it says is there a cycle before."""
    context.set(block.request.valid, 0)
    context.set(block.request.payload, {"offset": offset or 0, "beats": 2, "tag": {"mark": mark}})
    await context.tick()
    context.set(block.request.valid, offset is not None)


def address_channel(context: Bench, block: WritePort) -> tuple[int, int] | None:
    """Byte address and beats of the burst that AW offers."""
    axi = block.axi
    return (context.get(axi.awaddr), context.get(axi.awlen) + 1) if context.get(axi.awvalid) else None


async def prepare(context: Bench, block: WritePort) -> None:
    context.set(block.window_base, BASE)
    context.set(block.window_pages, PAGES)


def test_answers_come_in_order_and_bring_their_tags() -> None:
    block = WritePort(CONFIG, TAG)

    async def bench(context: Bench) -> None:
        await prepare(context, block)
        context.set(block.axi.awready, 1)
        for place, (offset, mark) in enumerate(((64, 7), (PAGE_BYTES, 9))):
            await offer(context, block, offset, mark)
            assert (context.get(block.request.ready), context.get(block.outstanding)) == (1, place)
            await context.tick()
            assert address_channel(context, block) == (BASE * PAGE_BYTES + offset, 2)
        # Incrementing bursts of whole beats of 4 bytes, ID 0, normal memory: not cached, bufferable.
        axi = block.axi
        constants = (axi.awid, axi.awsize, axi.awburst, axi.awlock, axi.awcache, axi.awprot, axi.awqos, axi.bready)
        assert tuple(context.get(wire) for wire in constants) == (0, 2, 1, 0, 0b0011, 0, 0, 1)
        await offer(context, block, 128)
        assert not context.get(block.request.ready)  # two wait for their answers
        await offer(context, block, None)
        context.set(block.axi.bvalid, 1)
        for mark, response, where in ((7, 0, 64), (9, 1, PAGE_BYTES)):
            context.set(block.axi.bresp, response)
            assert (context.get(block.answered), context.get(block.tag).mark) == (1, mark)
            assert context.get(block.bus).valid == bool(response)
            assert context.get(block.bus).address == BASE * PAGE_BYTES + where
            await context.tick()
        context.set(block.axi.bvalid, 0)
        assert (context.get(block.answered), context.get(block.outstanding)) == (0, 0)

    simulate(block, bench)


def test_beats_wait_for_the_channel() -> None:
    block = WritePort(CONFIG, TAG)

    async def bench(context: Bench) -> None:
        context.set(block.push, 1)
        for beat in range(WRITE_BEATS):
            context.set(block.beat, {"data": beat, "strobe": beat & 15, "last": beat % 2})
            await context.tick()
            assert context.get(block.waiting) == beat + 1
            assert not context.get(block.sent)
        context.set(block.push, 0)
        context.set(block.axi.wready, 1)
        for beat in range(WRITE_BEATS):
            axi = block.axi
            seen = tuple(context.get(wire) for wire in (axi.wvalid, axi.wdata, axi.wstrb, axi.wlast, block.sent))
            assert seen == (1, beat, beat & 15, beat % 2, 1)
            await context.tick()
        assert (context.get(block.axi.wvalid), context.get(block.sent), context.get(block.waiting)) == (0, 0, 0)

    simulate(block, bench)


def test_nothing_outside_the_window_and_nothing_under_halt() -> None:
    block = WritePort(CONFIG, TAG)

    async def bench(context: Bench) -> None:
        await prepare(context, block)
        context.set(block.axi.awready, 1)
        await offer(context, block, PAGES * PAGE_BYTES)
        for halt, outside in ((0, 1), (1, 0)):
            context.set(block.halt, halt)
            assert context.get(block.outside).valid == outside
            assert context.get(block.outside).address == (BASE + PAGES) * PAGE_BYTES
            assert not context.get(block.request.ready)
            await context.tick()
            assert address_channel(context, block) is None
        await offer(context, block, 0)
        assert not context.get(block.request.ready)

    simulate(block, bench)
