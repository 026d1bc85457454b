"""The pool unit: results against quant.ir.fixedpoint, and each cycle against hw/contract/timing.py."""

import pytest

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import PoolInstruction
from hw.gateware.pool import PoolUnit
from tests.hw.gateware.helpers.build import run
from tests.hw.gateware.helpers.simulate import Bench, simulate

# Shallow buffers, so that addresses wrap often.
CONFIGS = [
    AcceleratorConfig("small_beat", 4, 4, 32, pool_depth=128, pooled_depth=64),
    AcceleratorConfig("two_words_a_beat", 8, 16, 128, pool_depth=64, pooled_depth=32),
    AcceleratorConfig("sixteen_bits", 4, 4, 64, 16, 16, 48, tables=False, pool_depth=64, pooled_depth=64),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_pool(config):
    run(PoolUnit(config), f"pool_{config.name}", "cocotb_pool", config=config, instructions=120)


@pytest.mark.parametrize(("rows", "columns"), [(4095, 4095), (4095, 17), (64, 65), (1, 4095)])
def test_high_halves_lie_behind_any_number_of_pixels(rows: int, columns: int) -> None:
    """Farther than the pooled buffer of any preset reaches."""
    config = AcceleratorConfig("deep", 4, 4, 64, pool_depth=16, pooled_depth=1 << 16)
    block = PoolUnit(config)
    pool = PoolInstruction(
        out_rows=rows, out_columns=columns, kernel_rows=1, kernel_columns=1, in_rows=1, in_columns=1, wide=1,
        output_base=5, low=-128, high=127,
    )  # fmt: skip
    whole = config.derived.words_per_beat
    high = 5 + -(-rows * columns // whole) * whole

    async def bench(context: Bench) -> None:
        context.set(block.front.instruction, int.from_bytes(pool.encode(), "little"))
        await context.tick()  # the head is shown in the cycle before
        context.set(block.front.valid, 1)
        written = []
        for _ in range(12):
            if context.get(block.pooled_write.enable):
                written.append(context.get(block.pooled_write.address))
            await context.tick()
        assert written[:4] == [5, high % config.pooled_depth, 6, (high + 1) % config.pooled_depth]

    simulate(block, bench)
