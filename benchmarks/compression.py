"""The living benchmark of five papers: what each reached, what is wanted here, what is reached, row by row.

python benchmarks/compression.py [--write docs/compression.md]      # of what results/ keeps; measures nothing
python benchmarks/compression.py --measure hour|all [--goals TEXT ...] [--data ../shared/data] [--keep]

--measure runs the benchmarks that the rows come from, `make papers` within an hour of two cores, `make papers-all` with
all seeds and trainings anew, and shows what they found; other rows are of what is kept in benchmarks/results.  --keep:
what is found is kept there.  A row that needs images or a package that are not there is skipped, and that is said.
Rows pass or fail by what is wanted (`goals.py`); one of which nothing is kept is missing, and fails, too.  Exit code: 0
where all rows pass but those skipped, 1 where one does not, 2 for bad input.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import marked, report
from benchmarks.datasets import DATA
from benchmarks.goals import GOALS, Goal, Reached, Run
from quant.base.errors import ShiftpointError

MARKERS = "papers"
"""The name of the place in a document that the table is written to."""

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
"""What was measured, a file for each run."""

MADE = HERE.parent / "build" / "papers"
"""What is measured without --keep."""

MISSING = "not measured"


class Found(NamedTuple):
    """What there is of a row.  origin: now, kept, or why there is nothing; passed: None where it was skipped."""

    goal: Goal
    reached: Reached | None
    origin: str
    passed: bool | None


def read(goal: Goal, folder: Path) -> Reached | None:
    """What a folder's file of figures says of a row.  Raises BadInput for a file that holds others."""
    file = folder / f"{goal.run.name}.json"
    return goal.reached(report.load([file], [goal.run.mode])[1]) if file.exists() else None


def measure(run: Run, whole: bool, data: Path, folder: Path) -> str:
    """Run a benchmark; its figures lie in a folder.  Returns an empty text, or why there are none."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, str(HERE / f"{run.script}.py"), *(run.whole if whole else run.options)]
    words += ["--data", str(data), "--json", str(folder / f"{run.name}.json")]
    last = ""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            last = line.strip() or last
    if process.returncode == 2:
        return f"skipped: {last.removeprefix('error: ')}"
    return f"broken: {last}" if process.returncode else ""


def judged(goal: Goal, reached: Reached | None, origin: str) -> Found:
    """A row, and whether it passes."""
    if reached is None:
        return Found(goal, None, origin, None if origin.startswith("skipped") else False)
    return Found(goal, reached, origin, all(bar.met(reached.figures[bar.figure]) for bar in goal.wanted))


def kept(goals: Sequence[Goal]) -> list[Found]:
    """Rows of what is kept."""
    found = []
    for goal in goals:
        reached = read(goal, RESULTS)
        found.append(judged(goal, reached, MISSING if reached is None else "kept"))
    return found


def measured(goals: Sequence[Goal], run: Callable[[Run], str], folder: Path) -> list[Found]:
    """Rows measured now.  run: measures into the folder, as `measure` does; called once for rows of one run."""
    ended: dict[str, str] = {}
    found = []
    for goal in goals:
        if goal.run.name not in ended:
            ended[goal.run.name] = run(goal.run)
        reason = ended[goal.run.name]
        reached = None if reason else read(goal, folder)
        found.append(judged(goal, reached, reason or "now"))
    return found


def table(rows: Sequence[Found]) -> str:
    """All rows as Markdown."""
    text = "| paper | what | published | wanted | reached | float | measured | |\n|---|---|---|---|---|--:|---|---|\n"
    for goal, reached, origin, passed in rows:
        wanted = [f"{'at least' if bar.least else 'at most'} {bar.form.format(bar.value)}" for bar in goal.wanted]
        cells = [goal.paper, goal.title, goal.published, ", ".join(wanted)]
        if reached is None:
            cells += ["", "", origin]
        else:
            figures = [bar.form.format(reached.figures[bar.figure]) for bar in goal.wanted]
            cells += [", ".join(figures), f"{100 * reached.theirs:.2f}", f"{origin}: {reached.over}"]
        bad = "**fail**" if reached or origin != MISSING else "**missing**"
        cells.append("skipped" if passed is None else "pass" if passed else bad)
        text += f"| {' | '.join(cells)} |\n"
    return text


def main(words: list[str] | None = None) -> int:
    """Print the table; the exit code is as the module's text says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", choices=("hour", "all"), help="measure rows now, in an hour or whole")
    parser.add_argument(
        "--goals", nargs="+", default=[""], metavar="TEXT", help="texts, one of which a row's title holds"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the labelled networks and images")
    parser.add_argument("--keep", action="store_true", help="keep what is measured in benchmarks/results")
    parser.add_argument("--write", type=Path, help="file with the markers to write the table between")
    arguments = parser.parse_args(words)
    goals = [goal for goal in GOALS if any(text in f"{goal.paper}: {goal.title}" for text in arguments.goals)]
    folder = RESULTS if arguments.keep else MADE
    try:
        if arguments.write:
            marked.check(arguments.write, MARKERS)
        if arguments.measure:
            whole = arguments.measure == "all"
            rows = measured(goals, lambda run: measure(run, whole, arguments.data.resolve(), folder), folder)
        else:
            rows = kept(goals)
        text = table(rows)
        print(text, end="")
        if arguments.write:
            marked.write(arguments.write, MARKERS, text)
    except ShiftpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    counts = [sum(row.passed is passed for row in rows) for passed in (True, False, None)]
    print("{} pass, {} fail, {} skipped".format(*counts), file=sys.stderr)
    return 1 if counts[1] else 0


if __name__ == "__main__":
    sys.exit(main())
