"""Tails in ONNX Runtime, image by image."""

from __future__ import annotations

import numpy as np
import pytest

from quant.onnx_import import load
from quant.run.evaluation import accuracy, answers, float_answers
from quant.run.tail import TailRunner, real_outputs, returned_class
from quant.search import quantize_network
from tests.quant.tailed import best_three, float_returned, images, joined_heads, normalized_head


def test_each_image_by_itself() -> None:
    graph = load(best_three())
    assert graph.tail is not None
    x = np.random.default_rng(0).normal(size=(4, 5, 1, 1)).astype(np.float32)
    found = TailRunner(graph.tail, "net").run([x])
    assert len(found) == 4 and [list(one) for one in found] == [["values", "values_1", "logits"]] * 4
    for image, one in zip(x.reshape(4, 5), found, strict=True):
        order = np.argsort(-image)[:3]
        assert one["values_1"].tolist() == [order.tolist()]
        np.testing.assert_allclose(one["values"][0], 1 / (1 + np.exp(-image[order])), 1e-5)
        assert np.array_equal(one["logits"][0], image)


def test_integers_stand_for_numbers() -> None:
    graph = load(joined_heads())
    network = quantize_network(graph, images(graph), effort="fast")
    zeros = {name: np.full((2, *network.tensors[name].shape), 3) for name in network.outputs}
    found = real_outputs(network, zeros)
    for array, name in zip(found, network.outputs, strict=True):
        assert array.dtype == np.float32 and (array == 3 * 2.0 ** -network.tensors[name].fmt.frac).all()


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (np.array([[0.1, 0.7, 0.7]], np.float32), 1),
        (np.array([[5]], np.int64), 5),
        (np.array([[2, 9, 1]], np.int64), 1),
        (np.zeros((0, 6), np.float32), -1),
    ],
)
def test_the_answer(first: np.ndarray, answer: int) -> None:
    assert returned_class({"a": first, "b": np.ones(9)}) == answer


def test_answers_are_those_behind_the_tail() -> None:
    graph = load(normalized_head())
    x = images(graph, 12)
    network = quantize_network(graph, x)
    wanted = [int(one["fc"].argmax()) for one in float_returned(graph, x)]
    found = accuracy(network, graph, x, np.array(wanted))
    assert list(found.float_answers) == wanted == float_answers(graph, x).tolist() and found.float_top1 == 1
    assert list(found.fixed_answers) == answers(network, x).tolist()
    assert found.agreement > 0.8
