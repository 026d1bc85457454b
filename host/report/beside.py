"""Two networks side by side, from report.json: what each costs as a whole, and layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from host.cost import row

Values = dict[str, Any]
RATE = "top-1"
"""Of the figures the one that is a share, of which the difference is shown."""


def totals(beside: Mapping[str, Any]) -> list[Values]:
    """A row for each figure that both networks have: what, before (the other network), after (this one), change."""
    before, after = row(beside["beside"]), row(beside["network"])
    return [
        {"what": title, "before": _shown(title, before[title]), "after": _shown(title, value), "change": change}
        for title, value in after.items()
        if title in before
        for change in [_change(title, before[title], value)]
    ]


def by_layer(beside: Mapping[str, Any]) -> list[Values]:
    """A row for each layer of either network with weights or cycles: its two costs, None where one lacks the layer."""
    pair = [{layer["layer"]: layer for layer in beside[key]["layers"]} for key in ("beside", "network")]
    names = list(pair[1])
    for place, name in enumerate(pair[0]):  # those that are gone, where they were
        if name not in pair[1]:
            names.insert(min(place, len(names)), name)
    costs = [(name, *(known.get(name) for known in pair)) for name in names]
    return [
        {"layer": name, "before": before, "after": after}
        for name, before, after in costs
        if any(cost and (cost["weights"] or cost["cycles"] is not None) for cost in (before, after))
    ]


def _shown(title: str, value: float) -> str:
    return f"{100 * value:.2f} %" if title == RATE else f"{value:,}"


def _change(title: str, before: float, after: float) -> str:
    if title == RATE:
        return f"{100 * (after - before):+.2f} points"
    if before == after:
        return "the same"
    return f"{before / after:.2f}x fewer" if 0 < after < before else f"{after / max(before, 1):.2f}x as many"
