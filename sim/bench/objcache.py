"""Verilator's runtime library, compiled once and not once a build.

Make calls this file in front of every compilation (as it would call ccache):

    python objcache.py FOLDER KEY COMPILER ARGUMENTS... -o OBJECT SOURCE

A source that ships with Verilator is compiled the first time and copied from FOLDER afterwards; it takes
fifteen of the eighteen seconds that a small build needs.  Every other source is compiled as usual.  An object
is found by KEY (which names Verilator, the compiler and the machine) and by the whole command, so a change of
either is a miss, never a wrong object.

Runs in a bare interpreter: the standard library only, nothing of this project.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def main(argv: list[str]) -> int:
    """Compile, or copy what an equal command compiled before; the compiler's exit status."""
    folder, key, command = Path(argv[0]), argv[1], argv[2:]
    source = Path(command[-1])
    if source.parent.name != "include" or not source.name.startswith("verilated") or "-o" not in command:
        return subprocess.call(command)
    target = Path(command[command.index("-o") + 1])
    digest = hashlib.sha256("\0".join([key, *command]).encode()).hexdigest()
    kept = folder / f"{source.stem}-{digest[:32]}.o"
    with contextlib.suppress(OSError):
        shutil.copyfile(kept, target)
        return 0
    status = subprocess.call(command)
    if status == 0:
        with contextlib.suppress(OSError):  # a folder that cannot be written costs time, nothing else
            folder.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(dir=folder, suffix=".partial")
            os.close(handle)
            shutil.copyfile(target, partial)
            os.replace(partial, kept)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
