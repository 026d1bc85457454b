"""Files are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from quant.base.errors import BadInput

PREFIX = ".shiftpoint."
"""What the names of files begin with that are being written; one that is left is of a process that was killed."""


def write_atomic(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.  As `replacing`."""
    with replacing(path) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends, and vanishes where the block fails.

    It lies in the same folder until then.  A link is written through; mode and owner of the file before are kept.
    Raises BadInput where the folder is missing or cannot be written to, and as `destination`.
    """
    target = destination(path)
    try:
        handle, temporary = tempfile.mkstemp(prefix=PREFIX, dir=target.parent)
    except OSError as error:
        raise BadInput(f"{Path(path)}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            _as_before(target, temporary)
            yield file
        os.replace(temporary, target)
    except OSError as error:
        raise BadInput(f"{Path(path)}: cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def destination(path: str | os.PathLike[str]) -> Path:
    """The file that writing to `path` makes or replaces: of a link, what it names.

    Raises BadInput for a folder, a device, a FIFO, a socket: none of them is replaced by a file.
    """
    try:
        target = Path(os.path.realpath(path))
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return target
    except (OSError, ValueError) as error:
        raise BadInput(f"{Path(path)}: cannot be written: {getattr(error, 'strerror', error)}") from error
    if not stat.S_ISREG(mode):
        kind = os.strerror(errno.EISDIR) if stat.S_ISDIR(mode) else "a device, FIFO or socket, no file"
        raise BadInput(f"{Path(path)}: cannot be written: {kind}")
    return target


def _as_before(target: Path, temporary: str) -> None:
    """Give a temporary file the mode and owner of the file that it replaces; a new one is as readable as any."""
    try:
        before = target.stat()
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        return
    with contextlib.suppress(PermissionError):  # a file of another user becomes this one's, unless root writes it
        os.chown(temporary, before.st_uid, before.st_gid)
    os.chmod(temporary, stat.S_IMODE(before.st_mode))
