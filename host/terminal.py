"""What the command line shows: progress while it works, tables when it is done.

Names of nodes, tensors and files come from outside and are shown as they are: no console here reads markup or emoji
codes, and styles are given beside a text, never in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

WIDTH = 160
"""Columns of tables that go to a file or a pipe, unless $COLUMNS says otherwise."""
LONG = 40
"""Characters beyond which a column of text is folded where there is no room."""


def plain(value: object, style: str = "") -> Text:
    """A text as it is, in one style; what cannot be printed (line ends, control codes, lone surrogates) is escaped."""
    text = str(value)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return Text(text, style=style)


def _console(*, stderr: bool = False, width: int | None = None) -> Console:
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


class Reporter:
    """Progress on standard error.  `stage` opens a named stage; inside it, call `step` as often as it pays.

    quiet: print nothing, for a command whose output is one JSON value, which carries the `warnings` then.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.warnings: list[str] = []
        """What `warn` was told."""
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
        start = time.monotonic()
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
        if text in self.warnings:
            return
        self.warnings.append(text)
        if not self._quiet:
            self._say(f"warning: {text}", "yellow")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(plain(text, style), soft_wrap=True)


def _format(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else str(value)


def _is_number(text: Any) -> bool:
    """Whether a text is a number that was formatted already."""
    return isinstance(text, str) and text.replace(".", "", 1).replace("-", "", 1).isdecimal()


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
            table = Table(title=title, title_justify="left", header_style="bold")
            for column, cell in value[0].items():
                right = isinstance(cell, int | float) or _is_number(cell)
                long = any(len(str(row[column])) > LONG for row in value)
                table.add_column(column, justify="right" if right else "left", no_wrap=not long, overflow="fold")
            for row in value:
                table.add_row(*(plain(_format(cell)) for cell in row.values()))
            console.print(table)
        elif isinstance(value, Mapping):
            table = Table(title=title, title_justify="left", show_header=False)
            table.add_column(no_wrap=True)
            table.add_column(justify="right")
            for name, cell in value.items():
                table.add_row(plain(name), plain(_format(cell)))
            console.print(table)
        else:
            console.print(plain(f"{title}: {_format(value)}"), soft_wrap=True)
    for name in result.get("files", ()):
        console.print(plain(f"  wrote {name}"), soft_wrap=True)
