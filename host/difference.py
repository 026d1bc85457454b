"""Where two versions of a file differ first: by key path in JSON, by line in a text, by byte in anything else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

MOST = 60
"""Characters of a value or a line that are shown."""


def first_difference(held: bytes, made: bytes) -> str | None:
    """Where and how what a file holds differs from what was made again, in one line; None where it does not."""
    if held == made:
        return None
    try:
        return next(_in_json(json.loads(held), json.loads(made), ""), None) or _in_text(held, made)
    except (ValueError, RecursionError):
        return _in_text(held, made)


def _in_json(held: Any, made: Any, path: str) -> Iterator[str]:
    if isinstance(held, dict) and isinstance(made, dict):
        for name in {**made, **held}:
            place = f"{path}.{name}" if path else str(name)
            if name not in held:
                yield f"{place} is missing"
            elif name not in made:
                yield f"{place} does not belong there"
            else:
                yield from _in_json(held[name], made[name], place)
    elif isinstance(held, list) and isinstance(made, list):
        for i, (one, other) in enumerate(zip(held, made, strict=False)):
            yield from _in_json(one, other, f"{path}[{i}]")
        if len(held) != len(made):
            yield f"{path} has {len(held)} entries, made again {len(made)}"
    elif (texts := _shown(json.dumps(held), json.dumps(made))) is not None:
        yield f"{path} is {texts[0]}, made again {texts[1]}"


def _in_text(held: bytes, made: bytes) -> str:
    try:
        ours, theirs = held.decode().split("\n"), made.decode().split("\n")
    except UnicodeDecodeError:
        pairs = zip(held, made, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(held), len(made)))
        return f"byte {at} differs; {len(held)} bytes, made again {len(made)}"
    for i, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if (texts := _shown(one, other)) is not None:
            return f"line {i + 1} is {texts[0]!r}, made again {texts[1]!r}"
    return f"has {len(ours)} lines, made again {len(theirs)}"


def _shown(one: str, other: str) -> tuple[str, str] | None:
    """Two texts, each from a little before their first difference on; None where there is none."""
    if one == other:
        return None
    if max(len(one), len(other)) <= MOST:
        return one, other
    pairs = zip(one, other, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    start = max(0, at - MOST // 4)

    def cut(text: str) -> str:
        return f"{'...' * (start > 0)}{text[start : start + MOST]}{'...' * (len(text) > start + MOST)}"

    return cut(one), cut(other)
