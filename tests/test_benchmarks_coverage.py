"""Verilator's counts become a table by block."""

from __future__ import annotations

from pathlib import Path

from benchmarks.coverage import Point, points, table


def test_what_is_counted(tmp_path: Path) -> None:
    verilog = tmp_path / "engine.v"
    verilog.write_text("module m;\nif (go) begin\nif (\\$auto$verilog_backend.cc:1 ) begin end\n")

    def line(page: str, number: int, what: str, count: int) -> str:
        fields = {"f": verilog, "l": number, "page": page, "o": what}
        return "C '" + "".join(f"\x01{key}\x02{value}" for key, value in fields.items()) + f"' {count}"

    coverage = tmp_path / "coverage.dat"
    coverage.write_text(
        "\n".join(
            [
                "# SystemC::Coverage-3",
                line("v_branch/shiftpoint_engine_unit_array_column_0", 2, "if", 3),
                line("v_branch/shiftpoint_engine_unit_array_column_0", 3, "if", 0),
                line("v_toggle/shiftpoint_engine_unit_array_column_1", 1, "sum[3]:0->1", 0),
                line("v_toggle/shiftpoint_engine", 1, "clk:0->1", 7),
                line("v_line/bench", 1, "block", 7),
            ]
        )
    )
    found = list(points(coverage))
    assert found == [
        Point("unit_array_column_0", "branch", "if, line 2: if (go) begin", True),
        Point("unit_array_column_1", "toggle", "sum[3]:0->1", False),
        Point("engine", "toggle", "clk:0->1", True),
    ]
    rows = table(found).splitlines()
    assert "| unit_array | 1 of 1, 100.0 % | 0 of 1, 0.0 % |" in rows
    assert rows[-1] == "| **all** | 1 of 1, 100.0 % | 1 of 2, 50.0 % |"
