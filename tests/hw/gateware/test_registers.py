"""The register port against cocotbext-axi's AXI4-Lite master."""

from hw.contract.config import preset
from hw.gateware.registers import Registers
from tests.hw.gateware.helpers.build import run


def test_registers():
    run(Registers(preset("tiny")), "registers", "cocotb_registers")
