"""JSON to dataclasses: a value is read as what the annotation of its field says, or refused in one line."""

from __future__ import annotations

import dataclasses
import json
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from quant.base.errors import BadInput

_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", NoneType: "null"}


def parse(text: bytes, where: str) -> Any:
    """The value of a JSON text.  where: stands in messages.

    Raises BadInput for what is none, and for what Python alone takes: NaN, infinities, keys twice, texts that are no
    Unicode, whole numbers of more than 64 bits.
    """
    try:
        value = json.loads(text, object_pairs_hook=once, parse_constant=_constant, parse_int=_whole)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise BadInput(f"{where}: nested too deeply") from None
    except UnicodeError:
        raise BadInput(f"{where}: texts that are no Unicode") from None
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from None
    return value


class RepeatedKey(ValueError):
    """A key that an object has twice: who reads it would believe the one, and Python takes the other."""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` of `json` that raises RepeatedKey."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise RepeatedKey(f"{next(name for name in names if names.count(name) > 1)!r:.80} stands there twice")
    return found


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _whole(digits: str) -> int:
    if len(digits) > 20 or not -(1 << 63) <= (value := int(digits)) < 1 << 63:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return value


def read(kind: Any, value: Any, where: str) -> Any:
    """A JSON value as a `kind`: int, float, str, bool, a dataclass, tuple[...], dict[str, ...], a union of these, Any.

    where: stands in messages.  Raises BadInput for a value of another type, naming its place.
    """
    arguments, origin = get_args(kind), get_origin(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, where)
    if origin is UnionType:
        return read(NoneType if value is None and NoneType in arguments else arguments[0], value, where)
    if origin is dict:
        found = _expect(dict, value, where, "an object")
        return {name: read(arguments[1], item, f"{where}.{name}") for name, item in found.items()}
    if origin is tuple:
        return _tuple(arguments, _expect(list, value, where, "a list"), where)
    if isinstance(value, bool) and kind is not bool:  # which Python takes for a whole number
        raise _mismatch(value, where, _WORDS[kind])
    if kind is float and isinstance(value, int):
        return float(value)
    return _expect(kind, value, where, _WORDS[kind])


def _tuple(kinds: tuple[Any, ...], items: list[Any], where: str) -> tuple[Any, ...]:
    if kinds[-1] is Ellipsis:
        if all(type(item) is kinds[0] for item in items):  # most are long lists of numbers
            return tuple(items)
        kinds = kinds[:1] * len(items)
    if len(items) != len(kinds):
        raise BadInput(f"{where} must have {len(kinds)} entries, not {len(items)}")
    return tuple(read(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, items, strict=True)))


def _expect(kind: type, value: Any, where: str, words: str) -> Any:
    if not isinstance(value, kind):
        raise _mismatch(value, where, words)
    return value


def _mismatch(value: Any, where: str, words: str) -> BadInput:
    return BadInput(f"{where} must be {words}, not {_short(value)}")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _record(kind: Any, value: Any, where: str) -> Any:
    found = _expect(dict, value, where, "an object")
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    for name in found:
        if name not in names:
            raise BadInput(f"{where} has no {_short(name)}")
    for name in names:
        if name not in found:
            raise BadInput(f"{where}.{name} is missing")
    try:
        return kind(**{name: read(hints[name], found[name], f"{where}.{name}") for name in names})
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from None
