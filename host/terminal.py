"""What the command line shows: progress while it works, tables when it is done."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

WIDTH = 160
"""Columns of tables that go to a file or a pipe."""


LONG = 40
"""Characters beyond which a column of text is wrapped where there is no room."""


class Reporter:
    """Progress on standard error.  `stage` opens a named stage; inside it, call `step` as often as it pays."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True)
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
            columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
            with Progress(*columns, console=self._console, transient=True) as self._progress:
                self._task = self._progress.add_task(title, total=None)
                yield
            self._progress = None
        else:
            self._console.print(f"{title} ...", highlight=False)
            self._printed = start
            yield
        self._console.print(f"[green]done[/] {title} [dim]({time.monotonic() - start:.1f} s)[/]", highlight=False)

    def step(self, what: str, done: int, total: int) -> None:
        """Within a stage: `done` of `total`."""
        if self._quiet:
            return
        if self._progress is not None:
            self._progress.update(self._task, description=what, completed=done, total=total)
        elif time.monotonic() - self._printed > 2:
            self._printed = time.monotonic()
            self._console.print(f"  {what}: {done} of {total}", highlight=False)

    def note(self, text: str) -> None:
        """One line that stays."""
        if not self._quiet:
            self._console.print(text, highlight=False)


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
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


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
                table.add_column(column, justify="right" if right else "left", no_wrap=not long)
            for row in value:
                table.add_row(*(_format(cell) for cell in row.values()))
            console.print(table)
        elif isinstance(value, Mapping):
            table = Table(title=title, title_justify="left", show_header=False)
            table.add_column(no_wrap=True)
            table.add_column(justify="right")
            for name, cell in value.items():
                table.add_row(str(name), _format(cell))
            console.print(table)
        else:
            console.print(f"{title}: {_format(value)}", highlight=False, soft_wrap=True)
    for name in result.get("files", ()):
        console.print(f"  wrote {name}", highlight=False, soft_wrap=True)
