"""The benchmark of the engine: shares by the formula, lost cycles by cause, and what becomes of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import counting, engine
from benchmarks.losses import CAUSES, accounts
from host.timed import compile_timed
from hw.contract.config import preset
from hw.contract.isa import Unit
from hw.contract.memory import Memory
from hw.contract.program import Program
from hw.contract.registers import STALL_CAUSES
from quant import onnx_import, qdq
from quant.search import quantize_network
from sim.cycles import Timeline, simulate
from sim.cycles.traffic import traffic
from tests.host.onnx_networks import images, small_cnn

TINY = preset("tiny")


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """conv 3x3 (2 to 12 planes of 8x8), average of the whole map, fully connected (12 to 3)."""
    folder = tmp_path_factory.mktemp("engine")
    source = small_cnn(folder / "net.onnx", channels=12)
    x = np.load(images(folder / "images.npz"))["images"].astype(np.float32)
    qdq.save(quantize_network(onnx_import.load(source), x, effort="fast"), folder / "net.q.onnx")
    return folder / "net.q.onnx"


def ran(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["engine.py", *map(str, arguments)])
    return engine.main()


@pytest.mark.parametrize("every", [1, 4])
def test_shares_follow_the_formula(
    quantized: Path, every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "run.json"
    assert ran(monkeypatch, quantized, "--config", "tiny", "--beat-every", every, "--json", kept) == 0
    (row,) = json.loads(kept.read_text())["rows"]
    conv, fc = (next(layer for layer in row["layers"] if layer["name"] == name) for name in ("conv", "fc"))
    multipliers, beat, weights = TINY.ic_lanes * TINY.oc_lanes, TINY.axi_bits // 8, 12 * 2 * 3 * 3
    of_conv = max(8 * 8 * weights / multipliers, every * (2 * 8 * 8 + weights) / beat, every * 12 / beat)
    of_fc = max(12 * 3 / multipliers, every * (12 + 12 * 3) / beat, every * 3 * 2 / beat)  # outputs have 16 bits
    assert (conv["roofline"], fc["roofline"]) == (of_conv, of_fc)
    assert (
        row["cycles"]
        == simulate(compile_timed(qdq.load(quantized), TINY, memory=Memory(64, every)), Memory(64, every)).cycles
    )
    assert row["roofline"] == of_conv + of_fc and sum(layer["cycles"] for layer in row["layers"]) == row["cycles"]
    for layer in row["layers"]:
        assert sum(layer["lost"].values()) == pytest.approx(layer["cycles"] - layer["roofline"], abs=1e-6)
    share = f"{(of_conv + of_fc) / row['cycles']:.3f}"
    text = capsys.readouterr().out
    bottleneck = "array" if every == 1 else "read port"
    assert f"| conv | Conv | compute | {bottleneck} | {conv['cycles']:,} | {of_conv:,.0f} |" in text
    assert "images: seeded random" in text
    line = next(line for line in text.splitlines() if line.startswith("| net.q |"))
    surplus = sum(layer["lost"]["surplus"] for layer in row["layers"] if layer["bottleneck"] == bottleneck)
    assert line.startswith(f"| net.q | tiny | 64, {every} | 1 | {row['cycles']:,} | {share} |")
    assert f"surplus ({bottleneck}) {surplus / row['cycles']:.3f}" in line


def test_a_batch(quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of three images: their layers as one, of which weights count once."""
    kept = tmp_path / "run.json"
    assert ran(monkeypatch, quantized, "--config", "tiny", "--batch", 3, "--json", kept) == 0
    (row,) = json.loads(kept.read_text())["rows"]
    conv, fc = row["layers"]
    beat, weights = TINY.axi_bits // 8, 12 * 2 * 3 * 3
    assert conv["roofline"] == max(3 * 64 * weights / 16, (3 * 2 * 64 + weights) / beat, 3 * 12 / beat)
    assert fc["roofline"] == max(3 * 36 / 16, (3 * 12 + 36) / beat, 3 * 6 / beat)
    assert conv["cycles"] + fc["cycles"] == row["cycles"]
    for layer in row["layers"]:
        assert sum(layer["lost"].values()) == pytest.approx(layer["cycles"] - layer["roofline"], abs=1e-6)


def played(program: Program, timeline: Timeline, units: Sequence[Unit]) -> Iterator[tuple[int, str]]:
    """Of every cycle the layer that it belongs to, and whether what the layer's unit keeps at work is, else why not.

    As benchmarks/losses.py defines it, one cycle after the other.
    """
    ends = np.cumsum(timeline.layer_cycles)
    own = {Unit.COMPUTE: timeline.passes.tolist()}
    for unit, bursts in zip((Unit.LOAD, Unit.STORE), traffic(program, timeline), strict=True):
        own[unit] = [
            (last + 1 - beats * timeline.memory.beat_every, last + 1)
            for last, beats in zip(bursts.last.tolist(), bursts.beats.tolist(), strict=True)
        ]

    if timeline.memory.shared:
        own[Unit.LOAD] += own[Unit.STORE]

    def under_way(unit: Unit, t: int) -> bool:
        mine = timeline.unit == unit
        return bool(((timeline.start[mine] <= t) & (t < timeline.end[mine])).any())

    def works(unit: Unit, t: int) -> bool:
        return any(b <= t < e for b, e in own[unit]) if unit in own else under_way(unit, t)

    def waits(unit: Unit, t: int) -> str | None:
        for i in np.flatnonzero(timeline.unit == unit):
            if timeline.ready[i] <= t < timeline.start[i]:
                left = t - timeline.ready[i]
                for cause, cycles in zip(STALL_CAUSES, timeline.stalls[i], strict=True):
                    if left < cycles:
                        return cause
                    left -= cycles
        return None

    def why(unit: Unit, t: int) -> str:
        cause = waits(unit, t)
        if cause == "load":
            if works(Unit.LOAD, t):
                return "bandwidth"
            return "latency" if under_way(Unit.LOAD, t) else waits(Unit.LOAD, t) or "load"
        if cause is None and unit in (Unit.LOAD, Unit.STORE) and under_way(unit, t):
            return "latency"
        return cause or "other"

    for t in range(timeline.cycles):
        layer = int((ends <= t).sum())
        yield layer, "busy" if works(units[layer], t) else why(units[layer], t)


@pytest.mark.parametrize("memory", [Memory(20, 1), Memory(8, 4), Memory(8, 4, shared=True)], ids=str)
def test_causes_are_those_of_every_single_cycle(quantized: Path, memory: Memory) -> None:
    program = compile_timed(qdq.load(quantized), TINY)
    timeline = simulate(program, memory)
    names = {
        "array": Unit.COMPUTE,
        "read port": Unit.LOAD,
        "write port": Unit.STORE,
        "pool unit": Unit.POOL,
        "bus": Unit.LOAD,
    }
    found = accounts(program, timeline)
    idle: list[Counter[str]] = [Counter() for _ in found]
    for layer, state in played(program, timeline, [names[account.bottleneck] for account in found]):
        idle[layer][state] += 1
    for account, counted in zip(found, idle, strict=True):
        busy = account.roofline.cycles + account.lost["surplus"] + account.lost["others"]
        assert counted["busy"] == pytest.approx(busy)
        for cause in [*CAUSES][2:]:
            assert counted[cause] == account.lost[cause], f"{account.layer.name}: {cause}"


def test_a_float_network_is_quantized_on_the_images_that_are_said(
    quantized: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept = tmp_path / "run.json"
    given = quantized.parent / "images.npz"
    arguments = [quantized.parent / "net.onnx", "--config", "tiny", "--calibration", given, "--json", kept]
    assert ran(monkeypatch, *arguments) == 0
    assert "images: images.npz" in capsys.readouterr().out
    timeline = simulate(compile_timed(qdq.load(quantized), TINY), Memory())
    assert json.loads(kept.read_text())["rows"][0]["cycles"] == timeline.cycles
    assert ran(monkeypatch, "--saved", kept, kept) == 0
    assert capsys.readouterr().out.count(f"| net | tiny | 64, 1 | 1 | {timeline.cycles:,} |") == 2


@pytest.mark.parametrize(("late", "code", "said"), [(0, 0, "the Verilog, the same"), (3, 1, "DIFFERS: CYCLES")])
def test_a_counter_that_differs_is_told(
    quantized: Path,
    late: int,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def pins(program: Program, x: np.ndarray, memory: Memory) -> SimpleNamespace:
        """In the Verilog's place, which would take a minute to build."""
        assert x.shape[0] == 1 and prod(x.shape[1:]) == 2 * 8 * 8
        counters = simulate(program, memory).counters
        return SimpleNamespace(counters=(counters | {"CYCLES": counters["CYCLES"] + late},))

    monkeypatch.setattr(counting, "run_rtl", pins)
    assert ran(monkeypatch, quantized, "--config", "tiny", "--engine", "rtl") == code
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--config", "tiny", "none.onnx"], ["--latency", "0", "--config", "tiny"]])
def test_what_cannot_be_run_is_one_line(
    arguments: list[str], quantized: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = [quantized] if "none.onnx" not in arguments else []
    assert ran(monkeypatch, *network, *arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
