"""Figures in files: rows of JSON values, and what was measured."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from quant.errors import BadInput


def save(path: Path, mode: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write what `load` reads."""
    path.write_text(json.dumps({"mode": mode, "rows": list(rows)}, indent=1) + "\n")


def load(files: Sequence[Path], modes: Collection[str]) -> tuple[str, list[dict[str, Any]]]:
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
