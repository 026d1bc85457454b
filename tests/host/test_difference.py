"""Where two versions of a file differ first."""

from __future__ import annotations

import pytest

from host.difference import first_difference


@pytest.mark.parametrize(
    ("held", "made", "said"),
    [
        (b"{}", b"{}", None),
        (b'{"a": {"b": [1, 2]}}', b'{"a": {"b": [1, 3]}}', "a.b[1] is 2, made again 3"),
        (b'{"a": 1}', b'{"a": 1, "b": 2}', "b is missing"),
        (b'{"a": 1, "b": 2}', b'{"a": 1}', "b does not belong there"),
        (b'{"a": [1]}', b'{"a": [1, 2]}', "a has 1 entries, made again 2"),
        (b'{"a": 1}', b'{"a": true}', "a is 1, made again true"),
        (b'{"a": NaN}', b'{"a": NaN }', "line 1 is '{\"a\": NaN}', made again '{\"a\": NaN }'"),
        (b'{"a": 1, "b": 2}', b'{"b": 2, "a": 1}', "line 1 is "),
        (b'{"a": 1', b'{"a": 1}', "line 1 is "),
        (b"one\ntwo\n", b"one\nthree\n", "line 2 is 'two', made again 'three'"),
        (b"one\n", b"one\ntwo\n", "line 2 is '', made again 'two'"),
        (b"", b"one", "line 1 is '', made again 'one'"),
        (
            b"a" * 500 + b"b" * 99,
            b"a" * 500 + b"c" * 9,
            f"line 1 is '...{'a' * 15}{'b' * 45}...', made again '...{'a' * 15}{'c' * 9}'",
        ),
        (b"\xff\x00\x01", b"\xff\x00\x02", "byte 2 differs; 3 bytes, made again 3"),
        (b"\xff\x00", b"\xff\x00\x02", "byte 2 differs; 2 bytes, made again 3"),
        (b"[" * 100_000, b"[]", "line 1 is "),
    ],
)  # fmt: skip
def test_first_difference(held: bytes, made: bytes, said: str | None) -> None:
    found = first_difference(held, made)
    assert found == said if said is None or not said.endswith("is ") else str(found).startswith(said)
