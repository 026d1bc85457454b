"""Two networks side by side: which rows there are, and how a change is said."""

from __future__ import annotations

from typing import Any

from host.report.beside import by_layer, totals


def layer(name: str, weights: int, cycles: int | None) -> dict[str, Any]:
    return {"layer": name, "weights": weights, "cycles": cycles}


def network(cycles: int | None, top1: float | None, *layers: dict[str, Any]) -> dict[str, Any]:
    sizes = dict.fromkeys(("weights", "kept", "bytes", "macs"), 1000) | {"coded_bytes": cycles or 0}
    moved = dict.fromkeys(("bytes_read", "bytes_written"), cycles)
    return {**sizes, **moved, "cycles": cycles, "top1": top1, "layers": list(layers)}


def test_what_both_have_is_compared() -> None:
    found = totals({"beside": network(3000, 0.9), "network": network(1200, 0.895)})
    rows = {row["what"]: (row["before"], row["after"], row["change"]) for row in found}
    assert rows["cycles"] == ("3,000", "1,200", "2.50x fewer") and rows["bytes moved"][0] == "6,000"
    assert rows["top-1"] == ("90.00 %", "89.50 %", "-0.50 points") and rows["weights"][2] == "the same"
    found = totals({"beside": network(3000, None), "network": network(4500, 0.9)})
    assert [row["change"] for row in found if row["what"] in ("cycles", "top-1")] == ["1.50x as many"]
    assert "cycles" not in [row["what"] for row in totals({"beside": network(None, 1.0), "network": network(1, 1.0)})]


def test_layers_of_either() -> None:
    before = network(9, None, layer("one", 5, 4), layer("gone", 7, 3), layer("moves", 0, None), layer("last", 2, 2))
    after = network(6, None, layer("one.low", 2, 1), layer("one", 2, 3), layer("last", 2, 2))
    rows = by_layer({"beside": before, "network": after})
    assert [row["layer"] for row in rows] == ["one.low", "gone", "one", "last"]
    assert rows[0]["before"] is None and rows[1]["after"] is None
    assert (rows[2]["before"]["weights"], rows[2]["after"]["weights"]) == (5, 2)
