"""The checkers of both ports say what is broken, and when; traces that break nothing leave them silent."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from pathlib import Path

import pytest

from sim.bench import toolchain
from sim.bench.engine_bench import CHECKERS
from sim.bench.runner import build_and_run
from tests.sim.bench.traces import CHANNELS, traces

HERE = Path(__file__).parent
FOLDER = HERE.parents[2] / "build" / "tests" / "checkers"


def test_every_rule_is_held(tmp_path: Path) -> None:
    try:
        toolchain.require()
    except toolchain.ToolchainError as error:
        pytest.skip(str(error))
    ran = build_and_run(
        sources=[*CHECKERS, HERE / "planted.sv"],
        top="planted",
        test_module="tests.sim.bench.cocotb_checkers",
        build_dir=FOLDER,
        env={"BEGINS": str(tmp_path / "begins")},
    )
    begins = json.loads((tmp_path / "begins").read_text())
    said: list[set[str]] = [set() for _ in begins]
    for cycle, rule in re.findall(r"^cycle (\d+), (.+)$", ran.log.read_text(), re.MULTILINE):
        said[bisect_right(begins, int(cycle) - 1) - 1].add(rule)
    planted = traces()
    assert [list(x) for x in said] == [list(broken) for broken, _ in planted]
    assert {rule for broken, _ in planted for rule in broken} == rules()


def rules() -> set[str]:
    """Every rule of the checkers' text, but for the one that only a checker too small breaks."""
    handshake, axi4, axi_lite = (path.read_text() for path in CHECKERS)
    addressed = re.findall(r'broken\(channel, "(.+)"\)', axi4)
    found = {f"{channel}: {rule}" for channel in ("AR", "AW") for rule in addressed}
    for port, text in (("", axi4), ("register port, ", axi_lite)):
        found |= {f"{port}{channel}: {rule}" for channel, rule in re.findall(r'broken\("(\w+)", "(.+)"\)', text)}
        rest = re.findall(r'broken\("(.+)"\)', handshake)
        found |= {f"{port}{channel.upper()}: {rule}" for channel in CHANNELS for rule in rest}
    return {rule for rule in found if not rule.endswith("than are watched")}
