"""Corners of the gateware and the models that random draws miss."""

from __future__ import annotations

DIRECTED: tuple[tuple[str, str, str, tuple[str, ...], str | None], ...] = ()
"""File, text that stands in it once, text in its place, tests that must see it, and why it is equivalent, if it is."""
