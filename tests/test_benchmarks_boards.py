"""The table of boards: rows are renewed where they are, others stay."""

from __future__ import annotations

from pathlib import Path

from benchmarks import boards, marked

DOCUMENT = Path(__file__).parents[1] / "docs" / "boards.md"


def row(name: str, config: str, cycles: int) -> str:
    return f"| {name} | {config} | 8 | 5 ways | {cycles} | {cycles} | 1.000 | 3 |\n"


def test_rows_are_renewed_where_they_are() -> None:
    before = [row("a", "small", 1), row("b", "small", 2)]
    assert boards.renewed(before, [row("b", "tiny", 3), row("a", "small", 4)]) == [
        row("a", "small", 4),
        row("b", "small", 2),
        row("b", "tiny", 3),
    ]


def test_the_document_has_the_table() -> None:
    table = marked.read(DOCUMENT, boards.MARKERS)
    assert table.startswith(boards.HEAD)
    rows = [line.split(" | ") for line in table.removeprefix(boards.HEAD).splitlines()]
    assert list(dict.fromkeys(cells[0].removeprefix("| ") for cells in rows)) == list(boards.USUAL)
    for cells in rows:
        counted, model = (int(cell.replace(",", "")) for cell in cells[4:6])
        assert cells[6] == f"{model / counted:.3f}" and abs(model / counted - 1) <= boards.MOST
