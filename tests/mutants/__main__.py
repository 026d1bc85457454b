"""Small slips in gateware, contract, models, compiler and search, and whether a test sees them.

    make mutants                              # 150 of seed 1
    make mutants COUNT=40 SEED=7 JOBS=2       # others
    make mutants DIRECTED=1                   # the list of tests/mutants/directed.py
    python -m tests.mutants --only hw/gateware/pool.py

Every mutant is applied in a copy of the tree below build/mutants and meets the tests that import its file, the nearest
first, until one fails; simulators are built with -O0.  An interrupted run continues: what was killed stays so while the
mutant is the same, survivors are tried again when anything changed.  Exit code 1 where one survives that is not known
to be equivalent (tests/mutants/equivalents.py).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import queue
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import marked
from quant.base.errors import BadInput
from quant.base.files import write_atomic
from tests.mutants import directed
from tests.mutants.equivalents import EQUIVALENT
from tests.mutants.nearest import imports, levels
from tests.mutants.sites import ROOMS, Mutant, draw, mutants
from tests.mutants.trial import KEPT, ROOT, Outcome, Tree

WORK = ROOT / "build" / "mutants"
LIMIT = 1200
"""Seconds a mutant."""


@dataclass(frozen=True)
class Task:
    """A mutant to try: `first` are tests that are run before those that its file's imports name."""

    mutant: Mutant
    first: tuple[str, ...] = ()
    reason: str | None = None


def chosen(arguments: argparse.Namespace) -> list[Task]:
    """The mutants that are asked for, each with why it is equivalent, if it is."""
    if arguments.directed:
        return [task for task in of_directed() if not arguments.only or arguments.only in task.mutant.file]
    if arguments.only:
        found = [mutant for room in ROOMS for mutant in mutants(ROOT, room)]
        drawn = [mutant for mutant in found if arguments.only in (mutant.name, mutant.file)]
        if not drawn:
            raise BadInput(f"no mutant is named {arguments.only!r}, and none is of a file of that name")
    else:
        drawn = [
            mutant for mutant in draw(ROOT, arguments.seed, arguments.count) if arguments.room in ("", mutant.room)
        ]
    return [Task(mutant, reason=EQUIVALENT.get((mutant.file, mutant.before, mutant.after))) for mutant in drawn]


def of_directed() -> list[Task]:
    """The directed list; raises BadInput where a text is not, or not once, in its file."""
    tasks = []
    for file, old, new, tests, reason in directed.DIRECTED:
        source = (ROOT / file).read_bytes()
        if source.count(old.encode()) != 1:
            raise BadInput(f"tests/mutants/directed.py: {file} holds this {source.count(old.encode())} times: {old}")
        start = source.index(old.encode())
        room = next((name for name, folders in ROOMS.items() if str(Path(file).parent) in folders), file.split("/")[0])
        line = source[:start].count(b"\n") + 1
        before, after = " ".join(old.split()), " ".join(new.split())
        tasks.append(Task(Mutant(room, file, "", line, before, after, start, start + len(old), new), tests, reason))
    return tasks


def digest() -> str:
    """Of every source and test: survivors are tried again when it changed."""
    value = hashlib.sha256()
    for path in sorted(ROOT.rglob("*.py")):
        inside = path.relative_to(ROOT).parts
        if not set(inside) & set(KEPT) and inside[:2] != ("tests", "mutants"):
            value.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return value.hexdigest()


class Record:
    """Outcomes by the mutant's name, in a file that is whole after every one of them."""

    def __init__(self, path: Path, tree: str) -> None:
        self.path, self.tree, self._lock = path, tree, threading.Lock()
        self.rows: dict[str, dict[str, object]] = json.loads(path.read_text()) if path.exists() else {}

    def known(self, task: Task) -> dict[str, object] | None:
        """What is known of a mutant and holds still."""
        row = self.rows.get(task.mutant.name)
        holds = row is not None and (row["state"] in ("killed", "hung") or row["tree"] == self.tree)
        return row if holds else None

    def put(self, task: Task, outcome: Outcome) -> dict[str, object]:
        """Keep an outcome."""
        facts = {k: v for k, v in asdict(task.mutant).items() if k not in ("start", "end", "new", "ordinal")}
        row = {**facts, **asdict(outcome), "seconds": round(outcome.seconds, 1), "tree": self.tree}
        with self._lock:
            self.rows[task.mutant.name] = row
            write_atomic(self.path, json.dumps(self.rows, indent=1).encode())
        return row


def run(tasks: Sequence[Task], record: Record, jobs: int, limit: float) -> None:
    """Try what is not known, a tree for each job, and print a line for each."""
    todo = [task for task in tasks if task.reason is None and record.known(task) is None]
    if not todo:
        return
    graph, lock = imports(ROOT), threading.Lock()
    sound: set[str] = set()
    broken: set[str] = set()
    trees: queue.Queue[Tree] = queue.Queue()
    for k in range(min(jobs, len(todo))):
        trees.put(Tree(WORK / f"tree-{k}", sound, broken, lock))

    def attempt(task: Task) -> None:
        tree = trees.get()
        try:
            mutant = task.mutant
            order = ([list(task.first)] if task.first else []) + levels(graph, mutant.file)
            altered = mutant.apply((tree.folder / mutant.file).read_bytes())  # the checkout may have moved on
            row = record.put(task, tree.attempt(mutant.file, altered, order, limit))
            with lock:
                print(line(mutant, str(row["state"]), str(row["by"]) or f"{row['ran']} test files passed"), flush=True)
        finally:
            trees.put(tree)

    with ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(attempt, task) for task in todo]:
            future.result()
    for test in sorted(broken):
        print(f"left out, for it fails on the tree as it is: {test}")


def line(mutant: Mutant, state: str, why: str) -> str:
    """One row of what is printed."""
    return f"{state:10} {mutant.name} {mutant.file}:{mutant.line}\n    {mutant.before}\n    {mutant.after}\n    {why}"


def table(tasks: Sequence[Task], record: Record) -> tuple[str, int]:
    """Counts by room in Markdown, the survivors and the equivalents; and how many survive or are undecided."""
    states = {
        task.mutant.name: "equivalent" if task.reason else str((record.known(task) or {"state": "not tried"})["state"])
        for task in tasks
    }
    rooms = list(dict.fromkeys(task.mutant.room for task in tasks))
    counted = ("killed", "hung", "equivalent", "survived", "undecided", "not tried")
    titles = ("room", "mutants", *counted, "killed or hung of those tried that are not equivalent")
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for room in [*rooms, "all"]:
        found = [states[task.mutant.name] for task in tasks if room in (task.mutant.room, "all")]
        counts = [found.count(state) for state in counted]
        seen, tried = counts[0] + counts[1], len(found) - counts[2] - counts[5]
        cells = (room, len(found), *counts, f"{100 * seen / tried:.1f} %" if tried else "")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    for title, wanted in (("Equivalent", ("equivalent",)), ("Alive", ("survived", "undecided"))):
        shown = [task for task in tasks if states[task.mutant.name] in wanted]
        lines += ["", f"{title}:", ""] if shown else []
        for task in shown:
            m = task.mutant
            why = task.reason or states[m.name]
            lines.append(f"- `{m.file}`, {m.function or 'module'}: `{m.before}` → `{m.after}`: {why}")
    alive = sum(state not in ("killed", "hung", "equivalent") for state in states.values())
    return "\n".join(lines) + "\n", alive


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="tests.mutants", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="at a time")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds a mutant")
    parser.add_argument("--directed", action="store_true", help="those of tests/mutants/directed.py")
    parser.add_argument("--only", default="", help="one mutant by its name, or all of a file")
    parser.add_argument("--room", choices=[*ROOMS, ""], default="", help="those of one room")
    parser.add_argument("--list", action="store_true", help="print them and try none")
    parser.add_argument("--write", type=Path, help="document that keeps the table, between its markers")
    o = parser.parse_args(arguments)
    try:
        tasks = chosen(o)
        name = "directed" if o.directed else f"seed-{o.seed}"
        if o.write:
            marked.check(o.write, f"mutants {name}")
        if o.list:
            for task in tasks:
                print(line(task.mutant, task.mutant.room, task.reason or ""))
            return 0
        record = Record(WORK / f"{name}.json", digest())
        run(tasks, record, o.jobs, o.limit)
        text, alive = table(tasks, record)
        print(f"\n{text}\n{WORK / f'{name}.json'}")
        if o.write:
            marked.write(o.write, f"mutants {name}", text)
    except BadInput as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2
    return int(alive > 0)


if __name__ == "__main__":
    sys.exit(main())
