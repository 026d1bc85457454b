from __future__ import annotations

import pytest

from quant.base.errors import BadInput
from quant.compress.low_rank import low_rank
from quant.compress.low_rank.form import WHOLE
from quant.compress.price import MACS
from tests.quant.float_graphs import branches, images


@pytest.mark.parametrize("spatial", [False, True])
def test_a_network_at_its_share(spatial: bool) -> None:
    graph, x, steps = branches(), images(8), []
    found = low_rank(graph, x, 0.7, spatial=spatial, left=["body"], progress=lambda *step: steps.append(step))
    assert found.before == MACS.network(graph) and found.after == MACS.network(found.graph) <= 0.7 * found.before
    assert steps[-1][1] == steps[-1][2] == len(graph.layers)
    rows = {row.layer: row for row in found.layers}
    assert list(rows) == ["stem", "body", "joined", "left", "right", "signed", "fc"]
    assert (rows["body"].reason, rows["right"].reason, rows["body"].ranks) == ("kept", "in groups", WHOLE)
    assert sum(row.before - row.after for row in found.layers) == found.before - found.after
    assert all((row.energy < 1) == (row.ranks != WHOLE) for row in found.layers)
    assert low_rank(graph, x, 0.7, spatial=spatial, left=["body"]).layers == found.layers


def test_a_layer_without_a_rank_that_pays() -> None:
    found = low_rank(branches(), images(8), 0.9, lanes=4)
    assert {row.layer: row.reason for row in found.layers}["left"] == "no rank costs less"


def test_a_share_that_cannot_be_met() -> None:
    with pytest.raises(BadInput, match="0.05 of the MACs cannot be met"):
        low_rank(branches(), images(4), 0.05)
