"""Designs are built once, by any number of processes, in folders that stay small."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import re
from pathlib import Path
from typing import Any

import pytest

from sim.bench.builds import MOST_OBJECTS, BuildFailure, bound, top_ports
from sim.bench.runner import build_and_run
from sim.bench.toolchain import ToolchainError
from tests.sim.bench.counter import design


@pytest.mark.parametrize(
    "text",
    [
        "module top(clk, data, \\bus.ready ); input clk; output [7:0] data; output \\bus.ready ; endmodule",
        "module top #(parameter N = (1 + 2), M = 4) (input wire clk, output reg [N-1:0] data, input \\bus.ready );",
        "module other(a); endmodule (* top = 1 *)\nmodule top( // (x)\n clk, /* , y */ data, (* keep *) \\bus.ready );",
    ],
)
def test_ports_are_found_in_either_style(tmp_path, text):
    (tmp_path / "top.v").write_text(text)
    assert top_ports([tmp_path / "top.v"], "top") == ["clk", "data", "bus.ready"]


def test_a_top_that_is_nowhere_is_named(tmp_path):
    (tmp_path / "top.v").write_text("module top(clk); endmodule")
    with pytest.raises(ToolchainError, match="module topp is in none of .*top.v"):
        top_ports([tmp_path / "top.v"], "topp")


def test_what_changes_the_design_builds_it_again(tmp_path):
    assert build_and_run(**design(tmp_path)).rebuilt
    assert build_and_run(**design(tmp_path), parameters={"WIDTH": 12}).rebuilt
    assert build_and_run(**design(tmp_path, extra="wire more;"), parameters={"WIDTH": 12}).rebuilt
    assert not build_and_run(**design(tmp_path, extra="wire more;"), parameters={"WIDTH": 12}).rebuilt
    assert build_and_run(**design(tmp_path, extra="wire more;"), parameters={"WIDTH": 12}, always=True).rebuilt


def test_a_design_that_does_not_build_shows_the_first_complaints(tmp_path):
    with pytest.raises(BuildFailure, match="building counter failed(.|\n)*%Error(.|\n)*absent(.|\n)*build.log"):
        build_and_run(**design(tmp_path, extra="assign absent_net.x = 1;"))


def test_a_latch_does_not_build(tmp_path):
    with pytest.raises(BuildFailure, match="LATCH"):
        build_and_run(**design(tmp_path, extra="reg kept; always @* if (rst) kept = clk;"))


def test_a_build_in_many_files_links(tmp_path):
    stages = "".join(
        f"reg [31:0] r{i}; always @(posedge clk) r{i} <= r{i} * 32'd{i + 3} + {f'r{i - 1}' if i else 'following'};\n"
        for i in range(40)
    )
    arguments = design(tmp_path, extra=stages)
    build_and_run(**arguments, optimize="-O0", build_args=["--output-split", "150", "--output-split-cfuncs", "50"])
    objects = set(
        re.findall(r"-include Vtop__pch.h.fast -c (Vtop\w*).cpp", (tmp_path / "build" / "build.log").read_text())
    )
    assert len(objects) > 4, objects


def _build(arguments: dict[str, Any], results: multiprocessing.Queue) -> None:
    results.put(build_and_run(**arguments, jobs=1).rebuilt)


def test_two_processes_build_a_folder_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue = context.Queue()
    processes = [context.Process(target=_build, args=(design(tmp_path), results)) for _ in range(2)]
    for process in processes:
        process.start()
    assert sorted(results.get(timeout=300) for _ in processes) == [False, True]
    for process in processes:
        process.join()


def test_of_a_build_the_program_alone_stays(tmp_path):
    build_and_run(**design(tmp_path))
    assert [path.name for path in (tmp_path / "build" / "verilated").iterdir()] == ["counter"]


def entry(root: Path, name: str, used: int, size: int = 1000) -> Path:
    """A build of some bytes, last used at a time."""
    folder = root / name
    (folder / "verilated").mkdir(parents=True)
    (folder / "verilated" / "bench").write_bytes(bytes(size))
    (folder / "lock").touch()
    os.utime(folder / "lock", (used, used))
    return folder


def test_what_was_used_longest_ago_goes_first(tmp_path):
    old, middle, new = (entry(tmp_path, name, used) for name, used in (("b", 10), ("c", 20), ("a", 30)))
    (tmp_path / "objects").mkdir()
    bound(tmp_path, most=20_000)
    assert old.exists()
    bound(tmp_path, most=2_000 + 2 * 4096)
    assert not old.exists() and middle.exists() and new.exists()
    bound(tmp_path, most=0)
    assert [path.name for path in tmp_path.iterdir()] == ["objects"]


def test_what_is_in_use_stays(tmp_path):
    folder = entry(tmp_path, "a", 10)
    with open(folder / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        bound(tmp_path, most=0)
        assert (folder / "verilated" / "bench").exists()
    bound(tmp_path, most=0)
    assert not folder.exists()


def test_what_is_no_build_stays(tmp_path):
    build, project = entry(tmp_path, "a", 10), entry(tmp_path, "project", 20)
    (project / "notes.txt").write_text("mine")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "lock").touch()
    objects = tmp_path / "objects"
    objects.mkdir()
    for number in range(MOST_OBJECTS + 5):
        (objects / f"mine-{number}.o").touch()
        (objects / f"verilated-{number:032x}.o").touch()
    bound(tmp_path, most=0)
    assert not build.exists() and (project / "notes.txt").exists() and (tmp_path / "source" / "lock").exists()
    assert len(list(objects.glob("mine-*"))) == MOST_OBJECTS + 5 and len(list(objects.glob("v*"))) == MOST_OBJECTS
