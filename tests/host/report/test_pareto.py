"""The picture of a search."""

from __future__ import annotations

from host.report.pareto import picture
from quant.optimize import BYTES, PLAIN, Plan, Point


def test_every_origin_is_named_and_what_was_not_made_is_left_out() -> None:
    points = [
        Point(PLAIN, 0.1, {BYTES: 900.0}),
        Point(Plan((), {}, "share"), 0.5, {BYTES: 300.0}),
        Point(Plan((), {}, "ternary"), 60.0, {BYTES: 100.0}),
        Point(Plan((), {}, "channels"), None, refused="no"),
    ]
    text = picture(points, points[1], BYTES)
    assert text.startswith("<svg") and text == picture(points, points[1], BYTES)
    assert all(f">{word}<" in text for word in ("plain", "share", "written", "coded file, bytes"))
    assert ">ternary<" not in text and ">channels<" not in text
