"""A kind of layer that the engine does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from host.compiler import CannotCompile, compile_network
from host.compiler.kinds import KINDS, on_engine
from hw.contract.config import preset
from quant.ir.fixedpoint import QFormat
from quant.ir.layer import Layer, ReadsOne
from quant.ir.network import Network
from quant.ir.target import Refusal
from quant.ir.tensor import Shape, Tensor


@dataclass(frozen=True, eq=False)
class Squeeze(ReadsOne, Layer):
    """A kind that nobody has registered."""

    name: str
    input: str
    output: str

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        return shapes[self.input]


def test_a_kind_that_is_not_registered_is_refused_by_name() -> None:
    tensors = {name: Tensor(name, (4, 3, 3), QFormat(8, 4)) for name in ("x", "y")}
    network = Network("net", tensors, (Squeeze("new", "x", "y"),), ("x",), ("y",))
    with pytest.raises(CannotCompile) as caught:
        compile_network(network, preset("tiny"))
    assert caught.value.refusal == Refusal("new", "the engine has no Squeeze", "end the network before it")


def test_every_registered_kind_answers_for_itself() -> None:
    assert all(type(kind).check is not type(on_engine(Squeeze("new", "x", "y"))).check for kind in KINDS.values())
