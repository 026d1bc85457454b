"""One command at a time in a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from host.names import printable
from quant.base.errors import BadInput


@contextlib.contextmanager
def alone(folder: Path, home: str, reading: bool = False) -> Iterator[None]:
    """Hold a folder against other commands of this project.

    The lock is the kernel's: it goes with the process, however that ends.

    home: name of the folder in it where the lock's file lies; made if missing, as `folder` is, and removed if empty.
    reading: nothing is made but that; a folder that is missing or read-only is not held, as no command can write in it.
    Raises BadInput where another command holds it, saying which, or where it cannot be written to.
    """
    path = folder / home / "lock"
    try:
        held = _taken(path, folder, reading)
    except OSError as error:
        if not reading:
            raise BadInput(f"cannot write to {folder}: {error.strerror}") from None
        held = None
    try:
        yield
    finally:
        if held is not None:
            path.unlink(missing_ok=True)
            held.close()
            with contextlib.suppress(OSError):
                path.parent.rmdir()


def _taken(path: Path, folder: Path, reading: bool) -> IO[str]:
    """The lock's file, open and locked.

    Whoever held it may have removed it between opening and locking: a lock on a file that is gone excludes nobody,
    so it is taken again.
    """
    if path.parent.is_symlink():
        raise BadInput(f"{path.parent}: is a link, and no folder of this project; move it away")
    while True:
        try:
            path.parent.mkdir(parents=not reading, exist_ok=True)
        except FileExistsError:
            if os.path.lexists(path.parent) and not path.parent.is_dir():
                raise
            continue  # removed by who held it just now
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            file = os.fdopen(handle, "r+", encoding="utf-8", errors="replace")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with file:
                    who = file.read().strip() or "another command"
                raise BadInput(f"{folder}: in use by {who}") from None
            if os.path.samestat(os.fstat(handle), path.stat()):
                try:
                    file.truncate(0)
                    file.write(f"{_me()}\n")
                    file.flush()
                except OSError:
                    path.unlink()
                    with contextlib.suppress(OSError):  # what could not be written, once more
                        file.close()
                    raise
                return file
            file.close()


def _me() -> str:
    command = printable(shlex.join(["shiftpoint", *sys.argv[1:]]))
    return f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}: {command}"
