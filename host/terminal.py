"""What the command line shows: progress while it works, tables when it is done.

Names of nodes, tensors and files come from outside and are shown as they are: no console here reads markup or emoji
codes, and styles are given beside a text, never in it.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from host.names import common, fold, one_line, printable

WIDTH = 160
"""Columns of tables that go to a file or a pipe, unless $COLUMNS says otherwise."""
LEAST_TEXT = 24
"""Characters that a column of longer texts gets at least; they are folded where there is no room."""
FRAME = 3
"""Characters between two columns."""
NAMES = (("layer", "fused into"), ("tensor",))
"""Columns of names that have one beginning in common."""


def plain(value: object, style: str = "") -> Text:
    """A text as it is, in one style."""
    return Text(printable(str(value)), style=style)


def _console(*, stderr: bool = False, width: int | None = None) -> Console:
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


class Reporter:
    """Progress on standard error.  `stage` opens a named stage; inside it, call `step` as often as it pays.

    quiet: print nothing, for a command whose output is one JSON value, which carries the `warnings` then.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.warnings: list[str] = []
        """What `warn` was told."""
        self._listeners: list[list[str]] = []
        self._quiet = quiet
        self._console = _console(stderr=True)
        self._progress: Progress | None = None
        self._task: Any = None
        self._printed = 0.0

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Show a stage while it runs and its time when it is done."""
        if self._quiet:
            yield
            return
        title, start = one_line(title), time.monotonic()
        if self._console.is_terminal:
            columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
            with Progress(*columns, console=self._console, transient=True) as self._progress:
                self._task = self._progress.add_task(plain(title).plain, total=None)
                yield
            self._progress = None
        else:
            self._say(f"{title} ...")
            self._printed = start
            yield
        done = Text.assemble(("done", "green"), " ", plain(title), " ", (f"({time.monotonic() - start:.1f} s)", "dim"))
        self._console.print(done, soft_wrap=True)

    def step(self, what: str, done: int, total: int) -> None:
        """Within a stage: `done` of `total`."""
        if self._quiet:
            return
        if self._progress is not None:
            self._progress.update(self._task, description=plain(what).plain, completed=done, total=total)
        elif time.monotonic() - self._printed > 2:
            self._printed = time.monotonic()
            self._say(f"  {what}: {done} of {total}")

    def note(self, text: str) -> None:
        """One line that stays."""
        if not self._quiet:
            self._say(text, "dim")

    def warn(self, text: str) -> None:
        """One line about something that can hardly be meant; a second time it says nothing new."""
        for heard in self._listeners:
            heard.append(text)
        if text in self.warnings:
            return
        self.warnings.append(text)
        if not self._quiet:
            self._say(f"warning: {text}", "yellow")

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        """What `warn` is told while the block runs, said before or not."""
        heard: list[str] = []
        self._listeners.append(heard)
        try:
            yield heard
        finally:
            self._listeners.remove(heard)

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(plain(one_line(text), style), soft_wrap=True)


def _format(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_format(part)}" for name, part in value.items())
    return "" if value is None else str(value)


def _column(values: Sequence[Any]) -> list[str]:
    """The cells of a column; where it has fractions, all have the decimals that give the largest four digits."""
    fractions = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value)]
    if not fractions:
        return [printable(_format(value)) for value in values]
    largest = max(*fractions, 1e-3)
    decimals = max(0, 3 - math.floor(math.log10(largest)))
    return [f"{v:,.{decimals}f}" if isinstance(v, float) else printable(_format(v)) for v in values]


def output() -> Console:
    """Standard output; wide enough for every table where it is no terminal."""
    console = _console()
    return console if console.is_terminal or "COLUMNS" in os.environ else _console(width=WIDTH)


def tables(console: Console, result: Mapping[str, Any]) -> None:
    """Show a result: lists of rows as tables, mappings as two columns, `files` last."""
    for title, value in result.items():
        if title == "files" or value is None:
            continue
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            _rows(console, title, value)
        elif isinstance(value, Mapping):
            table = Table(title=plain(title), title_justify="left", show_header=False)
            table.add_column(overflow="fold")
            table.add_column(justify="right", overflow="fold")
            for name, cell in value.items():
                table.add_row(plain(name), plain(_format(cell)))
            console.print(table)
        else:
            console.print(plain(f"{title}: {_format(value)}"), soft_wrap=True)
    for name in result.get("files", ()):
        console.print(plain(f"  wrote {name}"), soft_wrap=True)


@dataclass
class _Column:
    """Cells of a column as they are shown.  natural: characters that it takes, least: that it needs; a number is never
    broken."""

    title: str
    cells: list[str]

    @property
    def number(self) -> bool:
        return all(re.fullmatch(r"[-+<]?[0-9][0-9.,e+-]*|", cell) for cell in self.cells)

    @property
    def natural(self) -> int:
        return max(map(cell_len, (self.title, *self.cells)))

    @property
    def least(self) -> int:
        return self.natural if self.number else min(self.natural, LEAST_TEXT)


def _rows(console: Console, title: str, rows: list[Mapping[str, Any]]) -> None:
    """A table, or several with the same first column where its columns do not stand side by side.

    What all names of a column begin with is said in the title.
    """
    columns = [_Column(name, _column([row[name] for row in rows])) for name in rows[0]]
    for group in NAMES:
        named = [column for column in columns if column.title in group]
        start = common(cell for column in named for cell in column.cells)
        if start:
            title += f"; {group[0]} names without {start}"
            for column in named:
                column.cells = [cell.removeprefix(start) for cell in column.cells]
    first, rest = columns[0], columns[1:]
    while True:
        room, count = console.width - first.least - FRAME - 1, 0
        while count < len(rest) and (room := room - rest[count].least - FRAME) >= 0:
            count += 1
        shown, rest = [first, *rest[: max(count, 1)]], rest[max(count, 1) :]
        table = Table(title=plain(title), title_justify="left", header_style="bold")
        widths = _widths(shown, console.width - 1 - FRAME * len(shown))
        for column, width in zip(shown, widths, strict=True):
            table.add_column(plain(column.title), justify="right" if column.number else "left", width=width)
        for cells in zip(*(column.cells for column in shown), strict=True):
            table.add_row(*map(_folded, cells, widths))
        console.print(table)
        if not rest:
            return


def _widths(columns: Sequence[_Column], room: int) -> list[int]:
    """Characters of each column: what it takes, or where there is no room its share of what the narrower ones leave."""
    widths: dict[int, int] = {}
    narrow_first = sorted((c.natural > c.least, c.natural, i) for i, c in enumerate(columns))
    for place, (_, _, i) in enumerate(narrow_first):
        share = (room - sum(widths.values())) // (len(columns) - place)
        widths[i] = max(columns[i].least, min(columns[i].natural, share))
    return [widths[i] for i in range(len(columns))]


def _folded(cell: str, width: int) -> Text:
    """A cell: words are wrapped by the table, a name is broken behind its separators."""
    return Text(cell if " " in cell or cell_len(cell) <= width else fold(cell, width), overflow="fold")
