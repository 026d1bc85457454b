"""Mistakes a user can make: each is one clear line, and the command line prints nothing else of it."""

from __future__ import annotations

MOST_CHARACTERS = 500
"""Most of a foreign message: it may repeat a name of any length out of a file."""


class ShiftpointError(Exception):
    """Base of every error that is the user's to mend.  Its message is one line."""


class BadInput(ShiftpointError):
    """A file or value that cannot be used: missing, unreadable, of another kind, or out of range."""


class UnsupportedNetwork(ShiftpointError):
    """A readable network that holds something this project does not support, named in the message."""


class VerificationError(ShiftpointError):
    """Two computations that must agree do not; the message names the first place where they differ."""


def first_line(error: BaseException) -> str:
    """The first line of a foreign error's message that says something, cut where it is longer than anybody reads."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else type(error).__name__
    return line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]} ..."
