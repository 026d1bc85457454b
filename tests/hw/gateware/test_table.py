"""Look-up of results: every code in both tables, every lane another one, and values that pass around."""

import numpy as np

from hw.contract.config import AcceleratorConfig
from hw.contract.table import table_block
from hw.contract.timing import TABLE_LATENCY, table_cycles
from hw.gateware.table import LookUp
from tests.hw.gateware.helpers.simulate import Bench, simulate

CONFIG = AcceleratorConfig("tables", 2, 4, 32)
LANES = CONFIG.oc_lanes


async def load(context: Bench, block: LookUp, which: int, entries: np.ndarray) -> None:
    pieces = np.frombuffer(table_block(entries, CONFIG), "<u4").tolist()
    assert len(pieces) == table_cycles(CONFIG)
    context.set(block.write.enable, 1)
    for number, piece in enumerate(pieces):
        context.set(block.write.address, which * len(pieces) + number)
        context.set(block.write.data, piece)
        await context.tick()
    context.set(block.write.enable, 0)
    context.set(block.write.data, 0)


def test_every_code(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables = rng.integers(-(1 << 15), 1 << 15, (2, 256))
    codes = np.array([rng.permutation(256) for _ in range(LANES)]).T
    values = codes + 256 * rng.integers(0, 256, codes.shape)  # bits above a code change nothing, but pass
    look_up, which = rng.integers(0, 4, len(values)) > 0, rng.integers(0, 2, len(values))
    expected = np.where(look_up[:, None], tables[which[:, None], codes] & 0xFFFF, values)
    block = LookUp(CONFIG)

    async def bench(context: Bench) -> None:
        for number, entries in enumerate(tables):
            await load(context, block, number, entries)
        await context.tick()
        found = []
        for cycle in range(len(values) + TABLE_LATENCY):
            now = min(cycle, len(values) - 1)
            context.set(block.values, sum(int(value) << 16 * lane for lane, value in enumerate(values[now])))
            context.set(block.look_up, int(look_up[now]))
            context.set(block.set, int(which[now]))
            results = int(context.get(block.results))
            found.append([results >> 16 * lane & 0xFFFF for lane in range(LANES)])
            await context.tick()
        np.testing.assert_array_equal(found[TABLE_LATENCY:], expected)

    simulate(block, bench)
