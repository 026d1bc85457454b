"""The tail as a value, and what a network with one must be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quant.ir.tail import Tail
from quant.ir.well_formed import Malformed, well_formed
from quant.onnx_import import load
from tests.quant.tailed import best_three


def test_the_digest_is_of_the_content() -> None:
    one, other = Tail(b"a", ("x",), ("y",), 0), Tail(b"b", ("x",), ("y",), 0)
    assert one.digest != other.digest and len(one.digest) == 64


def test_a_tail_reads_the_outputs() -> None:
    graph = load(best_three())
    assert well_formed(graph) is graph and graph.tail is not None
    with pytest.raises(Malformed, match="the tail reads other tensors than the outputs"):
        well_formed(replace(graph, tail=replace(graph.tail, inputs=("other",))))
