"""The table of operators: its names are ONNX's, and the documents have each."""

from __future__ import annotations

import re
from pathlib import Path

import onnx

from quant.onnx_import.operators import HANDLERS

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "operators.md"


def test_every_name_is_an_operator_of_onnx() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    assert not set(HANDLERS) - known


def test_every_operator_is_documented() -> None:
    named = set(re.findall(r"\b[A-Z]\w+\b", DOCUMENT.read_text()))
    assert not set(HANDLERS) - named
