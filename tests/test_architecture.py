"""docs/architecture.md names every file of the source, and none that is gone."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("quant", "hw", "sim", "host")
TEXT = (ROOT / "docs" / "architecture.md").read_text()
WHOLE = ("host/compiler/kinds", "quant/compare", "quant/kinds", "quant/search", "sim/cycles")
"""Folders that the document names as one: a kind, a step or a unit a file."""


def sources() -> list[Path]:
    """Every module with content, and what the bench compiles."""
    found = [
        path for room in ROOMS for path in sorted((ROOT / room).rglob("*")) if path.suffix in (".py", ".sv", ".cpp")
    ]
    return [path.relative_to(ROOT) for path in found if path.name != "__init__.py"]


def test_every_file_is_named() -> None:
    missing = [
        str(path)
        for path in sources()
        if str(path) not in TEXT and f"`{path.name}`" not in TEXT and not str(path).startswith(WHOLE)
    ]
    assert not missing


def test_no_file_is_named_that_is_gone() -> None:
    named = set(re.findall(r"`((?:quant|hw|sim|host)/[\w/]+(?:\.\w+)?)/?`", TEXT))
    assert named and not [name for name in sorted(named) if not (ROOT / name).exists()]
