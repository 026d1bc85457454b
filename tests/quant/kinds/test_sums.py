"""Sums in quantized files: of tensors, of a convolution and a tensor, with constants in any order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.quant.elsewhere import Graph, assert_read, conv_body, refusal


def rounded_again(g: Graph, x: str) -> str:
    once = g.quantized(conv_body(g, x), 4)
    return g.quantized(g.node("Add", g.quantized(once, 2), once), 2)


def residual_of_a_convolution(g: Graph, x: str) -> str:
    one = g.quantized(conv_body(g, x), 4)
    return g.quantized(g.node("Relu", g.node("Add", one, g.node("Conv", one, g.weight((4, 4, 1, 1))))), 3, np.uint8)


def three_terms(g: Graph, x: str) -> str:
    """A residual in front of the convolution, and a bias between them."""
    bias = g.constant("late", g.random.integers(-500, 500, (4, 1, 1)) / 2048)
    one = g.quantized(conv_body(g, x), 4)
    return g.quantized(g.node("Add", g.node("Add", one, g.node("Conv", x, g.weight((4, 3, 1, 1)))), bias), 3)


BODIES = (rounded_again, residual_of_a_convolution, three_terms)


@pytest.mark.parametrize("body", BODIES)
def test_sums_of_whatever_order(body: Callable[[Graph, str], str]) -> None:
    g = Graph()
    assert_read(g.model(body(g, g.quantized("x", 5))))


def test_sums_that_no_layer_computes() -> None:
    def two_sums(g: Graph, x: str) -> str:
        return g.quantized(g.node("Add", conv_body(g, x), conv_body(g, x), out="sum"), 3)

    def fine_residual(g: Graph, x: str) -> str:
        other = g.quantized(conv_body(g, x), 14)
        return g.quantized(g.node("Add", g.node("Conv", x, g.weight((4, 3, 1, 1), 2)), other, out="sum"), 3)

    def two_shapes(g: Graph, x: str) -> str:
        small = g.quantized(g.node("Conv", x, g.weight((4, 3, 9, 8))), 3)
        return g.quantized(g.node("Add", g.quantized(conv_body(g, x), 3), small, out="sum"), 2)

    def residual_of_two_shapes(g: Graph, x: str) -> str:
        small = g.quantized(g.node("Conv", x, g.weight((4, 3, 9, 8))), 3)
        return g.quantized(g.node("Add", conv_body(g, x), small, out="sum"), 2)

    assert refusal(two_sums) == "sum.node (Add) adds more than a layer and one quantized tensor"
    assert "is finer than what it is added to" in refusal(fine_residual)
    assert refusal(two_shapes) == "sum.node (Add) adds tensors of two shapes"
    assert refusal(residual_of_two_shapes) == "sum.node (Add) adds tensors of two shapes"
