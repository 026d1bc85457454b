"""Names from outside, where they are shown: whole, printable, and told apart in little room.

What all names begin with is said once; the rest is folded over lines, never cut: the layers of a trained network
differ in the middle of names of 50 characters, as in /features/features.3/conv/conv.1/conv.1.0/Conv.  Only a message,
which is one line, leaves out the middle of what is longer than anybody reads: a file may hold a name of megabytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SHORT = 26
"""Characters up to which a name is shown as it is."""
LEAST = 6
"""Characters of a beginning that are worth being said once."""
MOST_OF_WORD, MOST_OF_LINE = 500, 4_000
"""Characters of a word and of all of a message up to which it is shown whole."""


def printable(text: str) -> str:
    """A text with what cannot be printed (line ends, control codes, lone surrogates) escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """A text as one line: printable, and the middle left out of each word, and of the whole, that is too long."""
    words = re.sub(rf"\S{{{MOST_OF_WORD + 1},}}", lambda word: _ends(word[0], MOST_OF_WORD), printable(text))
    return _ends(words, MOST_OF_LINE)


def _ends(text: str, most: int) -> str:
    gap = " ... "
    kept = most - len(gap)
    return text if len(text) <= most else text[: kept - kept // 4] + gap + text[-(kept // 4) :]


def common(names: Iterable[str]) -> str:
    """What all names begin with, up to a separator; empty where all are short, or too little would be saved.

    Empty names and those in parentheses, such as (input), stand for no layer and do not count.
    """
    different = {name for name in names if name and not name.startswith("(")}
    if len(different) < 2 or max(map(len, different)) <= SHORT:
        return ""
    first, last = min(different), max(different)  # what these two begin with, all between them do
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    start = first[:same]
    separator = "/" if "/" in start else "."
    start = start[: start.rfind(separator) + 1]
    return start if len(start) >= LEAST else ""


def fold(name: str, length: int) -> str:
    """A name over lines of at most `length` characters, broken behind a slash or other separator if there is one."""
    lines = []
    while len(name) > length:
        places = (1 + name.rfind(separator, length // 2, length) for separator in "/._- ")
        at = next(filter(None, places), length)
        lines.append(name[:at])
        name = name[at:]
    return "\n".join([*lines, name])
