"""How much the tests compared: each adds what it did, `tests/conftest.py` sums it up by room."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import numpy as np

VALUES = "values compared"
counts: Counter[str] = Counter()
"""Of this process, by what is counted."""


def count(number: int, what: str = VALUES) -> None:
    """Add to what is counted."""
    counts[what] += number


def count_arrays() -> None:
    """From now on `numpy.testing.assert_array_equal` counts what it finds equal."""
    plain = np.testing.assert_array_equal

    @functools.wraps(plain)
    def counting(actual: Any, desired: Any, *args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        plain(actual, desired, *args, **kwargs)
        count(np.size(actual))

    np.testing.assert_array_equal = counting
