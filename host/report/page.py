"""report.html: one self-contained page, rendered from report.json alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from host.legs import LEGS, OnBoard
from host.report.beside import by_layer, totals
from host.report.pictures import draw
from hw.contract.registers import STALL_CAUSES


def render(report: dict[str, Any]) -> str:
    """The page of a report; deterministic."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    causes = [cause for cause in STALL_CAUSES if cause != "compute"]
    return environment.get_template("page.html.j2").render(
        r=report,
        pictures=draw(report),
        stall_causes=causes,
        legs=[leg for leg in LEGS if leg is not OnBoard or report["board"]],
        totals=totals(report["beside"]) if report["beside"] else [],
        both=by_layer(report["beside"]) if report["beside"] else [],
    )
