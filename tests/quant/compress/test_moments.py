from __future__ import annotations

import numpy as np
import pytest

from quant.compress import moments as module
from quant.compress.moments import moments
from tests.quant.float_graphs import branches, images
from tests.quant.search_checks import float_conv, float_values


def test_energy_and_variances_are_those_of_the_tensors():
    """Over all positions, but for what H is damped by."""
    graph, x = branches(), images(16)
    found = {m.layer.name: m for m in moments(graph, x, ["body", "right", "fc"])}
    assert list(found) == ["body", "right", "fc"]
    for name, source in (("right", "joined.y"), ("fc", "mean.y")):
        m, values = found[name], float_values(graph, x, source)
        outputs = float_values(graph, x, f"{name}.y").var((0, 2, 3)).sum()
        assert m.matrix is not None and m.rows.shape[1:] == ((1, 9) if name == "right" else (10, 12))
        if name == "fc":
            assert m.energy == pytest.approx(outputs, rel=0.2)
            np.testing.assert_allclose(m.second[0, 0], values.var((0, 2, 3)), rtol=0.3)


def test_a_layer_of_many_inputs_has_no_correlations(monkeypatch):
    monkeypatch.setattr(module, "TERMS", 10)
    graph = branches()
    found = {m.layer.name: m for m in moments(graph, images(2), ["body", "right"])}
    assert found["body"].matrix is None and found["right"].matrix is not None
    assert (found["body"].second == 1).all()
    assert found["body"].energy == pytest.approx(np.square(float_conv(graph, "body").weight, dtype=float).sum())
