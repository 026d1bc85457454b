"""Rows of pictures have their names whole."""

from __future__ import annotations

import re
import subprocess
import sys

import matplotlib
import pytest

from host.report.drawing import STYLE, label, rows, svg


def texts(names: list[str]) -> str:
    """All that a picture of rows says, in order."""
    with matplotlib.rc_context(STYLE):
        figure, _ = rows(names)
        return "".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg(figure)))


def test_long_names_are_whole_but_for_what_is_said_once() -> None:
    names = [f"/model/features/features.{i}/conv/conv.1/conv.1.0/Convolution" for i in range(3)]
    text = texts(names)
    assert text.count("layers: without /model/features/") == 1
    assert all(name.removeprefix("/model/features/") in text for name in names)


@pytest.mark.parametrize("name", ["Conv2d[extras]", "$a_b$", r"\frac{a}", "a$b$$c", "層", "two\nlines", "<b>&amp;"])
def test_a_name_is_no_formula_and_no_markup(name: str, recwarn: pytest.WarningsRecorder) -> None:
    escaped = name.replace("\n", r"\n").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert escaped in texts([name]) and not recwarn.list
    assert "$" not in label(name).replace(r"\$", "")


def test_the_process_keeps_its_own_backend() -> None:
    """A notebook shows its own pictures, whatever of shiftpoint it has imported."""
    code = (
        "import sys, shiftpoint; shiftpoint.compare; import host.report.page; print('matplotlib.pyplot' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
