"""Systems by LiteX: what their Verilog has, their constraints, and how a host wakes up their memory."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

import pytest

from hw import verilog
from hw.board import catalogue, system
from hw.board.system import Made
from hw.contract.board import Write
from quant.base.errors import BadInput
from tests.hw.test_verilog import SMALLEST

BOARD = catalogue.board("ulx3s-85")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("litex", "litedram", "litex_boards"):
        pytest.importorskip(name, reason="LiteX is part of shiftpoint[boards]")
    folder = tmp_path_factory.mktemp("engine")
    verilog.write(SMALLEST, folder)
    return folder


@pytest.fixture(scope="module")
def simulated(engine: Path) -> Made:
    return system.simulated(BOARD, SMALLEST, engine)


@pytest.fixture(scope="module")
def synthesizable(engine: Path) -> Made:
    return system.synthesizable(BOARD, SMALLEST, engine)


def ports(made: Made, top: str) -> dict[str, int]:
    """Ports of the top module, and how many bits they have."""
    (header,) = re.findall(rf"^module {top} \((.*?)\);", made.verilog, re.M | re.S)
    found = re.findall(r"(?:input|output|inout) +(?:wire|reg) +(?:\[(\d+):0\])? *(\w+)", header)
    return {name: int(high or 0) + 1 for high, name in found}


def test_the_same_bytes_each_time_and_none_of_this_place(engine: Path, simulated: Made, synthesizable: Made) -> None:
    assert system.simulated(BOARD, SMALLEST, engine) == simulated
    assert system.synthesizable(BOARD, SMALLEST, engine) == synthesizable
    for made in (simulated, synthesizable):
        assert str(engine) not in made.verilog and not re.search(r"\b20\d\d-\d\d-\d\d\b", made.verilog)
        assert made.verilog.startswith("`timescale") and made.verilog.rstrip().endswith("endmodule")


def test_the_simulation_has_a_clock_and_the_bytes_of_the_line(simulated: Made) -> None:
    line = {f"serial_{end}_{name}": bits for end in ("sink", "source") for name, bits in STREAM}
    assert ports(simulated, system.SIMULATED) == {"clk": 1, "rst": 1, "sim_trace": 1, **line}
    assert simulated.constraints == ""


STREAM = (("valid", 1), ("ready", 1), ("data", 8))


def test_every_pin_of_the_board_has_its_place(synthesizable: Made) -> None:
    pins = [
        name if bits == 1 else f"{name}[{bit}]"
        for name, bits in ports(synthesizable, system.NAME).items()
        for bit in range(bits)
    ]
    located = dict(re.findall(r'^LOCATE COMP "(\S+)" SITE "(\w+)";$', synthesizable.constraints, re.M))
    assert sorted(located) == sorted(pins)
    assert len(set(located.values())) == len(located)
    # Of the schematics of the ULX3S: oscillator, FT231X, SDRAM clock.
    assert [located[name] for name in ("clk25", "serial_tx", "serial_rx", "sdram_clock")] == ["G2", "L4", "M1", "F19"]


def test_both_are_the_same_for_the_host(simulated: Made, synthesizable: Made) -> None:
    assert simulated.system == synthesizable.system
    found = simulated.system
    assert (found.board, found.configuration, found.config_hash) == (BOARD.name, SMALLEST.name, SMALLEST.word)
    assert (found.clock_hz, found.baud) == (50_000_000, 1_000_000)
    assert (found.memory, found.memory_bytes) == (0x4000_0000, 32 << 20)  # 256 Mbit


def test_a_processor(engine: Path) -> None:
    """In the upper half of the memory, held; the same system for the host in both; the rest is as without."""
    pytest.importorskip("pythondata_cpu_vexriscv", reason="the processor is part of shiftpoint[firmware]")
    (engine / system.PROCESSOR_FILE).write_bytes(system.processor())
    assert b"module VexRiscv (" in system.processor()
    one, other = (make(BOARD, SMALLEST, engine, True) for make in (system.simulated, system.synthesizable))
    assert one == system.simulated(BOARD, SMALLEST, engine, True)
    assert one.system == other.system and (found := one.system.processor) is not None
    assert (found.firmware, found.firmware_bytes) == (0x4100_0000, 16 << 20)
    assert one.system.start[0] == Write(found.held, 1, 0), "before another host uses the engine"
    assert min(found.held, found.console, found.printed) >= system.DEVICES and found.printed > found.console
    for made in (one, other):
        assert len(re.findall(r"^VexRiscv VexRiscv\(", made.verilog, re.M)) == 1
        (held,) = re.findall(r"^assign \w+_processor_reset = (\w+);$", made.verilog, re.M)
        assert re.search(rf"^reg +{held} = 1'd1;$", made.verilog, re.M)


def test_without_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythondata_cpu_vexriscv", None)
    with pytest.raises(BadInput, match=r"^the processor is missing, pip install 'shiftpoint\[firmware\]': "):
        system.processor()


def test_the_memory_is_started_as_its_maker_says(simulated: Made) -> None:
    """SDR SDRAM: clock on and 100 us, precharge all, mode, precharge all, two refreshes, mode; then the controller."""
    control, place, bank, command, issue = (0x800 + 4 * n for n in (0, 3, 4, 1, 2))
    seen, held = [], dict.fromkeys((place, bank, command), 0)
    for write in simulated.system.start:
        if write.address == issue:
            cs, we, cas, ras = (held[command] >> bit & 1 for bit in range(4))
            assert cs
            seen.append(({(1, 0, 1): "precharge", (1, 1, 1): "mode", (1, 1, 0): "refresh"}[ras, cas, we], held[place]))
        elif write.address == control:
            seen.append(("control", write.value))
            assert write.value & 1 or write.cycles >= 100e-6 * simulated.system.clock_hz
        else:
            held[write.address] = write.value
    latency_2 = 2 << 4
    assert seen == [
        ("control", 0b1110),
        ("precharge", 1 << 10),
        ("mode", 1 << 8 | latency_2),
        ("precharge", 1 << 10),
        ("refresh", 0),
        ("refresh", 0),
        ("mode", latency_2),
        ("control", 1),
    ]


def test_nothing_is_printed_and_logging_stays_as_it_was(engine: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    system.simulated(BOARD, SMALLEST, engine)
    assert (logging.getLogger().handlers, logging.getLogger().level) == before
    assert capfd.readouterr() == ("", "")


def test_without_litex(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "litedram", None)
    with pytest.raises(BadInput, match=r"^LiteX is needed for boards, pip install 'shiftpoint\[boards\]': "):
        system.simulated(BOARD, SMALLEST, tmp_path)
