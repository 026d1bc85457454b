"""Jobs for the tests of workers: importable by their name in every process."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from quant.base.errors import BadInput


def echo(content: bytes, job: Any) -> Any:
    """The job beside what all have in common."""
    return content.decode(), job, os.getpid()


def refuse(content: bytes, job: Any) -> Any:
    """A user's mistake."""
    raise BadInput(f"{job} cannot be")


def die_once(content: bytes, job: Any) -> Any:
    """Kill the worker, unless it or another was killed before.  content: the path of a file that says so."""
    flag = Path(content.decode())
    if job == 1 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def die(content: bytes, job: Any) -> Any:
    """Kill the worker."""
    os.kill(os.getpid(), signal.SIGKILL)
