"""The written Verilog: lint, determinism, and the files beside it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hw import verilog
from hw.contract import header
from hw.contract.config import PRESETS, AcceleratorConfig
from hw.contract.registers import REGISTERS
from sim.bench.toolchain import environment

SMALLEST = AcceleratorConfig(
    "smallest", 2, 2, 32, partial_sum_depth=16, activation_depth=32, weight_depth=32, residual_depth=32,
    output_depth=16, pool_depth=16, pooled_depth=16, queue_depth=2, fetch_depth=8,
)  # fmt: skip


def lint(folder: Path) -> str:
    """What `verilator -Wall` says, with the waivers; empty if nothing."""
    command = ["verilator", "--lint-only", "-Wall", *(f"-Wno-{name}" for name in verilog.LINT_WAIVERS)]
    command += ["--top-module", verilog.TOP, "-f", "files.f"]
    env = environment()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr


@pytest.fixture(scope="module")
def smallest(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("smallest")
    verilog.write(SMALLEST, folder)
    return folder


def test_bytes_are_the_same_in_another_process(smallest, tmp_path):
    imports = "from hw import verilog; from tests.hw.test_verilog import SMALLEST"
    script = f"{imports}; verilog.write(SMALLEST, {str(tmp_path)!r})"
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", script], env=env, cwd=root, check=True)
    files = sorted(path.name for path in smallest.iterdir())
    assert files == ["engine.json", "engine.v", "files.f", "shiftpoint_registers.h"]
    for name in files:
        assert (tmp_path / name).read_bytes() == (smallest / name).read_bytes(), name


def test_no_paths_and_no_widthless_signals(smallest):
    text = (smallest / "engine.v").read_text()
    assert "src =" not in text and ".py" not in text
    assert "[-1:0]" not in text


def test_names_become_plain_and_stay_distinct():
    source = r"""
wire \sums[3] ; wire sums_3; wire \sums.3 ; wire \end ; wire sum;
(* text = "kept: \sums[3] \" \end " *)
assign \sums[3]  = { \sets[0].bias [31:0], sum[4], \end  };
\top.part  \$1  (.\end (\sums.3 ));
"""
    assert (
        verilog.plain_names(source)
        == r"""
wire sums_3_; wire sums_3; wire sums_3__; wire end_; wire sum;
(* text = "kept: \sums[3] \" \end " *)
assign sums_3_ = { sets_0_bias[31:0], sum[4], end_ };
top_part _1 (.end_(sums_3__));
"""
    )


def test_description_is_of_the_module(smallest):
    description = json.loads((smallest / "engine.json").read_text())
    assert AcceleratorConfig.from_json(description["config"]) == SMALLEST
    assert description["config_hash"] == SMALLEST.hash
    text = (smallest / "engine.v").read_text()
    body = re.search(rf"^module {verilog.TOP}\((.*?)\);(.*?)^endmodule", text, re.DOTALL | re.MULTILINE)
    declared = {}
    for direction, high, name in re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", body[2], re.MULTILINE):
        declared[name] = (direction, int(high or 0) + 1)
    assert {p["name"]: (p["direction"], p["width"]) for p in description["ports"]} == declared
    assert {"clk", "rst", "interrupt", "m_axi_araddr", "m_axi_wstrb", "s_axil_awaddr"} <= set(declared)
    assert [r["name"] for r in description["registers"]] == [r.name for r in REGISTERS]


def test_the_header_of_the_registers_lies_beside_it(smallest):
    assert (smallest / header.NAME).read_text() == header.registers_header()


def test_lint_smallest(smallest):
    assert lint(smallest) == ""


@pytest.mark.parametrize(
    "name", [n if n in ("tiny", "small") else pytest.param(n, marks=pytest.mark.verify) for n in PRESETS]
)
def test_lint_presets(name, tmp_path):
    verilog.write(PRESETS[name], tmp_path)
    assert lint(tmp_path) == ""
    assert "\\" not in (tmp_path / "engine.v").read_text()  # every name is plain
