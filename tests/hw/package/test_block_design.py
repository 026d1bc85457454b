"""Scripts of boards, run in a Tcl interpreter in which Vivado's commands note what they are given."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hw.package import block_design, ip_xact
from hw.package.folder import Flow
from hw.package.interfaces import Description

tkinter = pytest.importorskip("tkinter", reason="this Python was built without Tcl")

VIVADO = """
set cells {}; set nets {}; set done {}
proc get_ipdefs {args} { return [string map {* 1.0} [lindex [split [lindex $args end]] end]] }
proc create_bd_cell {args} { lappend ::cells [lindex $args end] [lindex $args end-1]; return [lindex $args end] }
proc get_bd_pins {args} { return [lindex $args end] }
proc get_bd_intf_pins {args} { return [lindex $args end] }
proc connect_bd_net {a b} { lappend ::nets $a $b }
proc connect_bd_intf_net {a b} { lappend ::nets $a $b }
foreach name {current_project current_fileset get_bd_ports get_files make_wrapper set_property} { proc $name {args} {} }
foreach name {
    create_project update_ip_catalog create_bd_design apply_bd_automation delete_bd_objs assign_bd_address
    validate_bd_design save_bd_design add_files launch_runs wait_on_run
} { proc $name {args} "lappend ::done $name" }
"""


@pytest.mark.parametrize("board", block_design.BOARDS, ids=lambda board: board.name)
def test_scripts(board: block_design.Board, packed: Callable[[Flow], Path], engine: Description) -> None:
    folder = packed(Flow.VIVADO)
    tcl = tkinter.Tcl()
    tcl.eval(VIVADO)
    tcl.eval(f"source {{{folder / block_design.file_of(board)}}}")
    words = tcl.splitlist(tcl.eval("set cells"))
    cells = dict(zip(words[::2], words[1::2], strict=True))
    nets = tcl.splitlist(tcl.eval("set nets"))
    assert cells["engine"] == ":".join(ip_xact.vlnv(engine))
    assert all(re.fullmatch(r"xilinx\.com:ip:\w+:1\.0", vlnv) for name, vlnv in cells.items() if name != "engine")
    assert {pin.partition("/")[0] for pin in nets} == {*cells}
    component = (folder / ip_xact.FILE).read_text()
    buses = re.findall(r"<spirit:busInterface>\s*<spirit:name>(\w+)<", component)
    connected = [pin.removeprefix("engine/") for pin in nets if pin.startswith("engine/")]
    polled = [] if tcl.eval("set interrupts") else ["interrupt"]
    assert sorted([*connected, *polled]) == sorted(buses)
    ends = nets[1::2]
    assert len(ends) == len(set(ends))  # no pin is driven twice
    last = ["assign_bd_address", "validate_bd_design", "save_bd_design", "add_files", "launch_runs", "wait_on_run"]
    assert list(tcl.splitlist(tcl.eval("set done"))[-6:]) == last
