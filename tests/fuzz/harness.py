"""One rule for whatever is given to the product, and a place where it is held to it.

Exit code 0, 1 or 2; one line of its own on standard error with 1 and 2, none with 0; no traceback, no internal error,
no line of a library, none longer than anybody reads; an end within a minute, within 2 GiB.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60.0
MOST_BYTES = 2 << 30
MOST_CHARACTERS = 4_100
ADDRESSES = 16 << 30
"""Address space of a command: what allocates more than the machine has ends itself and not the machine."""
BROKEN = 70
"""Exit code of a command that raised an exception."""
PROGRESS = re.compile(r"(shiftpoint: |warning: |done |kept |  ).*|.* \.\.\.|")
"""Lines of standard error that are meant."""


@dataclass(frozen=True)
class Step:
    """A part of a case: a command of the product, or a check of what it made.

    title: as one types it.  work: done in a process of its own in the case's folder, returns the exit code.  needs:
    file without which there is nothing to do.  seconds: until which it must end; a check may be several commands.
    """

    title: str
    work: Callable[[], int]
    needs: str = ""
    seconds: float = SECONDS


def command(*arguments: object, needs: str = "") -> Step:
    """A command of the product, run in the process."""
    words = [str(argument) for argument in arguments]

    def work() -> int:
        from host.cli import main

        return main(words)

    return Step(shlex.join(["shiftpoint", *words]), work, needs)


@dataclass(frozen=True)
class Ended:
    """How a step ended.  code: None where a signal ended it.  peak: resident bytes.  why: it was stopped, and why."""

    code: int | None
    signal: int
    error: str
    seconds: float
    peak: int
    why: str

    def complaint(self) -> str:
        """How it broke the rule; empty where it did not."""
        lines = self.error.splitlines()
        own = [line for line in lines if line.startswith("shiftpoint: ")]
        foreign = [line for line in lines if not PROGRESS.fullmatch(line)]
        if self.why:
            return self.why
        if self.code is None:
            return f"ended by signal {self.signal}"
        if "Traceback (most recent call last)" in self.error:
            return f"traceback: {lines[-1]}"
        if self.code not in (0, 1, 2):
            return f"exit code {self.code}: {(own or lines or [''])[-1]}"
        if any(line.startswith("shiftpoint: internal error") for line in own):
            return own[0]
        if len(own) > (self.code != 0) or (self.code == 2 and not own):
            return f"exit code {self.code} with {len(own)} lines: {own}"
        if foreign:
            return f"a line that is not the product's: {foreign[0]}"
        if any(len(line) > MOST_CHARACTERS for line in lines):
            return f"a line of {max(map(len, lines)):,} characters"
        return ""


def run(work: Callable[[], int], folder: Path, seconds: float, most: int = MOST_BYTES) -> Ended:
    """Do some work in a child of this process, and see how it ends.

    Its standard error is kept in the folder's `stderr` until the next.
    """
    error, began = folder / "stderr", time.monotonic()
    child = os.fork()
    if child == 0:
        _child(work, folder, error)
    why = ""
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            break
        if not why:
            if time.monotonic() - began > seconds:
                why = f"no end within {seconds:.0f} seconds"
            elif _resident(child) > most:
                why = f"more than {most >> 20} MiB"
            if why:
                os.killpg(child, signal.SIGKILL)
        time.sleep(0.005)
    peak = usage.ru_maxrss << 10
    if not why and peak > most:
        why = f"{peak >> 20} MiB, more than {most >> 20}"
    text = error.read_text(errors="replace")
    error.unlink()
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    return Ended(code, os.WTERMSIG(status), text, time.monotonic() - began, peak, why)


def _resident(child: int) -> int:
    try:
        return int(Path(f"/proc/{child}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def _child(work: Callable[[], int], folder: Path, error: Path) -> None:
    """The process of a step; does not return."""
    code = BROKEN
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(os.open(error, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(k, "r" if k == 0 else "w") for k in range(3))
        os.environ["TMPDIR"], tempfile.tempdir = str(folder), None  # what a command leaves is seen
        os.chdir(folder)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
