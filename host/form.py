"""JSON that must have a form before anything is taken out of it.

A form is a type (`int`, `float`, `str`, `bool`), a list of one form for each entry, a dict of the form of each key that
must be there, or one of the classes here.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.base.errors import BadInput

Form = Any


@dataclass(frozen=True)
class Maybe:
    """Null, or what the form says."""

    form: Form


@dataclass(frozen=True)
class Each:
    """An object of any keys, each with a value of the form."""

    form: Form


_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", list: "a list"}


def require(value: Any, form: Form, path: Path, place: str = "") -> None:
    """Raise BadInput, naming the place in the file, where a value lacks the form."""
    match form:
        case Maybe():
            if value is not None:
                require(value, form.form, path, place)
        case Each() | dict():
            _be(isinstance(value, dict), value, "an object", path, place)
            for key in value if isinstance(form, Each) else form:
                inside = f"{place}.{key}" if place else str(key)
                if key not in value:
                    raise BadInput(f"{path}: damaged: {inside} is missing; make it again with `run`")
                require(value[key], form.form if isinstance(form, Each) else form[key], path, inside)
        case list():
            _be(isinstance(value, list), value, _WORDS[list], path, place)
            for i, entry in enumerate(value):
                require(entry, form[0], path, f"{place}[{i}]")
        case _:
            kinds = (int, float) if form is float else form
            fits = isinstance(value, kinds) and isinstance(value, bool) == (form is bool)
            _be(fits and (form is not float or math.isfinite(value)), value, _WORDS[form], path, place)


def _be(fits: bool, value: Any, what: str, path: Path, place: str) -> None:
    if not fits:
        shown = type(value).__name__ if isinstance(value, dict | list) else f"{json.dumps(value):.60}"
        raise BadInput(f"{path}: damaged: {place or 'all'} must be {what}, not {shown}; make it again with `run`")
