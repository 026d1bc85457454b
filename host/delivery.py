"""Files that are handed to a user in a folder, which may be one of theirs.

A marker in the folder names every file that was written there, with its digest.  Only what still is as it was written
is replaced; whatever else lies in the folder is not touched, and stands in the way where it has a name that is needed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from host.artefacts import file_digest, read_json, reading, write_json
from host.lock import alone
from quant.base.errors import BadInput

HOME = ".shiftpoint"
"""Folder in such a folder, with the marker; while a command is at work, its lock, and the files until all are whole."""
Digests = dict[str, list[str]]
"""By name the SHA-256 of what was written; of two at a time where a command was killed between old and new."""


@contextlib.contextmanager
def delivery(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """A temporary folder, the files in which take their places in `folder` when the block ends.

    names: of the files to come, as far as they are known.  Where the block fails, `folder` stays as it was.
    Raises BadInput, before the block, where `folder` is no folder or cannot be written to, another command is at work
    in it, or a file with one of the names was not written by this project or was changed since.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise BadInput(f"{folder}: is no folder, and is not replaced by one")
    made = not folder.exists()
    staged = folder / HOME / "incomplete"
    try:
        with alone(folder, HOME):
            _require_ours(folder, names, _recorded(folder))
            shutil.rmtree(staged, ignore_errors=True)  # of a command that was killed
            try:
                staged.mkdir()
                yield staged
                _place(staged, folder)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written: {error.strerror}") from error
    finally:
        if made:
            with contextlib.suppress(OSError):  # holds what was delivered
                folder.rmdir()


def _place(staged: Path, folder: Path) -> None:
    """Move files to their places.  The marker knows old and new ones before the first is moved."""
    recorded = _recorded(folder)
    new = {path.name: file_digest(path) for path in sorted(staged.iterdir())}
    _require_ours(folder, new, recorded)
    _record(folder, recorded | {name: [*recorded.get(name, []), digest] for name, digest in new.items()})
    for name in new:
        place = folder / name
        if place.exists():
            (staged / name).chmod(stat.S_IMODE(place.stat().st_mode))
        os.replace(staged / name, place)
    _record(folder, recorded | {name: [digest] for name, digest in new.items()})


def _marker(folder: Path) -> Path:
    return folder / HOME / "files.json"


def _record(folder: Path, digests: Digests) -> None:
    write_json(_marker(folder), {"files": digests})


def _recorded(folder: Path) -> Digests:
    """What the marker of a folder says; nothing where there is none, or none that can be read."""
    try:
        with reading(_marker(folder)):
            return {name: list(digests) for name, digests in read_json(_marker(folder))["files"].items()}
    except BadInput:
        return {}


def _require_ours(folder: Path, names: Iterable[str], recorded: Digests) -> None:
    for name in names:
        place = folder / name
        if not os.path.lexists(place):
            continue
        plain = place.is_file() and not place.is_symlink()
        if not plain or file_digest(place) not in recorded.get(name, []):
            raise BadInput(
                f"{place}: not written by shiftpoint, or changed since; move it away, or name another folder"
            )
