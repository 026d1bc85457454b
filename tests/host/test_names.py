"""Long names can be told apart: their beginning is said once, the rest is folded, nothing is cut."""

from __future__ import annotations

import pytest

from host.names import MOST_OF_LINE, MOST_OF_WORD, common, fold, one_line, printable

LAYERS = [f"/features/features.{f}/conv/conv.{c}/conv.{c}.0/Conv" for f in range(1, 4) for c in range(2)]


def test_a_common_beginning_ends_at_a_separator() -> None:
    assert common(LAYERS) == "/features/"
    assert common(["model.features.10.conv.weight.a", "model.features.12.conv.weight.a"]) == "model.features."
    assert common([*LAYERS, "(input)", ""]) == "/features/"


@pytest.mark.parametrize(
    "names",
    [
        [],
        LAYERS[:1],
        ["block/conv1", "block/conv2"],
        [*LAYERS, "gemm_35"],
        ["/a/" + "b" * 30, "/a/" + "c" * 30],
        ["without_separator_at_all_1_of_2", "without_separator_at_all_2_of_2"],
    ],
)
def test_nothing_is_left_out_where_it_does_not_pay(names: list[str]) -> None:
    assert common(names) == ""


@pytest.mark.parametrize("name", [*LAYERS, "x" * 99, "short", "a/" * 30, "many words in a name that has no slash"])
@pytest.mark.parametrize("length", [10, 34])
def test_a_folded_name_is_whole(name: str, length: int) -> None:
    lines = fold(name, length).split("\n")
    assert "".join(lines) == name and max(map(len, lines)) <= length and all(lines)


def test_names_break_behind_separators() -> None:
    assert fold(LAYERS[0], 34).split("\n") == ["/features/features.1/conv/conv.0/", "conv.0.0/Conv"]


def test_what_cannot_be_printed_is_escaped() -> None:
    assert printable("two\nlines\x1b[31m") == "two\\nlines\\x1b[31m"
    assert printable("é, 層") == "é, 層"
    assert printable("\udcff") == "\\udcff"


def test_a_message_is_one_line_that_somebody_can_read() -> None:
    assert one_line("mode é\nof 3") == "mode é\\nof 3"
    assert one_line("x" * MOST_OF_WORD) == "x" * MOST_OF_WORD
    for mode in ("x" * 10_000, "\0" * 10_000, "字" * 10_000):
        line = one_line(f"net.onnx: mode {mode}; nearest is supported")
        assert line.startswith("net.onnx: mode ") and line.endswith("; nearest is supported") and " ... " in line
        assert len(line) == len("net.onnx: mode ") + MOST_OF_WORD + len(" nearest is supported")
    line = one_line("node sin; " * 10_000)
    assert len(line) == MOST_OF_LINE and line.startswith("node sin; node") and line.endswith("node sin; ")
