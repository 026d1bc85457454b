"""The float graph: shapes without batch."""

from __future__ import annotations

from tests.quant.float_graphs import branches


def test_the_shape_of_an_image_is_that_of_the_input() -> None:
    graph = branches()
    assert graph.input_shapes == {graph.inputs[0]: (3, 12, 12)}
    assert set(graph.shapes) == {graph.inputs[0], *(layer.output for layer in graph.layers)}
