"""Tables in documents, between the markers <!-- NAME: begin --> and <!-- NAME: end -->."""

from __future__ import annotations

from pathlib import Path

from quant.base.errors import BadInput
from quant.base.files import write_atomic


def check(path: Path, name: str) -> None:
    """Raise BadInput where a file has not both markers of this name, once each and in order."""
    _split(path, name)


def read(path: Path, name: str) -> str:
    """What stands between the markers of this name, from the line after the first on.  Raises BadInput as `check`."""
    before, after = _split(path, name)
    return path.read_text()[len(before) + 1 : -len(after)]


def write(path: Path, name: str, text: str) -> None:
    """Put a text, which ends its last line, between the markers of this name.  Raises BadInput as `check`."""
    before, after = _split(path, name)
    write_atomic(path, f"{before}\n{text}{after}".encode())


def _split(path: Path, name: str) -> tuple[str, str]:
    """What stands before the place, with its marker, and after it."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    try:
        whole = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read, and has no markers {begin} and {end}") from error
    if whole.count(begin) != 1 or whole.count(end) != 1 or whole.index(end) < whole.index(begin):
        raise BadInput(f"{path} has no markers {begin} and {end}")
    return whole[: whole.index(begin) + len(begin)], whole[whole.index(end) :]
