"""The float network layer by layer, and its outputs where one tensor is changed."""

from __future__ import annotations

import numpy as np
import pytest

from quant.compare.walk import Walk, clipped, outputs_from
from quant.kinds.add import FloatAdd
from quant.run import float_run
from quant.run.float_run import FloatRunner, RestRunner
from tests.quant.float_graphs import branches, images


def test_every_layer_once_with_the_tensors_that_are_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, x = branches(), images(3)
    whole = next(iter(FloatRunner(graph).run(x)))[1]
    monkeypatch.setattr(float_run, "BATCH_BYTES", 1)
    walk = Walk(graph, x)
    assert walk.parts == [slice(0, 1), slice(1, 2), slice(2, 3)]
    for name in graph.outputs:
        np.testing.assert_allclose(walk.outputs[name], whole[name], atol=1e-5)
    seen = []
    for visit in walk.visits():
        seen.append(visit.layer)
        assert visit.index == len(seen) - 1
        later = {name for layer in graph.layers[visit.index :] for name in layer.inputs}
        assert set(visit.layer.inputs) <= set(visit.tensors) <= later
        before_clip = visit.values.copy()
        low, high = visit.layer.clip
        after = np.clip(before_clip, low, high) if (low, high) != (None, None) else before_clip
        np.testing.assert_allclose(after, whole[visit.layer.output], atol=1e-5)
        if visit.layer.name == "stem":
            assert before_clip.min() < 0
    assert tuple(seen) == graph.layers


def test_a_clip_is_applied_where_there_is_one() -> None:
    values = np.array([-2.0, 0.5, 9.0], np.float32)
    assert clipped(FloatAdd("a", ("x", "y"), "z"), values) is values
    assert clipped(FloatAdd("a", ("x", "y"), "z", (0, 6)), values).tolist() == [0, 0.5, 6]


def test_outputs_from_a_changed_tensor() -> None:
    graph, x = branches(), images(3)
    whole = next(iter(FloatRunner(graph).run(x)))[1]
    place = next(k for k, layer in enumerate(graph.layers) if layer.name == "half")
    half, part = graph.layers[place].output, slice(1, 3)
    rest = RestRunner(graph, place + 1)
    same = outputs_from(rest, half, whole[half][part], whole, part)
    assert set(same) == {half, *graph.outputs}
    np.testing.assert_allclose(same[graph.outputs[0]], whole[graph.outputs[0]][part], atol=1e-5)
    moved = outputs_from(rest, half, whole[half][part] + 1, whole, part)
    assert np.abs(moved[graph.outputs[0]] - whole[graph.outputs[0]][part]).max() > 0.01
