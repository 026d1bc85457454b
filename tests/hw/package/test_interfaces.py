"""Pins by interface, as they are in the Verilog."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from hw import verilog
from hw.contract.version import CONTRACT_VERSION
from hw.package.interfaces import INTERRUPT, MEMORY, REGISTERS, Description
from tests.hw.test_verilog import SMALLEST


def test_every_pin_but_clock_and_reset_has_an_interface(engine: Description) -> None:
    sorted_ = [*engine.of(MEMORY), *engine.of(REGISTERS)]
    assert [pin for pin in engine.pins if pin not in sorted_] == [pin for pin in engine.pins if pin.name == INTERRUPT]
    assert len(sorted_) == len(set(sorted_)) == len(engine.pins) - 1
    with pytest.raises(KeyError, match="s_axis"):
        engine.of("s_axis")


def test_pins_are_those_of_the_module(engine: Description) -> None:
    text = verilog.contents(SMALLEST)["engine.v"]
    module = text[text.index(f"module {engine.top}(") :]
    module = module[: module.index("endmodule")]
    for pin in engine.pins:
        assert re.search(rf"^ +{pin.direction} {re.escape(pin.range)}{pin.name};", module, re.MULTILINE), pin


def test_names_that_tools_take(engine: Description) -> None:
    assert engine.version == f"{CONTRACT_VERSION}.0" and engine.config == SMALLEST
    odd = replace(engine, config=replace(SMALLEST, name="zynq-hp.2"))
    assert odd.identifier == "zynq_hp_2"
