"""Vivado projects of three boards, as Tcl: a block design of the component, a memory and a way to the registers.

No line of it was run in Vivado.  Tests run it in a Tcl interpreter with Vivado's commands replaced, and hold names of
pins, parts and the component against component.xml.
"""

from __future__ import annotations

from dataclasses import dataclass

from hw.package import ip_xact, wrapper
from hw.package.interfaces import INTERRUPT, MEMORY, REGISTERS, Description


@dataclass(frozen=True)
class Board:
    """A board: name of its file, part, Vivado's name of the board, and how the engine is connected on it.

    clock_mhz: of the engine.  host_needs_memory: whether the host's way to the memory is the one to the registers.
    system: Tcl that makes the rest, in which {clock_mhz} is put.  It sets pins: `clock`; `clocked`, those of its own
    that take the clock; `reset_from`, active low; `interrupts`, or nothing; and interfaces: `memory`, an AXI slave, and
    `host`, an AXI master.
    """

    name: str
    part: str
    board_part: str
    clock_mhz: int
    host_needs_memory: bool
    system: str


_PYNQ_Z2 = """\
# The processing system: its DDR3 behind port HP0, which has 64 bits and is AXI3, with bursts of 16 beats at most.
# The interconnect converts AXI4 to it, and splits longer bursts; the configuration zynq-hp has none.
set ps [cell ps processing_system7]
apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \\
    -config {{make_external "FIXED_IO, DDR" apply_board_preset "1"}} $ps
set_property -dict {{
    CONFIG.PCW_USE_S_AXI_HP0 1
    CONFIG.PCW_S_AXI_HP0_DATA_WIDTH 64
    CONFIG.PCW_USE_FABRIC_INTERRUPT 1
    CONFIG.PCW_IRQ_F2P_INTR 1
    CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ {clock_mhz}
}} $ps
set clock ps/FCLK_CLK0
set clocked {{ps/M_AXI_GP0_ACLK ps/S_AXI_HP0_ACLK}}
set reset_from ps/FCLK_RESET0_N
set memory ps/S_AXI_HP0
set host ps/M_AXI_GP0
set interrupts ps/IRQ_F2P
"""
_ZCU104 = """\
# The processing system: its DDR4 behind port HP0.
set ps [cell ps zynq_ultra_ps_e]
apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {{apply_board_preset "1"}} $ps
set_property -dict {{
    CONFIG.PSU__USE__M_AXI_GP0 0
    CONFIG.PSU__USE__M_AXI_GP1 0
    CONFIG.PSU__USE__M_AXI_GP2 1
    CONFIG.PSU__USE__S_AXI_GP2 1
    CONFIG.PSU__SAXIGP2__DATA_WIDTH 128
    CONFIG.PSU__USE__IRQ0 1
    CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ {clock_mhz}
}} $ps
set clock ps/pl_clk0
set clocked {{ps/maxihpm0_lpd_aclk ps/saxihp0_fpd_aclk}}
set reset_from ps/pl_resetn0
set memory ps/S_AXI_HP0_FPD
set host ps/M_AXI_HPM0_LPD
set interrupts ps/pl_ps_irq0
"""
_ARTY_A7 = """\
# No processor: the host reads and writes memory and registers by JTAG (create_hw_axi_txn), and polls for an end.
# The controller of the DDR3 takes 166.667 and 200 MHz, and makes the engine's clock, {clock_mhz} MHz.
set clocks [cell clocks clk_wiz]
apply_bd_automation -rule xilinx.com:bd_rule:board -config {{Board_Interface "sys_clock"}} [get_bd_pins clocks/clk_in1]
set_property -dict {{
    CONFIG.CLKOUT1_REQUESTED_OUT_FREQ 166.667
    CONFIG.CLKOUT2_USED true
    CONFIG.CLKOUT2_REQUESTED_OUT_FREQ 200
    CONFIG.USE_RESET false
}} $clocks
set ddr [cell ddr mig_7series]
apply_bd_automation -rule xilinx.com:bd_rule:mig_7series -config {{Board_Interface "ddr3_sdram"}} $ddr
delete_bd_objs [get_bd_ports -quiet {{sys_clk_i clk_ref_i}}]
connect_bd_net [get_bd_pins clocks/clk_out1] [get_bd_pins ddr/sys_clk_i]
connect_bd_net [get_bd_pins clocks/clk_out2] [get_bd_pins ddr/clk_ref_i]
connect_bd_net [get_bd_pins clocks/locked] [get_bd_pins ddr/sys_rst]
set jtag [cell jtag jtag_axi]
set clock ddr/ui_clk
set clocked jtag/aclk
set reset_from ddr/mmcm_locked
set memory ddr/S_AXI
set host jtag/M_AXI
set interrupts {{}}
"""
BOARDS = (
    Board("pynq_z2", "xc7z020clg400-1", "tul.com.tw:pynq-z2:part0:1.0", 100, False, _PYNQ_Z2),
    Board("zcu104", "xczu7ev-ffvc1156-2-e", "xilinx.com:zcu104:part0:1.1", 150, False, _ZCU104),
    Board("arty_a7", "xc7a35ticsg324-1L", "digilentinc.com:arty-a7-35:part0:1.1", 83, True, _ARTY_A7),
)

_PROJECT = """\
# Vivado project of the shiftpoint engine, configuration {config}, on {board}:
#     vivado -mode batch -source {file}
# It was not run in Vivado, in no version of it.  The board's files must be installed (Xilinx Board Store).
set here [file dirname [file normalize [info script]]]
create_project shiftpoint_{board} [file join $here {board}] -part {part}
set_property board_part {board_part} [current_project]
set_property ip_repo_paths $here [current_project]
update_ip_catalog
create_bd_design system

# A cell of the newest version of one of Xilinx' cores that is installed.
proc cell {{name core}} {{
    set found [lsort -dictionary [get_ipdefs -filter "VLNV =~ xilinx.com:ip:$core:*"]]
    return [create_bd_cell -type ip -vlnv [lindex $found end] $name]
}}

{system}
create_bd_cell -type ip -vlnv {vlnv} engine

# One clock for all, the reset in step with it; one interconnect to the memory, one from the host.
set resets [cell resets proc_sys_reset]
connect_bd_net [get_bd_pins $reset_from] [get_bd_pins resets/ext_reset_in]
set_property -dict {{CONFIG.NUM_SI {masters} CONFIG.NUM_MI 1}} [cell to_memory smartconnect]
set_property -dict {{CONFIG.NUM_SI 1 CONFIG.NUM_MI {masters}}} [cell from_host smartconnect]
foreach {{master slave}} [list \
    engine/{memory} to_memory/S00_AXI \
    to_memory/M00_AXI $memory \
    $host from_host/S00_AXI \
    from_host/M00_AXI engine/{registers} {also}\
] {{
    connect_bd_intf_net [get_bd_intf_pins $master] [get_bd_intf_pins $slave]
}}
foreach pin [concat $clocked {{engine/{aclk} to_memory/aclk from_host/aclk resets/slowest_sync_clk}}] {{
    connect_bd_net [get_bd_pins $clock] [get_bd_pins $pin]
}}
foreach pin {{engine/{aresetn} to_memory/aresetn from_host/aresetn}} {{
    connect_bd_net [get_bd_pins resets/peripheral_aresetn] [get_bd_pins $pin]
}}
if {{$interrupts ne {{}}}} {{
    connect_bd_net [get_bd_pins engine/{interrupt}] [get_bd_pins $interrupts]
}}

assign_bd_address
validate_bd_design
save_bd_design
add_files -norecurse [make_wrapper -files [get_files system.bd] -top]
set_property top system_wrapper [current_fileset]
launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
"""


def file_of(board: Board) -> str:
    """Name of a board's script."""
    return f"{board.name}.tcl"


def script(engine: Description, board: Board) -> str:
    """The Tcl that makes the project of a board, in a folder of its own beside component.xml."""
    return _PROJECT.format(
        config=engine.config.name,
        board=board.name,
        file=file_of(board),
        part=board.part,
        board_part=board.board_part,
        system=board.system.format(clock_mhz=board.clock_mhz),
        vlnv=":".join(ip_xact.vlnv(engine)),
        memory=MEMORY,
        registers=REGISTERS,
        interrupt=INTERRUPT,
        aclk=wrapper.CLOCK,
        aresetn=wrapper.RESET,
        masters=2 if board.host_needs_memory else 1,
        also="from_host/M01_AXI to_memory/S01_AXI " if board.host_needs_memory else "",
    )
