"""Everything a user could give the product with a slip in it, and the rule that it must keep (tests/fuzz/harness.py).

    make fuzz                                       # 300 cases of seed 1
    make fuzz COUNT=5000 SEED=7
    make fuzz KIND=qdq COUNT=500
    python -m tests.fuzz --kind program --seed 7 --only 41     # one case again; its files stay

A case whose rule is broken is kept below build/fuzz with its files, and its commands are printed.  Exit code 1 where
there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from host.cli import main as product
from tests.fuzz import image_files, kills, networks, options, programs, quantized
from tests.fuzz.harness import Ended, Step, run

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "fuzz"
KINDS: dict[str, Callable[[np.random.Generator, Path], list[Step]]] = {
    "onnx": networks.case,
    "qdq": quantized.case,
    "program": programs.case,
    "images": image_files.case,
    "options": options.case,
    "kills": kills.case,
}
RARE = {"kills": 20}
"""Kinds whose cases take long: one for so many of each other."""
SIMULATED = 10
"""Programs with a slip that every model takes, and that are run on the Verilog."""


def attempt(work: Path, kind: str, seed: int, number: int) -> tuple[list[tuple[Step, Ended]], Path]:
    """Make a case in a folder of its own, and run its steps until one breaks the rule."""
    folder = work / f"{kind}-{seed}-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
    ended: list[tuple[Step, Ended]] = []
    for step in KINDS[kind](rng, folder):
        if not step.needs or (folder / step.needs).exists():
            ended.append((step, run(step.work, folder, step.seconds)))
            if ended[-1][1].complaint():
                break
    return ended, folder


def order(kinds: Sequence[str], count: int) -> list[tuple[str, int]]:
    """The first `count` cases: the kinds in turn, the rare ones less often."""
    found: list[tuple[str, int]] = []
    number = 0
    while len(found) < count:
        for kind in kinds:
            every = RARE.get(kind, 1) if len(kinds) > 1 else 1
            if number % every == every - 1:
                found.append((kind, number // every))
        number += 1
    return found[:count]


class Tally:
    """What was seen so far: exit codes by kind, the largest peak, the longest time, and what broke the rule."""

    def __init__(self) -> None:
        self.codes: dict[str, Counter[int | None]] = {}
        self.cases: Counter[str] = Counter()
        self.peak, self.longest, self.broken = 0, 0.0, 0

    def add(self, kind: str, seed: int, number: int, ended: list[tuple[Step, Ended]], folder: Path, keep: bool) -> None:
        """Count a case; print it and leave its files where it broke the rule.  keep: leave them anyway."""
        self.cases[kind] += 1
        for _, end in ended:
            self.codes.setdefault(kind, Counter())[end.code] += 1
            self.peak, self.longest = max(self.peak, end.peak), max(self.longest, end.seconds)
        step, end = ended[-1]
        if complaint := end.complaint():
            self.broken += 1
            (folder / "stderr").write_text(end.error)
            print(f"{kind} {seed} {number}: {step.title}: {complaint}")
            print(
                f"    in {folder}; again: python -m tests.fuzz --kind {kind} --seed {seed} --only {number}", flush=True
            )
        elif not keep:
            shutil.rmtree(folder)

    def text(self) -> str:
        """A table of all."""
        lines = [f"{'kind':10}{'cases':>8}{'steps':>8}{'exit 0':>8}{'exit 1':>8}{'exit 2':>8}"]
        for kind, codes in self.codes.items():
            cells = (self.cases[kind], codes.total(), codes[0], codes[1], codes[2])
            lines.append(f"{kind:10}" + "".join(f"{cell:8,}" for cell in cells))
        lines.append(f"{self.broken} cases broke the rule; {self.peak >> 20} MiB and {self.longest:.1f} s at most")
        return "\n".join(lines)


def fuzz(work: Path, seed: int, cases: Sequence[tuple[str, int]], simulated: int, alone: bool = False) -> Tally:
    """Run cases, and some of the programs that are taken on the Verilog.

    work: folder of the cases' folders.  alone: tell all, and keep the files.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        product(["config"])  # loads what every command needs, once for all children
    tally, taken = Tally(), []
    for kind, number in cases:
        ended, folder = attempt(work, kind, seed, number)
        if kind == "program" and len(taken) < simulated and ended[-1][1].code == 0:
            taken.append(Path(shutil.copy(folder / "p.program", folder.with_suffix(".program"))))
        if alone:
            for step, end in ended:
                print(
                    f"{step.title}: exit code {end.code}, {end.seconds:.1f} s, {end.peak >> 20} MiB\n{end.error}",
                    end="",
                )
        tally.add(kind, seed, number, ended, folder, keep=alone)
    for path in taken:
        step = Step(f"{path.name} on the Verilog", partial(programs.verilog, path), seconds=600)
        end = run(step.work, work, step.seconds)
        complaint = end.complaint()
        tally.broken += bool(complaint)
        if complaint:
            print(f"{step.title}: {complaint}", flush=True)
        else:
            path.unlink()
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=[*KINDS, ""], default="")
    parser.add_argument("--only", type=int, help="this case alone; its files stay")
    parser.add_argument("--verilog", type=int, default=SIMULATED, help="programs that are taken, run on the Verilog")
    parser.add_argument("--folder", type=Path, default=WORK, help="where the cases' files are")
    o = parser.parse_args(arguments)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    kinds = [o.kind] if o.kind else list(KINDS)
    o.folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    cases = order(kinds, o.count) if o.only is None else [(o.kind or "onnx", o.only)]
    tally = fuzz(o.folder.resolve(), o.seed, cases, o.verilog, o.only is not None)
    print(f"seed {o.seed}, {time.monotonic() - began:.0f} s\n{tally.text()}")
    return int(tally.broken > 0)


if __name__ == "__main__":
    sys.exit(main())
