"""What a script of figures does with its rows: measured or taken from files, kept, printed, put into a document."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import marked
from quant.base.errors import BadInput, ShiftpointError

Row = dict[str, Any]
Tables = Callable[[Sequence[Row]], str]
"""Rows to the text that documents hold."""


def save(path: Path, mode: str, rows: Sequence[Row]) -> None:
    """Write what `load` reads."""
    path.write_text(json.dumps({"mode": mode, "rows": list(rows)}, indent=1) + "\n")


def load(files: Sequence[Path], modes: Collection[str]) -> tuple[str, list[Row]]:
    """What is measured in files of figures, one of `modes`, and the rows of all.  Raises BadInput for other files."""
    found, rows = set(), []
    for file in files:
        try:
            content = json.loads(file.read_text())
            found.add(content["mode"])
            rows += content["rows"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{file}: no file of figures that --json wrote") from error
    if len(found) > 1 or not found <= set(modes):
        raise BadInput(f"the files hold figures of different kinds: {', '.join(sorted(map(str, found)))}")
    return found.pop(), rows


def add_options(parser: argparse.ArgumentParser) -> None:
    """--saved, --json and --write."""
    parser.add_argument("--saved", nargs="+", type=Path, metavar="FILE", help="measure nothing, take these figures")
    parser.add_argument("--json", type=Path, help="file for the figures, written after each row")
    parser.add_argument("--write", type=Path, help="file with the markers to write the tables between")


def show(arguments: argparse.Namespace, mode: str, tables: dict[str, Tables], measured: Iterable[Row]) -> int:
    """Print the tables of rows that are measured, or of files; the exit code, 2 with one line for bad input.

    arguments: with those of `add_options`.  mode: what is measured; with --saved the files say it.  tables: by mode,
    which is the name of the place in a document, too.  measured: rows as they come; not looked at with --saved.
    """
    rows: list[Row] = []
    try:
        if arguments.saved:
            mode, rows = load(arguments.saved, tables)
        if arguments.write:
            marked.check(arguments.write, mode)  # before hours of measuring
        for row in () if arguments.saved else measured:
            rows.append(row)
            if arguments.json:
                save(arguments.json, mode, rows)
        text = tables[mode](rows)
        print(text, end="")
        if arguments.write:
            marked.write(arguments.write, mode, text)
    except ShiftpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
