"""What test_hardships.py runs to see that a broken protocol ends the simulation: a VALID in reset."""

from __future__ import annotations

import cocotb

from sim.bench.transport import start


@cocotb.test()
async def valid_in_reset(dut) -> None:
    dut.s_axil_arvalid.value = 1
    await start(dut)
