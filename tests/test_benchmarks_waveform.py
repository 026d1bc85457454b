"""The picture of a tile: sampling of a waveform, what is refused, and that the document's is of the present engine."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from vcd import VCDWriter

from benchmarks import waveform
from benchmarks.waveform import BEGIN, BUSY, KERNEL, LANES, LATENCY, MEMORY, RESULTS, picture, runs, sampled
from hw.contract.isa import ConvInstruction
from quant.base.errors import VerificationError
from sim.cycles import simulate

DRAWN = Path(__file__).resolve().parents[1] / "docs" / "waveform.svg"
TILE = ConvInstruction(out_rows=2, out_columns=5)
FIRST, RUN = 3, 90
"""The first cycle of a run, and how many it has."""


def written(signals: dict[str, set[int]], cycles: int, without: str = "") -> bytes:
    """A waveform in which signals are 1 in some cycles; registers change with the clock's edge, as Verilator has it."""
    text = io.StringIO()
    with VCDWriter(text, timescale="1 ps") as writer:
        clock = writer.register_var("$rootio", "clk", "wire", size=1, init=0)
        writer.register_alias("bench", "clk", clock)
        variables = {}
        for name in signals:
            if name != without:
                *scopes, last = ("bench", "engine", *name.split("."))
                variables[name] = writer.register_var(".".join(scopes), last, "wire", size=1, init=0)
        for cycle in range(cycles):
            writer.change(clock, 10 * cycle + 5, 1)
            for name, variable in variables.items():
                writer.change(variable, 10 * cycle + 5, int(cycle + 1 in signals[name]))
            writer.change(clock, 10 * cycle + 10, 0)
    return text.getvalue().encode()


def of_a_tile(late: int = 0) -> dict[str, set[int]]:
    """Signals of a run with one tile, its results so many cycles late."""
    pixels = TILE.out_rows * TILE.out_columns
    signals: dict[str, set[int]] = {name: set() for lane in LANES for name in lane.signals}
    start = FIRST + 20
    last = start + (KERNEL**2 - 1) * 4
    results = last + LATENCY + late
    signals |= {BUSY: set(range(FIRST, FIRST + RUN)), BEGIN: {start - 1 + 4 * k for k in range(KERNEL**2)}}
    signals["compute_unit.output_write__enable"] = set(range(results, results + pixels))
    signals["compute_unit.front__ready"] = signals["store_unit.front__ready"] = set(range(FIRST, FIRST + RUN))
    signals["load_unit.front__done"], signals["compute_unit.front__valid"] = {FIRST + 9}, {FIRST + 10}
    signals["compute_unit.front__done"] = {results + pixels}
    signals["store_unit.front__valid"] = {results + pixels + 1, results + pixels + 4}
    signals["store_unit.front__done"] = {results + pixels + 3, FIRST + RUN - 5, FIRST + RUN - 1}
    signals["m_axi__bvalid"] = signals["m_axi__bready"] = {FIRST + RUN - 6}
    return signals


def test_a_signal_is_sampled_before_the_edge_that_ends_its_cycle() -> None:
    found = sampled(written({"unit.one": {2, 3, 6}, "two": {1}}, 8), ["unit.one", "two"])
    assert runs(found["unit.one"]) == [(2, 2), (6, 1)]
    assert runs(found["two"]) == [(1, 1)]
    assert len(found["two"]) == 8


def test_cycles_count_from_the_first_of_the_run() -> None:
    drawn = waveform.tile(written(of_a_tile(), FIRST + RUN + 4), TILE, RUN)
    assert drawn.passes == [20 + 4 * k for k in range(9)]
    assert runs(drawn.lanes[RESULTS]) == [(20 + 32 + LATENCY, 10)]
    assert runs(drawn.lanes["LOAD done"]) == [(9, 1)]
    assert len(drawn.lanes["STORE done"]) == RUN - 4
    assert f"of {RUN}" in picture(drawn)


def test_a_waveform_that_is_not_as_documented_is_refused() -> None:
    with pytest.raises(VerificationError, match=rf"last pass begins in cycle 52.*\({52 + LATENCY + 1}, 10\)"):
        waveform.tile(written(of_a_tile(late=1), FIRST + RUN + 4), TILE, RUN)
    with pytest.raises(VerificationError, match=f"of {RUN} cycles, {RUN + 1} were counted"):
        waveform.tile(written(of_a_tile(), FIRST + RUN + 4), TILE, RUN + 1)
    with pytest.raises(VerificationError, match="the waveform has no load_unit.front__done"):
        waveform.tile(written(of_a_tile(), FIRST + RUN + 4, "load_unit.front__done"), TILE, RUN)


def test_the_picture_is_of_the_engine_as_it_is(tmp_path: Path) -> None:
    """Cycles of the run and the latency, as the models have them now; benchmarks/waveform.py --write draws it anew."""
    made, _ = waveform.program(tmp_path)
    drawn = DRAWN.read_text()
    assert f"cycle of the run, of {simulate(made, MEMORY).cycles} " in drawn
    assert f"compute_latency {LATENCY}<" in drawn


@pytest.mark.verify
def test_the_picture_is_what_the_verilog_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["waveform.py", "--write", str(tmp_path / "waveform.svg")])
    assert waveform.main() == 0
    assert (tmp_path / "waveform.svg").read_text() == DRAWN.read_text()


def test_runs_of_cycles() -> None:
    assert runs(np.array([True, True, False, True])) == [(0, 2), (3, 1)]
    assert runs(np.zeros(3, bool)) == []
