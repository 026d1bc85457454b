"""The exported bench: complete, the same bytes each time, and it runs without the project."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hw.contract.config import preset
from hw.contract.isa import IllegalInstruction, Opcode
from hw.contract.memory import Memory
from hw.contract.widths import as_signed
from sim.bench import toolchain
from sim.bench.export import export_bench, places
from sim.executor import ProgramExecutor
from tests.sim.handmade import CASES, build
from tests.sim.programs import first


@pytest.fixture
def without_verilog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing the engine takes seconds, and `hw.verilog` has tests of its own."""
    monkeypatch.setattr("sim.bench.export.verilog.write", lambda config, folder: ())


@pytest.mark.usefixtures("without_verilog")
def test_export_is_complete_and_repeatable(tmp_path: Path) -> None:
    made = build(preset("tiny"), CASES["wide"])
    contents = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        export_bench(made.program, made.x[None], Memory(40, 2, shared=True), folder)
        contents.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert contents[0] == contents[1]
    for name in ("bench.sv", "memory.sv", "memory.cpp", "program.bin", "bench.json", "arrays.npz"):
        assert contents[0][name], name
    for name in ("test_engine.py", "transport.py"):
        imported = re.findall(r"^(?:from|import) (\w+)", contents[0][name].decode(), re.MULTILINE)
        assert not {"sim", "hw", "host", "quant"} & set(imported), name
    arrays = np.load(tmp_path / "one" / "arrays.npz")
    np.testing.assert_array_equal(arrays["expected_0_0"], made.expected["y"])
    facts = json.loads(contents[0]["bench.json"])
    assert facts["settings"].keys() <= facts["registers"].keys()
    assert 40 + 2 < facts["settings"]["WATCHDOG"] < facts["patience"]  # a run that hangs says which cause it has


@pytest.mark.parametrize("name", ["medium", "small16"])
def test_places_are_those_of_the_tensor(name: str) -> None:
    made = build(preset(name), CASES["wide"])
    placement = made.program.placements["y"]
    where = places(placement, made.program.config)
    assert where.shape == (2, *placement.shape)
    memory = ProgramExecutor(made.program).memory(made.x[None])
    ProgramExecutor(made.program).run_memory(memory)
    low, high = memory[where].astype(np.int64)
    np.testing.assert_array_equal(as_signed(low + 256 * high, 16), made.expected["y"])
    assert len(np.unique(where)) == where.size
    assert where.min() == placement.address
    assert where.max() < placement.address + placement.size(made.program.config)


def test_program_that_cannot_run_is_not_exported(tmp_path: Path) -> None:
    made = build(preset("tiny"), CASES["pointwise"])
    with pytest.raises(IllegalInstruction, match="reads memory"):
        export_bench(first(made.program, Opcode.LOAD, rows=4096), made.x[None], Memory(), tmp_path)


@pytest.mark.verify
def test_export_runs_without_the_project(tmp_path: Path) -> None:
    toolchain.require()
    made = build(preset("tiny"), CASES["residual"])
    export_bench(made.program, np.stack([made.x, -made.x]), Memory(40, 2), tmp_path)
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MAKEFLAGS", "PYTEST_CURRENT_TEST")}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
    run = subprocess.run(["make", "-C", str(tmp_path)], env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert "PASS=1 FAIL=0" in run.stdout, run.stdout[-3000:]
