"""The ports' signatures: parts and whole of AXI agree, widths follow the configuration."""

from __future__ import annotations

import pytest
from amaranth.lib.wiring import Flow

from hw.contract.config import PRESETS, AcceleratorConfig
from hw.gateware.decode import INSTRUCTION_BITS
from hw.gateware.interfaces import NO_TAG, UNITS, axi4, axi4_read, axi4_write, burst_request, size_of, unit_front


@pytest.mark.parametrize("bits", [32, 128])
def test_a_port_is_its_read_and_its_write_channels(bits: int) -> None:
    whole, read, write = (dict(signature(bits).members) for signature in (axi4, axi4_read, axi4_write))
    assert whole == {**read, **write} and not set(read) & set(write)
    assert (read["rdata"].shape, write["wdata"].shape, write["wstrb"].shape) == (bits, bits, bits // 8)
    handshakes = {name: member.flow for name, member in whole.items() if name.endswith(("valid", "ready"))}
    given = {"arvalid", "awvalid", "wvalid", "rready", "bready"}
    assert {name for name, flow in handshakes.items() if flow is Flow.Out} == given


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_the_size_of_a_burst_is_that_of_full_beats(config: AcceleratorConfig) -> None:
    assert 8 << size_of(config) == config.axi_bits


def test_a_front_counts_as_far_as_it_must() -> None:
    members = dict(unit_front(2).members)
    assert members["instruction"].shape == INSTRUCTION_BITS and members["signal"].shape == UNITS
    assert members["in_flight"].shape == range(3) and members["in_flight"].flow is Flow.In
    assert burst_request(NO_TAG).size == 32 + 9
