"""Mutants that change nothing that could be seen, each with the reason.

By file, the lines as they are, and the lines altered, both with single spaces.
"""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "sim/hazards.py",
        "worst = int(numbers.argmax()) if len(numbers) else 0",
        "worst = int(numbers.argmax()) if len(numbers) else 1",
    ): "where there are no numbers, the next line does not look at any",
    (
        "sim/cycles/units.py",
        "self._taps, self._wide, self._weights = 1, False, gateware_format(config)",
        "self._taps, self._wide, self._weights = 1, True, gateware_format(config)",
    ): "the SETUP without which no CONV is valid overwrites it",
}
