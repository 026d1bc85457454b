"""Mutants that change nothing that could be seen, each with the reason.

By file, the lines as they are, and the lines altered, both with single spaces.
"""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str, str], str] = {}
