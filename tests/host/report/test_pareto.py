"""The picture of a search."""

from __future__ import annotations

import re

from host.report.pareto import COLOURS, picture
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


def test_no_two_origins_look_the_same() -> None:
    """More of them than there are colours: what a marker draws is defined once and used by its colour."""
    points = [Point(Plan((), {}, f"way {number}"), 0.1 * number, {BYTES: 900.0}) for number in range(2 * len(COLOURS))]
    text = picture(points, points[0], BYTES)
    legend = text[text.index('id="legend_1"') :]
    looks = re.findall(r'xlink:href="(#\w+)"[^/]*style="fill: (#\w+)', legend)
    assert len(looks) == len(points) == len(set(looks))
