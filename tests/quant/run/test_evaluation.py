"""Answers of both networks, counted."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from benchmarks import precision
from quant.ir.fixedpoint import QFormat
from quant.kinds.conv import Conv
from quant.run.evaluation import accuracy, answers, float_outputs
from quant.run.execute import execute, quantize_input
from quant.run.float_run import FloatRunner
from quant.search import Options, quantize_network
from tests.quant.compare.test_compare import identity
from tests.quant.float_graphs import branches, images


def test_accuracy_counts_answers_and_takes_the_first_of_equals() -> None:
    network, graph = identity(QFormat(8, 0), channels=3)
    x = np.array([[5, 1, 1], [1.2, 1.4, 1], [0, 9, 9], [0, 0, 7.0]], np.float32).reshape(4, 3, 1, 1)
    result = accuracy(network, graph, x, np.array([0, 1, 2, 2]))
    assert result.float_answers == (0, 1, 1, 2)
    assert result.fixed_answers == (0, 0, 1, 2)  # 1.2 and 1.4 both become 1
    assert (result.images, result.float_top1, result.fixed_top1, result.agreement) == (4, 0.75, 0.5, 0.75)
    unlabelled = accuracy(network, graph, x)
    assert unlabelled.float_top1 is None and unlabelled.fixed_top1 is None and unlabelled.agreement == 0.75


def test_both_networks_give_the_answers_of_their_references() -> None:
    graph = branches()
    network = quantize_network(graph, images(4))
    x, output = images(23), network.outputs[0]
    found = accuracy(network, graph, x)
    fixed = execute(network, quantize_input(network, x))[output].reshape(23, -1).argmax(1)
    whole = np.concatenate([tensors[output] for _, tensors in FloatRunner(graph).run(x, (output,))])
    assert found.fixed_answers == tuple(fixed) and found.float_answers == tuple(whole.reshape(23, -1).argmax(1))
    assert found.fixed_answers == tuple(answers(network, x))
    parts = list(float_outputs(graph, x, output, 5))
    assert [(part.start, part.stop) for part, _ in parts] == [(0, 5), (5, 10), (10, 15), (15, 20), (20, 23)]
    np.testing.assert_allclose(np.concatenate([array for _, array in parts]), whole, rtol=1e-4, atol=1e-5)


def test_the_precision_table_has_a_cell_for_each_column() -> None:
    figures = {"top1": 0.915, "agreement": 0.9875}
    dense = {"network": "dense", "method": "published", "images": 1000, "float_top1": 0.92}
    dense["columns"] = {column.title: figures for column in precision.COLUMNS}
    other = {"network": "convolutions", "method": "squares", "images": 10, "float_top1": 0.5}
    other["columns"] = {"dynamic 8/8": figures}
    head, rule, first, second = precision.table([dense, other]).splitlines()
    assert head.startswith("| network | method | images | float | static 16/16 |")
    assert head.count("|") == rule.count("|") == 11
    assert first == "| dense | published | 1,000 | 92.00 | " + " | ".join(["91.50 / 98.75"] * 6) + " |"
    assert second.split(" | ")[4:] == ["no such layer"] * 4 + ["91.50 / 98.75", "no such layer |"]


def test_every_option_of_the_published_method_exists() -> None:
    graph = branches()
    for method, changes in precision.METHODS.items():
        options = Options.published(precision="dynamic", **changes)
        network = quantize_network(graph, images(4), **asdict(options))
        convolutions = [layer for layer in network.layers if isinstance(layer, Conv)]
        uniform = all(len(set(layer.weight_frac.tolist())) == 1 for layer in convolutions)
        assert uniform == (method == "published")
