"""The tables in docs/ are those of the contract."""

import pytest

from hw.contract import document
from quant.base.errors import BadInput


def test_docs_are_up_to_date(capsys):
    assert document.main(["--check"]) == 0, capsys.readouterr().err


def test_check_finds_a_stale_table_and_writing_mends_it(tmp_path, capsys):
    for name in document.GENERATED:
        (tmp_path / name).write_text((document.DOCS / name).read_text())
    stale = tmp_path / "registers.md"
    stale.write_text(stale.read_text().replace("`STATUS`", "`STATE`"))
    assert document.main(["--check"], tmp_path) == 1
    assert str(stale) in capsys.readouterr().err
    assert document.main([], tmp_path) == 0
    assert stale.read_text() == (document.DOCS / "registers.md").read_text()


def test_markers_are_needed():
    with pytest.raises(BadInput, match="markers '<!-- begin registers"):
        document.renewed("no markers", "registers", "")
