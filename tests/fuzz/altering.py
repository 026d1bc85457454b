"""Slips in a message of Protocol Buffers: a field changed, dropped, doubled, or moved, wherever it stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

T = TypeVar("T")

WHOLE = (0, 1, -1, 2, 3, 7, 16, 255, 1 << 20, (1 << 31) - 1, -(1 << 31), 1 << 40, 1 << 62, (1 << 63) - 1, -(1 << 63))
REAL = (0.0, -0.0, 1.0, -1.0, 0.5, 3.0, 1e-45, 1e-30, 1e30, 3e38, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    "",
    "x",
    "a b",
    "../a",
    "new\nline",
    "é",
    "[bold]",
    "a/b",
    "0" * 300,
    "SAME_UPPER",
    "nearest",
    "linear",
    "edge",
)
OPERATORS = sorted({schema.name for schema in onnx.defs.get_all_schemas()})
TYPES = range(26)
LONG = 64
"""Elements of a repeated field that are looked at; of longer ones, the first."""

Place = tuple[Any, FieldDescriptor, int | None]
"""A message, a field of it, and which of its elements."""


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of them."""
    return choices[int(rng.integers(len(choices)))]


def places(message: Message) -> Iterator[Place]:
    """Every value in a message, and in the messages in it."""
    for field, value in message.ListFields():
        elements = list(value)[:LONG] if field.is_repeated else [value]
        for k, element in enumerate(elements):
            yield message, field, k if field.is_repeated else None
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                yield from places(element)


def alter(message: Message, rng: np.random.Generator) -> str:
    """Change one thing in a message; says what."""
    found = list(places(message))
    owner, field, k = pick(rng, found)
    where = f"{owner.DESCRIPTOR.name}.{field.name}" + ("" if k is None else f"[{k}]")
    if k is not None and rng.integers(4) == 0:
        return f"{where} {_moved(owner, field, k, rng)}"
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if k is None:
            owner.ClearField(field.name)
            return f"{where} dropped"
        return f"{where} {_moved(owner, field, k, rng)}"
    if rng.integers(12) == 0:
        owner.ClearField(field.name)
        return f"{where} dropped"
    old = getattr(owner, field.name)
    new = _other(field, old if k is None else old[k], found, rng)
    try:
        if k is None:
            setattr(owner, field.name, new)
        else:
            old[k] = new
    except (ValueError, TypeError):  # beyond what the field holds
        return f"{where} as it was"
    return f"{where} = {str(new)[:60]!r}"


def _moved(owner: Any, field: FieldDescriptor, k: int, rng: np.random.Generator) -> str:
    values = getattr(owner, field.name)
    match rng.integers(3):
        case 0:
            del values[k]
            return "dropped"
        case 1:
            values.append(values[k])
            return "twice"
    other = int(rng.integers(len(values)))
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        kept = type(values[k])()
        kept.CopyFrom(values[k])
        values[k].CopyFrom(values[other])
        values[other].CopyFrom(kept)
    else:
        values[k], values[other] = values[other], values[k]
    return f"in the place of {other}"


def _other(field: FieldDescriptor, old: Any, found: list[Place], rng: np.random.Generator) -> Any:
    """Another value for a field."""
    match field.type:
        case FieldDescriptor.TYPE_FLOAT | FieldDescriptor.TYPE_DOUBLE:
            return pick(rng, (*REAL, old * 2, old / 2, -old, old + 1))
        case FieldDescriptor.TYPE_STRING:
            if field.name == "op_type":
                return pick(rng, OPERATORS)
            return _text(found, rng)
        case FieldDescriptor.TYPE_BYTES:
            return altered(old, rng) if field.name == "raw_data" else _text(found, rng).encode()
        case FieldDescriptor.TYPE_ENUM:
            return int(pick(rng, TYPES))
    if field.name in ("data_type", "elem_type"):
        return int(pick(rng, TYPES))
    return int(pick(rng, (*WHOLE, int(old) + 1, int(old) - 1, -int(old))))


def _text(found: list[Place], rng: np.random.Generator) -> str:
    """A name that stands elsewhere, so that things are connected otherwise; or an odd one."""
    if rng.integers(4) == 0:
        return pick(rng, TEXTS)
    texts = [place for place in found if place[1].type == FieldDescriptor.TYPE_STRING]
    owner, field, k = pick(rng, texts)
    value = getattr(owner, field.name)
    return str(value if k is None else value[k])


def altered(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes cut off, lengthened, or with some of them changed."""
    changed = bytearray(data)
    match rng.integers(5):
        case 0:
            return bytes(changed[: int(rng.integers(len(changed) + 1))])
        case 1:
            return bytes(changed + rng.bytes(int(rng.integers(1, 9))))
        case 2 if len(changed) > 4:
            start = int(rng.integers(len(changed) // 4)) * 4
            changed[start : start + 4] = np.float32(pick(rng, REAL)).tobytes()
        case 3 if changed:
            start, length = int(rng.integers(len(changed))), int(rng.integers(1, 40))
            changed[start : start + length] = changed[start : start + length][::-1]
        case _:
            for _ in range(int(rng.integers(1, 5)) if changed else 0):
                changed[int(rng.integers(len(changed)))] = int(rng.integers(256))
    return bytes(changed)
